"""Bodies and queries: how much is read, what is JSON, what holds a card number, what is valid, in this order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from contracts.base import Name, Reason
from gateway_api.language import Language
from gateway_api.problems import Problem
from workers.runtime.messaging.card_numbers import LONGEST, SHORTEST, holds_card_number

MOST_ERRORS = 20
LONGEST_FIELD = 100


class Form(BaseModel):
    """What a caller may send, to the letter."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Form):
    """No body, or `{}`."""


def not_given() -> Any:
    """A field that may be left out, and is None then; a null that is sent is refused."""
    return Field(default_factory=lambda: None)


class Filters(BaseModel):
    """A query string; each name at most once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _whole(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]{1,18}", value):
            raise PydanticCustomError("int_parsing", "not a whole number")
        return int(value)
    return value


DIGITS = BeforeValidator(_whole)
"""A whole number in a query: digits, nothing else."""


class Paging(Filters):
    """A list's page."""

    limit: Annotated[int, Field(ge=1, le=200), DIGITS] = 50
    cursor: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


NOT_BLANK = Field(pattern=r"\S")
GivenName = Annotated[Name, NOT_BLANK]
GivenReason = Annotated[Reason, NOT_BLANK]

FormT = TypeVar("FormT", bound=Form)
FiltersT = TypeVar("FiltersT", bound=Filters)


async def receive_body(receive: Receive, content_length: bytes | None, limit: int) -> bytes:
    """The whole body, chunked or not; raises `too_large` as soon as that is known."""
    if content_length is not None and (not content_length.isdigit() or int(content_length[:20]) > limit):
        raise too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    parts, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body", False) and size <= limit:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if size > limit:
        raise too_large(limit)
    return body if len(parts) == 1 else b"".join(parts)


def too_large(limit: int) -> Problem:
    """The connection stays open: closing it while the caller still sends would lose this answer."""
    return Problem("too_large", limit=limit)


# --- JSON ---------------------------------------------------------------------------------------------------------

_WORTH_A_LOOK = re.compile(rb"[0-9](?:[ -]*[0-9]){12}|\\|[\[:,]\s*-?[0-9.]+[eE]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether a database can keep a text."""
    return not _UNSTORABLE.search(text)


class _Pairs(NamedTuple):
    """A JSON object with all its keys, the repeated ones too."""

    pairs: list[tuple[str, Any]]


class _Number(NamedTuple):
    """A JSON number as it was written."""

    text: str

    def holds_card_number(self) -> bool:
        if holds_card_number(self.text):
            return True
        if not self.text.strip("-0123456789") or len(self.text) > 1000:
            return False
        try:
            value = Decimal(self.text)
        except ArithmeticError:
            return False
        if not SHORTEST <= value.adjusted() + 1 <= LONGEST or value != value.to_integral_value():
            return False
        return holds_card_number(f"{value:f}".partition(".")[0])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
).decode


def _load(body: bytes) -> Any:
    """Every key and value as it was sent; raises `bad_json`."""
    try:
        return _decode(body.decode())
    except (ValueError, RecursionError):
        raise Problem("bad_json") from None


def _leaves(tree: Any) -> Iterator[tuple[str, str | _Number]]:
    """Every key, string and number with the path to it."""
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Pairs):
            for key, child in value.pairs:
                yield path, key
                waiting.append((_below(path, key), child))
        elif isinstance(value, _Number):
            yield path, value
        elif isinstance(value, list):
            waiting.extend((path, child) for child in value)
        elif isinstance(value, str):
            yield path, value


def _below(path: str, key: str) -> str:
    return f"{path}.{key[:LONGEST_FIELD]}".lstrip(".") if len(path) < LONGEST_FIELD else path


def parse(body: bytes, form: type[FormT], key: str = "") -> FormT:
    """The body as a form; raises, in this order, `bad_json`, `card_number_refused` (for the key too) or `invalid`."""
    if not body and _needs_nothing(form):
        body = b"{}"
    refused_key = bool(key) and holds_card_number(key)
    unstorable: list[str] = []
    if refused_key or not body.isascii() or _WORTH_A_LOOK.search(body):
        for path, leaf in _leaves(_load(body)):
            if leaf.holds_card_number() if isinstance(leaf, _Number) else holds_card_number(leaf):
                raise Problem("card_number_refused")
            if isinstance(leaf, str) and _UNSTORABLE.search(leaf):
                unstorable.append(path)
        if refused_key:
            raise Problem("card_number_refused")
    if unstorable:
        raise invalid((shown(path), "characters") for path in unstorable)
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        _load(body)
        raise invalid_shape(error) from None


@cache
def _needs_nothing(form: type[Form]) -> bool:
    return not any(field.is_required() for field in form.model_fields.values())


# --- queries ------------------------------------------------------------------------------------------------------


def parse_query(query: bytes, filters: type[FiltersT]) -> FiltersT:
    """The query string as filters; raises `card_number_refused` or `invalid`."""
    if not query:
        return filters()
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise invalid([("query", "query")]) from None
    for key, value in pairs:
        if holds_card_number(key) or holds_card_number(value):
            raise Problem("card_number_refused")
    wrong = [(shown(key), "characters") for key, value in pairs if _UNSTORABLE.search(key + value)]
    given = dict(pairs)
    wrong += [(shown(key), "repeated") for key in given if sum(key == other for other, _ in pairs) > 1]
    if wrong:
        raise invalid(wrong)
    try:
        return filters.model_validate(given)
    except ValidationError as error:
        raise invalid_shape(error) from None


# --- what is wrong, without repeating what was sent ---------------------------------------------------------------


def shown(path: str) -> str:
    """A path as it may be shown: short, and no character that cannot be written."""
    return _UNSTORABLE.sub("�", path[:LONGEST_FIELD]) or "body"


def invalid_shape(error: ValidationError) -> Problem:
    details = error.errors(include_url=False, include_input=False)
    return invalid((shown(".".join(map(str, detail["loc"]))), *_reason(detail)) for detail in details[:MOST_ERRORS])


def _reason(detail: ErrorDetails) -> tuple[str, dict[str, Any]]:
    return detail["type"], {key: value for key, value in detail.get("ctx", {}).items() if key in _LIMITS}


def invalid(errors: Any) -> Problem:
    """The answer to a wrong shape: fields with what is wrong, never what was sent."""
    return Invalid([(field, kind, *rest) for field, kind, *rest in list(errors)[:MOST_ERRORS]])


class Invalid(Problem):
    """`invalid`, whose errors are told in the caller's language."""

    def __init__(self, errors: list[tuple[str, str] | tuple[str, str, dict[str, Any]]]) -> None:
        super().__init__("invalid")
        self.errors = errors

    def response(self, language: Language) -> Any:
        self.details["errors"] = [
            {"field": field, "code": kind, "detail": explain(kind, rest[0] if rest else {}, language)}
            for field, kind, *rest in self.errors
        ]
        return super().response(language)


_LIMITS = {"ge", "gt", "le", "lt", "min_length", "max_length", "expected"}
_OTHER = ("올바르지 않은 값입니다", "not a valid value")
_EXPLAINED: dict[str, tuple[str, str]] = {
    "missing": ("꼭 필요한 항목입니다", "is required"),
    "extra_forbidden": ("알 수 없는 항목입니다", "is not known here"),
    "characters": ("쓸 수 없는 문자가 들어 있습니다", "holds characters that cannot be stored"),
    "repeated": ("한 번만 쓸 수 있습니다", "may be given once"),
    "query": ("읽을 수 없는 질의입니다", "cannot be read"),
    "visible": ("보이는 문자 1~255자여야 합니다", "must be 1 to 255 visible characters"),
    "json_invalid": ("쓸 수 없는 문자나 구조가 들어 있습니다", "holds characters or nesting that are not accepted"),
    "model_type": ("객체여야 합니다", "must be an object"),
    "string_type": ("문자열이어야 합니다", "must be a string"),
    "string_too_short": ("{min_length}자 이상이어야 합니다", "must have at least {min_length} characters"),
    "string_too_long": ("{max_length}자 이하여야 합니다", "must have at most {max_length} characters"),
    "string_pattern_mismatch": ("형식이 맞지 않습니다", "has the wrong form"),
    "int_type": ("정수여야 합니다", "must be a whole number"),
    "int_parsing": ("정수여야 합니다", "must be a whole number"),
    "int_from_float": ("정수여야 합니다", "must be a whole number"),
    "int_parsing_size": ("너무 큰 수입니다", "is too large"),
    "greater_than": ("{gt}보다 커야 합니다", "must be greater than {gt}"),
    "greater_than_equal": ("{ge} 이상이어야 합니다", "must be at least {ge}"),
    "less_than": ("{lt}보다 작아야 합니다", "must be less than {lt}"),
    "less_than_equal": ("{le} 이하여야 합니다", "must be at most {le}"),
    "uuid_type": ("UUID여야 합니다", "must be a UUID"),
    "uuid_parsing": ("UUID여야 합니다", "must be a UUID"),
    "bool_type": ("true 또는 false여야 합니다", "must be true or false"),
    "literal_error": ("다음 중 하나여야 합니다: {expected}", "must be one of {expected}"),
    "enum": ("다음 중 하나여야 합니다: {expected}", "must be one of {expected}"),
}


def explain(kind: str, limits: dict[str, Any], language: Language) -> str:
    """One thing that is wrong, in words."""
    text = _EXPLAINED.get(kind, _OTHER)[language == "en"]
    try:
        return text.format(**limits)
    except KeyError:
        return _OTHER[language == "en"]
