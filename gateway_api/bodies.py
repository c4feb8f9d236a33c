"""Reading and validating bodies and queries: size, JSON, card numbers, shape, in this order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from contracts.base import Name, Reason
from contracts.payments import Card
from gateway_api.language import Language
from gateway_api.problems import Problem
from workers.runtime.messaging.card_numbers import LONGEST, SHORTEST, holds_card_number

MAX_ERRORS = 20
LONGEST_FIELD = 100


class Form(BaseModel):
    """The body of a request; unknown fields and lax types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def example(**fields: Any) -> ConfigDict:
    """Return the configuration of a form with an example of it for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class EmptyBody(Form):
    """No body, or `{}`."""


def optional() -> Any:
    """Declare a field that is None when it is left out; an explicit null is refused."""
    return Field(default_factory=lambda: None)


class Filters(BaseModel):
    """The parameters of a query string; each name at most once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _whole_number(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]{1,18}", value):
            raise PydanticCustomError("int_parsing", "not a whole number")
        return int(value)
    return value


DIGITS = BeforeValidator(_whole_number)
"""Validator of a whole number in a query: 1 to 18 digits, no sign."""


class Paging(Filters):
    """The parameters of a page of a list."""

    limit: Annotated[int, Field(ge=1, le=200), DIGITS] = 50
    cursor: Annotated[str, Field(min_length=1, max_length=1000)] = optional()


NOT_BLANK = Field(pattern=r"\S")
NonBlankName = Annotated[Name, NOT_BLANK]
NonBlankReason = Annotated[Reason, NOT_BLANK]


class MinVersion(Filters):
    """The query of a view's item."""

    min_version: Annotated[int, Field(ge=0, lt=2**31), DIGITS] = 0
    """Wait briefly until the view has applied this version of the item."""


class CardPayment(Card):
    """A payment by card, as a body contains it: a token of the payment provider, never a card number."""

    model_config = ConfigDict(extra="forbid", strict=True)


FormT = TypeVar("FormT", bound=Form)


async def receive_body(receive: Receive, content_length: bytes | None, limit: int) -> bytes:
    """Return the whole body, chunked or not; raises `too_large` as soon as the limit in bytes is exceeded."""
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
    """The problem of a body over the limit; the connection stays open, since closing it would lose the response."""
    return Problem("too_large", limit=limit)


# --- JSON ---------------------------------------------------------------------------------------------------------

_NEEDS_CHECK = re.compile(rb"[0-9](?:[ -]*[0-9]){12}|\\|[\[:,]\s*-?[0-9.]+[eE]")
"""Bodies that may hold a card number or an unstorable character: 13 digits, an escape, or an exponent."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether a database can store a text: no zero byte, no lone surrogate."""
    return not _UNSTORABLE.search(text)


class _JsonObject(NamedTuple):
    """A JSON object with all its pairs, including repeated keys."""

    pairs: list[tuple[str, Any]]


class _JsonNumber(NamedTuple):
    """A JSON number as text."""

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
    object_pairs_hook=_JsonObject, parse_int=_JsonNumber, parse_float=_JsonNumber, parse_constant=_refuse_constant
).decode


def _load(body: bytes) -> Any:
    """Decode without losing repeated keys or digits; raises `bad_json`."""
    try:
        return _decode(body.decode())
    except (ValueError, RecursionError):
        raise Problem("bad_json") from None


def _leaves(tree: Any) -> Iterator[tuple[str, str | _JsonNumber]]:
    """Iterate over every key, string and number with its path."""
    stack: list[tuple[str, Any]] = [("", tree)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, _JsonObject):
            for key, child in value.pairs:
                yield path, key
                stack.append((_below(path, key), child))
        elif isinstance(value, _JsonNumber):
            yield path, value
        elif isinstance(value, list):
            stack.extend((path, child) for child in value)
        elif isinstance(value, str):
            yield path, value


def _below(path: str, key: str) -> str:
    return f"{path}.{key[:LONGEST_FIELD]}".lstrip(".") if len(path) < LONGEST_FIELD else path


def parse(body: bytes, form: type[FormT], key: str = "") -> FormT:
    """Validate a body as a form; `key` is the idempotency key.

    Raises, in this order, `bad_json`, `card_number_refused` (for the key too) or `invalid`.
    """
    if not body and accepts_empty(form):
        body = b"{}"
    key_holds_card = bool(key) and holds_card_number(key)
    unstorable: list[str] = []
    if key_holds_card or not body.isascii() or _NEEDS_CHECK.search(body):
        for path, leaf in _leaves(_load(body)):
            if leaf.holds_card_number() if isinstance(leaf, _JsonNumber) else holds_card_number(leaf):
                raise Problem("card_number_refused")
            if isinstance(leaf, str) and _UNSTORABLE.search(leaf):
                unstorable.append(path)
        if key_holds_card:
            raise Problem("card_number_refused")
    if unstorable:
        raise invalid((displayable(path), "characters") for path in unstorable)
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        _load(body)
        raise from_validation_error(error) from None


@cache
def accepts_empty(form: type[Form]) -> bool:
    """Whether no body is as good as `{}`."""
    return not any(field.is_required() for field in form.model_fields.values())


# --- queries ------------------------------------------------------------------------------------------------------


def check_query(query: bytes, *, empty: bool = False) -> None:
    """Check what holds for every query string; `empty` where no parameter is defined.

    Raises `card_number_refused` or `invalid`.
    """
    if not query:
        return
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise invalid([("query", "query")]) from None
    for key, value in pairs:
        if holds_card_number(key) or holds_card_number(value):
            raise Problem("card_number_refused")
    errors = [(displayable(key), "characters") for key, value in pairs if _UNSTORABLE.search(key + value)]
    given = dict(pairs)
    errors += [(displayable(key), "repeated") for key in given if sum(key == other for other, _ in pairs) > 1]
    if empty and not errors:
        errors = [(displayable(key), "extra_forbidden") for key in given]
    if errors:
        raise invalid(errors)


# --- errors, which never repeat the values that were sent -----------------------------------------------------------


def displayable(path: str) -> str:
    """Return a field's path for a response: at most `LONGEST_FIELD` characters, all of them encodable."""
    return _UNSTORABLE.sub("�", path[:LONGEST_FIELD]) or "body"


def from_validation_error(error: ValidationError) -> Problem:
    """Return `invalid` with the errors of pydantic."""
    return from_error_details(error.errors(include_url=False, include_input=False))


def from_error_details(details: Sequence[Any]) -> Problem:
    """Return `invalid` with the errors of pydantic or FastAPI."""
    return invalid(
        (displayable(".".join(map(str, detail["loc"]))), *_reason(detail)) for detail in details[:MAX_ERRORS]
    )


def _reason(detail: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return detail["type"], {key: value for key, value in detail.get("ctx", {}).items() if key in _LIMITS}


def invalid(errors: Any) -> Problem:
    """Return `invalid` with up to `MAX_ERRORS` errors, each a field, a kind of error and its limits."""
    return Invalid([(field, kind, *rest) for field, kind, *rest in list(errors)[:MAX_ERRORS]])


class Invalid(Problem):
    """`invalid`; the details of its errors are in the caller's language."""

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
_DETAILS: dict[str, tuple[str, str]] = {
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
    """Return the text of one error."""
    text = _DETAILS.get(kind, _OTHER)[language == "en"]
    try:
        return text.format(**limits)
    except KeyError:
        return _OTHER[language == "en"]
