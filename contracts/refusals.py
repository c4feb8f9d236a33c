"""The refusals that several systems have in common, and what can be read from the declarations of refusals.

Each message that is a request declares the refusals of its handler: `refusals = (NotFound, AlreadyBooked)`. The OpenAPI
document, the texts of problems, the console and the tests read these declarations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from contracts.base import Message, Query, Refused, Words


class InvalidMessage(Refused):
    """The message cannot be read (`reason`), or has wrong values (`errors`, each a `field` and often a `message`)."""

    code = "invalid"
    status = 422
    ko = Words("요청이 올바르지 않습니다", "errors에 적힌 항목을 고쳐 주세요.")
    en = Words("Invalid request", "Correct what is listed in errors.")

    errors: Sequence[Mapping[str, str]] = ()
    reason: str = ""


class NotFound(Refused):
    """There is no such thing, or the caller may not see it."""

    code = "not_found"
    status = 404
    ko = Words("찾을 수 없습니다", "이 주소에는 볼 수 있는 것이 없습니다.")
    en = Words("Not found", "There is nothing here that you may see.")


class WrongRole(Refused):
    code = "wrong_role"
    status = 403
    ko = Words("권한이 없습니다", "이 요청은 다른 권한을 가진 사람만 할 수 있습니다.")
    en = Words("Not allowed", "This request needs another role.")


class WrongState(Refused):
    """Not possible in the current status; `allowed_actions` are the last parts of paths that are."""

    code = "wrong_state"
    ko = Words("지금 상태에서는 할 수 없습니다", "current_status를 확인해 주세요.")
    en = Words("Not possible in this state", "See current_status.")

    current_status: str
    allowed_actions: Sequence[str] = ()


class StaleVersion(Refused):
    """The thing has another version than the caller expects; `version` is the current one."""

    code = "stale_version"
    ko = Words(
        "그 사이에 다른 사람이 바꿨습니다",
        "바꾸지 않았습니다. 지금 버전은 version에 있습니다. 다시 읽고 시도해 주세요.",
    )
    en = Words(
        "Changed by somebody else since",
        "Nothing was changed. The version now is in version: look again, then try again.",
    )

    version: int


class PriceChanged(Refused):
    """The price is not the one that the caller expects; `price` is the current one, in won."""

    code = "price_changed"
    ko = Words("가격이 바뀌었습니다", "주문하지 않았습니다. 지금 가격은 price에 있습니다.")
    en = Words("The price has changed", "Nothing was ordered. The price now is in price.")

    price: int


class DeclinedPayment(Refused):
    """The payment provider has declined the charge, for `reason`."""

    code = "payment_declined"
    status = 402
    ko = Words("결제가 거절되었습니다", "다른 결제 수단을 써 주세요.")
    en = Words("Payment declined", "Use another means of payment.")

    reason: str | None = None


class PaymentUnavailable(Refused):
    """Payments did not reply in time: whatever was charged is being voided."""

    code = "payment_unavailable"
    status = 503
    retry_after = 5
    ko = Words(
        "결제를 할 수 없습니다",
        "결제 응답이 없어 취소했고 받은 돈은 없습니다. 새 Idempotency-Key로 다시 시도해 주세요.",
    )
    en = Words(
        "Payment not available",
        "Payment did not answer; this was cancelled and no money is kept. Try again with a new Idempotency-Key.",
    )

    reason: str | None = None


class StillConfirming(Refused):
    """The step is repeated until it is settled; a repetition of the message asks for its outcome."""

    code = "still_confirming"
    status = 503
    retry_after = 1
    ko = Words("아직 확인하고 있습니다", "처리가 계속되고 있습니다. 다시 보내도 괜찮습니다.")
    en = Words("Still being confirmed", "It goes on by itself; repeating is harmless.")


class IdempotencyKeyReused(Refused):
    """The id of the message belongs to a message with another content."""

    code = "idempotency_key_reused"
    status = 422
    ko = Words("이미 다른 요청에 쓰인 키입니다", "다른 내용에는 새 Idempotency-Key를 쓰세요.")
    en = Words("Idempotency key used before", "This key belongs to another request; use a new one.")


class StillRunning(Refused):
    """The same request is being handled."""

    code = "still_running"
    retry_after = 1
    ko = Words("같은 요청을 처리하고 있습니다", "잠시 뒤 같은 Idempotency-Key로 다시 보내면 결과를 알 수 있습니다.")
    en = Words(
        "The same request is being processed", "Repeat it shortly with the same Idempotency-Key to get its outcome."
    )

    current_status: str = ""


EVERY_QUERY: tuple[type[Refused], ...] = (InvalidMessage,)
"""Refusals by the runtime, which no query declares."""
EVERY_COMMAND: tuple[type[Refused], ...] = (InvalidMessage, IdempotencyKeyReused)
"""Refusals by the runtime, which no command declares."""


def refusals_of(message: type[Message]) -> tuple[type[Refused], ...]:
    """All refusals that a request may get: those that it declares, and those of every request."""
    return (*message.refusals, *(EVERY_QUERY if issubclass(message, Query) else EVERY_COMMAND))


@cache
def details_model(kind: type[Refused]) -> type[BaseModel]:
    """The details of a refusal as a model, e.g. for the schema of a problem, which has no defaults."""
    hints = get_type_hints(kind)
    fields: dict[str, Any] = {name: (hints[name], ...) for name in sorted(kind.required_details)}
    for name in sorted(kind.optional_details):
        fields[name] = (hints[name], Field(getattr(kind, name), json_schema_extra=_without_default))
    return create_model(kind.__name__, __config__=ConfigDict(frozen=True), __doc__=kind.__doc__, **fields)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
