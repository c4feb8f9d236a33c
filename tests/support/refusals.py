"""Each refusal of a handler, compared with what its message declares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from contracts.base import Message, Refused
from contracts.refusals import details_model, refusals_of
from workers.runtime.processing import refusals
from workers.runtime.processing.tx import encode_refusal


@contextmanager
def compared() -> Iterator[list[str]]:
    """Collect a sentence for each refusal in this process that differs from the declarations of its message."""
    found: list[str] = []

    def compare(context: str, message: type[Message], refusal: Refused) -> None:
        if difference := difference_of(message, refusal):
            found.append(f"{context} refuses {message.__name__} with {refusal.code}, {difference}")

    former, refusals.hook = refusals.hook, compare
    try:
        yield found
    finally:
        refusals.hook = former


def difference_of(message: type[Message], refusal: Refused) -> str | None:
    """How a refusal differs from the declarations of a message; None when it is one of them."""
    declared = [kind for kind in refusals_of(message) if kind.code == refusal.code]
    if not declared:
        return f"which {message.topic} does not declare"
    details = json.loads(encode_refusal(refusal))
    del details["code"]
    if any(_fits(kind, json.dumps(details)) for kind in declared):
        return None
    return f"which {message.topic} declares with other details than {details}"


def _fits(kind: type[Refused], details: str) -> bool:
    try:
        details_model(kind).model_validate_json(details, strict=True, extra="forbid")
    except ValidationError:
        return False
    return True
