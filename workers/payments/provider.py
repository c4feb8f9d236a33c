"""The payment provider's port, and the client that holds each call to its limits.

Every call carries a key that makes it idempotent: the payment's id for a charge, the refund's id for a refund.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID


class ProviderFailed(Exception):
    """The provider said nothing that can be relied on."""


@dataclass(frozen=True, slots=True)
class Approved:
    captured: int


@dataclass(frozen=True, slots=True)
class Declined:
    reason: str


@dataclass(frozen=True, slots=True)
class Voided:
    """The charge is undone for good."""

    amount: int
    """All that was ever voided under this key; 0 when the charge had been declined."""


@dataclass(frozen=True, slots=True)
class NoCharge:
    """Nothing is known under this key; a call in flight may still change that."""


@dataclass(frozen=True, slots=True)
class GivenBack:
    amount: int


@dataclass(frozen=True, slots=True)
class NotGivenBack:
    """A refund that certainly did not happen, this time."""

    reason: str


class Provider(Protocol):
    """What a payment provider must be able to do; any call may raise whatever its transport raises."""

    longest: float
    """Seconds after the begin of a charge in which it may still be captured, whatever the client does."""

    async def charge(self, key: UUID, amount: int, token: str) -> Approved | Declined: ...

    async def void(self, key: UUID) -> Voided | NoCharge:
        """Undo what is left of a charge, by whatever means the provider has."""
        ...

    async def refund(self, key: UUID, charge_key: UUID, amount: int) -> GivenBack | NotGivenBack: ...

    async def look_up(self, key: UUID) -> Approved | Declined | Voided | GivenBack | None:
        """What became of a charge or of a refund; None when the provider knows nothing of it."""
        ...


Answer = TypeVar("Answer")


class ProviderClient:
    """Calls a provider: each call with a time limit, not more than so many at once."""

    def __init__(self, provider: Provider, *, calls: int, limit: float) -> None:
        self._provider = provider
        self._slots = asyncio.Semaphore(calls)
        self.limit = limit
        """Seconds that one call may take, waiting for a slot included."""

    @property
    def longest(self) -> float:
        """Seconds after a payment was asked for in which a charge may still turn up."""
        return self.limit + self._provider.longest

    async def _within(self, seconds: float, call: Callable[[], Awaitable[Answer]]) -> Answer:
        async with asyncio.timeout(seconds), self._slots:
            return await call()

    async def charge(self, key: UUID, amount: int, token: str, *, deadline: float) -> Approved | Declined:
        """Charge before `deadline` (monotonic seconds); raises TimeoutError, at once when it is over."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("too late to begin")
        return await self._within(left, lambda: self._provider.charge(key, amount, token))

    async def void(self, key: UUID) -> Voided | NoCharge:
        return await self._within(self.limit, lambda: self._provider.void(key))

    async def refund(self, key: UUID, charge_key: UUID, amount: int, *, again: bool) -> GivenBack | NotGivenBack:
        """Refund; one that was tried before is looked up first."""
        if again:
            known = await self._within(self.limit, lambda: self._provider.look_up(key))
            if isinstance(known, GivenBack):
                return known
        return await self._within(self.limit, lambda: self._provider.refund(key, charge_key, amount))
