"""Reading and validating bodies and queries: size, JSON, card numbers, shape, in this order."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from jiter import from_json
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from contracts.base import Name, Reason
from contracts.payments import CARD_TOKEN, Card
from gateway_api import texts
from gateway_api.language import Language
from gateway_api.problems import Problem
from workers.runtime.messaging.card_numbers import holds_card_number

MAX_ERRORS = 20
MAX_FIELDS = 100
"""How many fields an object of a body may have before its shape is looked at."""
MAX_ITEMS = 2000
"""How many lists, objects and further items in them a body may hold; no form has as many."""
LONGEST_FIELD = 100
LONGEST_QUERY = 8192
"""Bytes of a query string, which is more than all parameters of any route need."""


class Input(BaseModel):
    """What a caller sends: every text is stripped and in Unicode's normal form, and can be read by a person."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def _normalize(cls, value: Any) -> Any:
        return texts.normalized(value) if isinstance(value, str) else value

    @field_validator("*", mode="after")
    @classmethod
    def _must_be_readable(cls, value: Any) -> Any:
        if isinstance(value, str):
            if not texts.is_readable(value):
                raise PydanticCustomError("characters", "characters that nobody can see")
            if value and not texts.is_visible(value):
                raise PydanticCustomError("blank", "nothing that can be seen")
        return value


class Form(Input):
    """The body of a request; unknown fields and lax types are refused."""

    model_config = ConfigDict(strict=True)


def example(**fields: Any) -> ConfigDict:
    """Return the configuration of a form with an example of it for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class EmptyBody(Form):
    """No body, or `{}`."""


def optional() -> Any:
    """Declare a field that is None when it is left out; an explicit null is refused."""
    return Field(default_factory=lambda: None)


class Filters(Input):
    """The parameters of a query string; each name at most once."""


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


def _one_line(value: str) -> str:
    if not texts.is_one_line(value):
        raise PydanticCustomError("characters", "a line break or a tab")
    return value


def _instant(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "not a text")
    if not _RFC_3339.fullmatch(value):
        raise PydanticCustomError("datetime_parsing", "not an instant of RFC 3339")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise PydanticCustomError("datetime_parsing", "no such instant") from None


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6}[0-9]*)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)

NOT_BLANK = Field(pattern=r"\S")
ONE_LINE = AfterValidator(_one_line)
"""Validator of a text without line breaks and tabs."""
RFC_3339 = BeforeValidator(_instant)
"""Validator of an instant: a text by RFC 3339 with its offset from UTC, e.g. `2030-01-01T00:00:00+09:00`."""
NonBlankName = Annotated[Name, NOT_BLANK, ONE_LINE]
NonBlankReason = Annotated[Reason, NOT_BLANK]


class MinVersion(Filters):
    """The query of a view's item."""

    min_version: Annotated[int, Field(ge=0, lt=2**31), DIGITS] = 0
    """Wait briefly until the view has applied this version of the item."""


class CardPayment(Card):
    """A payment by card, as a body contains it: a token of the payment provider, never a card number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: Annotated[str, Field(pattern=CARD_TOKEN)]


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

_REPEATED = re.compile(r'Detected duplicate key "(.*)" at line [0-9]+ column [0-9]+', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(body: bytes, form: type[FormT]) -> FormT:
    """Validate a body as a form; raises, in this order, `bad_json`, `card_number_refused` or `invalid`."""
    if not body and accepts_empty(form):
        body = b"{}"
    text = _decode(body)
    if _items(text) > MAX_ITEMS and _items(_STRING.sub("", text)) > MAX_ITEMS:  # before objects are made of them
        raise Problem("bad_json")
    try:
        tree = from_json(body, allow_inf_nan=False, cache_mode="none", catch_duplicate_keys=True)
    except ValueError as error:
        raise _unreadable(text, form, str(error)) from None
    if holds_card_number(_unescaped(text)):
        raise Problem("card_number_refused")
    _check_width(tree, form)
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        if any(holds_card_number(f"{number:.0f}") for number in _floats(tree, form)):
            raise Problem("card_number_refused") from None
        raise from_validation_error(error) from None


def _items(text: str) -> int:
    return sum(map(text.count, ",[{"))


def _decode(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Problem("bad_json") from None


def _unreadable(text: str, form: type[Form], reason: str) -> Problem:
    """Return the problem of a body that the strict parser did not read."""
    try:
        tree = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Problem("bad_json")
    repeated = _REPEATED.fullmatch(reason)
    if not repeated and not _SURROGATE.search(_unescaped(text)):
        return Problem("bad_json")
    if holds_card_number(_unescaped(text)):
        return Problem("card_number_refused")
    if repeated:
        return invalid([(displayable(repeated[1]), "repeated")])
    fields = [name for name in _given(tree, form) if _SURROGATE.search(json.dumps(tree[name], ensure_ascii=False))]
    return invalid((name, "characters") for name in fields or ["body"])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unescaped(text: str) -> str:
    r"""Return JSON with its escapes resolved (`\u0034` is a digit); the result is searched, not parsed."""
    if "\\" not in text:
        return text
    escaped = (
        text.replace("\\\\", "\\u005c").replace("\\/", "/").encode("ascii", "backslashreplace").decode("unicode_escape")
    )
    return escaped.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _check_width(tree: Any, form: type[Form]) -> None:
    """Refuse objects with very many fields before pydantic reports each of them."""
    if not isinstance(tree, dict):
        return
    if len(tree) > MAX_FIELDS:
        unknown = islice((name for name in tree if name not in form.model_fields), MAX_ERRORS)
        raise invalid((displayable(name), "extra_forbidden") for name in unknown)
    for name in _given(tree, form):
        if isinstance(tree[name], dict) and len(tree[name]) > MAX_FIELDS:
            raise invalid([(name, "too_many_fields")])


def _given(tree: Any, form: type[Form]) -> list[str]:
    return [name for name in form.model_fields if name in tree] if isinstance(tree, dict) else []


def _floats(tree: Any, form: type[Form]) -> list[float]:
    """Return the numbers with a fraction or an exponent, which no field accepts."""
    values = [tree, *(tree[name] for name in _given(tree, form))]
    return [value for value in values if isinstance(value, float)]


@cache
def accepts_empty(form: type[Form]) -> bool:
    """Whether no body is as good as `{}`."""
    return not any(field.is_required() for field in form.model_fields.values())


# --- queries ------------------------------------------------------------------------------------------------------


_IDS = re.compile("[a-z_]+_id|payer")
"""Parameters that name a person or a thing: ids of any digits, which are not searched for card numbers."""
_RAW = re.compile(rb"[\x80-\xff]")


def _percent(raw: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(raw[0])


def check_query(query: bytes, *, empty: bool = False) -> bytes:
    """Check what holds for every query string, and return it in ASCII; `empty` where no parameter is defined.

    Raises `card_number_refused` or `invalid`.
    """
    if not query:
        return query
    if len(query) > LONGEST_QUERY:
        raise invalid([("query", "query")])
    ascii_only = query if query.isascii() else _RAW.sub(_percent, query)
    try:
        pairs = parse_qsl(ascii_only.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise invalid([("query", "query")]) from None
    for key, value in pairs:
        if holds_card_number(key) or (not _IDS.fullmatch(key) and holds_card_number(value)):
            raise Problem("card_number_refused")
    repeated = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    if repeated:
        raise invalid((displayable(key), "repeated") for key in repeated)
    if empty and pairs:
        raise invalid((displayable(key), "extra_forbidden") for key, _ in pairs)
    return ascii_only


# --- errors, which never repeat the values that were sent -----------------------------------------------------------


def displayable(path: str) -> str:
    """Return a field's path for a response: at most `LONGEST_FIELD` characters, all of them encodable."""
    shown = path[:LONGEST_FIELD]
    return "".join(one if texts.is_readable(one) else "\ufffd" for one in shown) or "body"


def from_validation_error(error: ValidationError) -> Problem:
    """Return `invalid` with the errors of pydantic."""
    return from_error_details(error.errors(include_url=False, include_input=False))


def from_error_details(details: Sequence[Mapping[str, Any]]) -> Problem:
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
    "characters": ("쓸 수 없는 문자가 들어 있습니다", "holds characters that are not accepted"),
    "blank": ("보이는 글자가 있어야 합니다", "must have a character that can be seen"),
    "too_many_fields": ("항목이 너무 많습니다", "has too many fields"),
    "datetime_type": ("RFC 3339 시각이어야 합니다", "must be a time by RFC 3339, with its offset"),
    "datetime_parsing": ("RFC 3339 시각이어야 합니다", "must be a time by RFC 3339, with its offset"),
    "string_unicode": ("쓸 수 없는 문자가 들어 있습니다", "holds characters that are not accepted"),
    "repeated": ("한 번만 쓸 수 있습니다", "may be given once"),
    "query": ("읽을 수 없는 질의입니다", "cannot be read"),
    "version": (
        "expected_version과 같은 버전 번호여야 합니다",
        "must be a version, the same as expected_version",
    ),
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
