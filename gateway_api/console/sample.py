"""Sample data for an empty system; every request has an idempotency key, so that repeating it changes nothing.

Idempotency keys belong to their caller, but samples of a business may be unique in the system, as the code of a bike.
They are registered first: when the first one is refused with `code_taken`, another caller has done all of it before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

from gateway_api.console.businesses import BUSINESSES


class SampleResponse(Protocol):
    @property
    def ok(self) -> bool: ...

    @property
    def code(self) -> str: ...


Send = Callable[[str, dict[str, Any], str], Awaitable[SampleResponse]]
"""Posts a body to a path of the API, as staff, with an idempotency key."""


def registrations(now: datetime) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the idempotency key, the path and the body of each request."""
    for business in sorted(BUSINESSES, key=lambda business: not business.has_unique_samples):
        for number, (path, body) in enumerate(business.samples(now)):
            yield f"sample-data-{business.slug}-{number}", path, body


async def seed(send: Send) -> int:
    """Register everything; returns the number of refused requests, not counting those of an earlier run."""
    refused = 0
    for number, (key, path, body) in enumerate(registrations(datetime.now(UTC))):
        response = await send(path, body, key)
        if number == 0 and response.code == "code_taken":
            return 0
        refused += not response.ok and response.code not in ("idempotency_key_reused", "code_taken")
    return refused
