"""The port to the payment provider, and the client that limits the time and the number of its calls.

Each call carries an idempotency key: the payment's id for a charge, the refund's id for a refund.
`tests/payments/providers` has the suite that every implementation passes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.payment_discrepancies import ProviderMode, ProviderName
from workers.payments.slots import CallSlots


class ProviderFailed(Exception):
    """The provider gave no usable reply: whether it acted is unknown."""


@dataclass(frozen=True, slots=True)
class Approved:
    captured: int


@dataclass(frozen=True, slots=True)
class Declined:
    reason: str


@dataclass(frozen=True, slots=True)
class Voided:
    """Nothing of the charge is captured any more."""

    amount: int
    """The whole amount voided under this key, in won; 0 when the charge had been declined."""


@dataclass(frozen=True, slots=True)
class NoCharge:
    """The provider has no charge under this key; a call in flight may still create one."""


@dataclass(frozen=True, slots=True)
class Refunded:
    amount: int


@dataclass(frozen=True, slots=True)
class NotRefunded:
    """The provider certainly did not refund in this call."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProviderCharge:
    """What a provider's books say of a charge; amounts in won."""

    key: UUID | None
    """The id of our payment; None when the charge has none, because it was not made by us."""
    reference: str
    """The provider's own id of it."""
    captured: int
    """What was captured in all; 0 for one that was declined or cancelled before its capture."""
    given_back: int
    """What was voided and refunded of it, by whomever."""
    disputed: int
    """What the cardholder's bank disputes or has taken back."""
    created_at: datetime


class Provider(Protocol):
    """What a payment provider must implement; a call may raise any error of its transport."""

    name: ProviderName
    capture_window: float
    """Seconds from the start of a charge in which it may still be captured, even if the client has gone."""

    async def charge(self, key: UUID, amount: int, token: str) -> Approved | Declined: ...

    async def void(self, key: UUID) -> Voided | NoCharge:
        """Undo what remains of a charge, by cancellation or by refund."""
        ...

    async def refund(self, key: UUID, charge_key: UUID, amount: int) -> Refunded | NotRefunded: ...

    async def find_refund(self, key: UUID, charge_key: UUID) -> Refunded | None:
        """The refund under a key, of the charge under another; None when the provider has none."""
        ...

    async def find_charge(self, key: UUID | None, reference: str = "") -> ProviderCharge | None:
        """A charge by our key or, where that is None, by the provider's reference; None when there is none."""
        ...

    def charges(self, since: datetime, until: datetime) -> AsyncIterator[ProviderCharge]:
        """All charges that the provider created from `since` on and before `until`, declined ones too."""
        ...

    async def close(self) -> None:
        """Close what the provider has opened; charges in flight are left to it."""
        ...


class ProviderClient:
    """Calls a provider with a time limit of `limit` seconds per call, and with at most `calls` calls at once."""

    def __init__(self, provider: Provider, *, calls: int, limit: float, mode: ProviderMode = "simulated") -> None:
        self._provider = provider
        self.name = provider.name
        self.mode = mode
        self._slots = CallSlots(calls)
        self.limit = limit
        """Seconds that one call may take, including the wait for a free slot."""

    @property
    def capture_window(self) -> float:
        """Seconds from the request of a payment in which a charge may still appear at the provider."""
        return self.limit + self._provider.capture_window

    async def charge(
        self, key: UUID, amount: int, token: str, *, payer: str, purpose: str, deadline: float
    ) -> Approved | Declined:
        """Charge before `deadline` (monotonic seconds); raises TimeoutError, at once when the deadline has passed."""
        if deadline <= time.monotonic():
            raise TimeoutError("the deadline of the charge has passed")
        async with self._slots.slot(payer, purpose, deadline):
            return await self._provider.charge(key, amount, token)

    async def void(self, key: UUID) -> Voided | NoCharge:
        async with self._slots.slot(str(key), "void", self._deadline()):
            return await self._provider.void(key)

    async def refund(self, key: UUID, charge_key: UUID, amount: int, *, again: bool) -> Refunded | NotRefunded:
        """Refund; with `again` (an earlier attempt may have succeeded) the refund is looked up first."""
        if again:
            async with self._slots.slot(str(key), "refund", self._deadline()):
                known = await self._provider.find_refund(key, charge_key)
            if known:
                return known
        async with self._slots.slot(str(key), "refund", self._deadline()):
            return await self._provider.refund(key, charge_key, amount)

    async def find_charge(self, key: UUID | None, reference: str = "") -> ProviderCharge | NoCharge:
        async with self._slots.slot(str(key), "look-up", self._deadline()):
            return await self._provider.find_charge(key, reference) or NoCharge()

    def charges(self, since: datetime, until: datetime) -> AsyncIterator[ProviderCharge]:
        """The provider's list, without a limit of time: it has as many pages as the range has charges."""
        return self._provider.charges(since, until)

    def _deadline(self) -> float:
        return time.monotonic() + self.limit
