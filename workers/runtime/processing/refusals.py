"""Each refusal of a handler is one that its message declares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import structlog

from contracts.base import Message, Refused
from contracts.refusals import refusals_of
from workers.runtime.observability.log_events import UNDECLARED_REFUSAL

log = structlog.get_logger()

hook: Callable[[str, type[Message], Refused], None] | None = None
"""Called with the context, the message and each refusal of a handler; tests compare them with the declarations."""


def check(context: str, message: type[Message], refusal: Refused) -> None:
    """Log a refusal that the message does not declare; it is answered all the same."""
    if hook:
        hook(context, message, refusal)
    if refusal.code not in _declared_codes(message):
        log.error(UNDECLARED_REFUSAL, context=context, topic=message.topic, code=refusal.code)


@cache
def _declared_codes(message: type[Message]) -> frozenset[str]:
    return frozenset(declared.code for declared in refusals_of(message))
