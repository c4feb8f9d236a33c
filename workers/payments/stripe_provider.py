"""Stripe behind the port: a PaymentIntent for each payment, with our ids as its metadata and idempotency keys.

A charge is found again by its metadata: by Stripe's search, and among the intents of the last hour, because the search
lags behind by up to a minute. Stripe keeps the answer to an idempotency key for a day, refusals included.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import stripe

from contracts.payment_discrepancies import ProviderName
from workers.payments.provider import (
    Approved,
    Declined,
    NoCharge,
    NotRefunded,
    ProviderCharge,
    ProviderFailed,
    Refunded,
    Voided,
)

CURRENCY = "krw"
"""Without decimals: amounts are whole won."""
PAYMENT_ID, REFUND_ID = "payment_id", "refund_id"
RECENT = timedelta(hours=1)
"""Longer than Stripe's search lags behind."""
NOT_GIVEN_BACK = frozenset({"failed", "canceled"})
DISPUTE_ENDED = frozenset({"won", "warning_closed", "prevented"})
REFUND_KEYS = 8
"""How many idempotency keys a refund may use up; each is used again only when Stripe refused the one before it."""
PAGE = 100


class StripeProvider:
    """Calls Stripe's API; `url` replaces its address."""

    name: ProviderName = "stripe"
    capture_window = 120.0
    """Stripe's longest answer takes 80 seconds."""

    def __init__(self, key: str, *, url: str | None = None) -> None:
        self._http = stripe.HTTPXClient()
        self._stripe = stripe.StripeClient(
            key,
            http_client=self._http,
            max_network_retries=1,
            base_addresses={"api": url} if url else None,
        ).v1

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call] # the SDK leaves it without types

    async def charge(self, key: UUID, amount: int, token: str) -> Approved | Declined:
        try:
            intent = await self._stripe.payment_intents.create_async(
                {
                    "amount": amount,
                    "currency": CURRENCY,
                    "payment_method": token,
                    "allowed_payment_method_types": ["card"],
                    "confirm": True,
                    "error_on_requires_action": True,
                    "metadata": {PAYMENT_ID: str(key)},
                },
                {"idempotency_key": f"charge-{key}"},
            )
        except stripe.CardError as error:
            return Declined(_reason(error))
        except stripe.InvalidRequestError as error:
            return Declined(error.code or "invalid_request")
        if intent.status != "succeeded":
            raise ProviderFailed(f"the payment intent {intent.id} is {intent.status}")
        return Approved(intent.amount_received)

    async def void(self, key: UUID) -> Voided | NoCharge:
        intents = await self._intents(key)
        if not intents:
            return NoCharge()
        return Voided(sum([await self._void(key, intent) for intent in intents]))

    async def _void(self, key: UUID, intent: stripe.PaymentIntent) -> int:
        """Cancel an intent, or refund what is left of it; returns what its voids have given back."""
        if intent.status == "canceled":
            return 0
        if intent.status == "processing":
            raise ProviderFailed(f"the payment intent {intent.id} is processing")
        if intent.status != "succeeded":
            await self._stripe.payment_intents.cancel_async(intent.id)
            return 0
        given_back = await self._given_back(intent)
        rest = intent.amount_received - sum(refund.amount for refund in given_back)
        voided = sum(refund.amount for refund in given_back if REFUND_ID not in _metadata(refund))
        if rest > 0:
            metadata = {PAYMENT_ID: str(key)}
            refund = await self._refund(f"void-{intent.id}-{rest}", intent, rest, metadata)
            if isinstance(refund, NotRefunded):
                raise ProviderFailed(f"the payment intent {intent.id} cannot be voided: {refund.reason}")
            voided += rest
        return voided

    async def refund(self, key: UUID, charge_key: UUID, amount: int) -> Refunded | NotRefunded:
        intent = await self._captured(charge_key)
        if intent is None:
            return NotRefunded("no_charge")
        if known := await self._known_refund(key, intent):
            return known
        metadata = {PAYMENT_ID: str(charge_key), REFUND_ID: str(key)}
        return await self._refund(f"refund-{key}", intent, amount, metadata)

    async def _refund(
        self, key: str, intent: stripe.PaymentIntent, amount: int, metadata: dict[str, str]
    ) -> Refunded | NotRefunded:
        """Refund under the first key whose attempt was not refused; what was refused under a key stays refused."""
        reason = ""
        for number in range(REFUND_KEYS):
            try:
                refund = await self._stripe.refunds.create_async(
                    {"payment_intent": intent.id, "amount": amount, "metadata": metadata},
                    {"idempotency_key": f"{key}-{number}"},
                )
            except stripe.InvalidRequestError as error:
                reason, replayed = error.code or "invalid_request", _replayed(error.headers)
            else:
                if refund.status not in NOT_GIVEN_BACK:
                    return Refunded(refund.amount)
                reason = refund.failure_reason or str(refund.status)
                replayed = _replayed(refund.last_response.headers if refund.last_response else None)
            if not replayed:
                break
        return NotRefunded(reason)

    async def find_refund(self, key: UUID, charge_key: UUID) -> Refunded | None:
        intent = await self._captured(charge_key)
        return await self._known_refund(key, intent) if intent else None

    async def _known_refund(self, key: UUID, intent: stripe.PaymentIntent) -> Refunded | None:
        ours = str(key)
        for refund in await self._given_back(intent):
            if _metadata(refund).get(REFUND_ID) == ours:
                return Refunded(refund.amount)
        return None

    async def _given_back(self, intent: stripe.PaymentIntent) -> list[stripe.Refund]:
        """The refunds of an intent that have not failed, whoever made them."""
        found = await self._stripe.refunds.list_async({"payment_intent": intent.id, "limit": PAGE})
        return [one async for one in found.auto_paging_iter() if one.status not in NOT_GIVEN_BACK]

    async def _captured(self, key: UUID) -> stripe.PaymentIntent | None:
        return next((intent for intent in await self._intents(key) if intent.status == "succeeded"), None)

    async def _intents(self, key: UUID) -> list[stripe.PaymentIntent]:
        """The intents of a payment: one, unless its idempotency key was used again after Stripe had forgotten it."""
        query = f"metadata['{PAYMENT_ID}']:'{key}'"
        found = await self._stripe.payment_intents.search_async({"query": query, "limit": PAGE})
        if found.data:
            return list(found.data)
        since = datetime.now(UTC) - RECENT
        return [intent async for intent in self._created({"gte": int(since.timestamp())}) if _key_of(intent) == key]

    async def _created(self, created: Any) -> AsyncIterator[stripe.PaymentIntent]:
        expand = ["data.latest_charge"]
        found = await self._stripe.payment_intents.list_async({"created": created, "limit": PAGE, "expand": expand})
        async for intent in found.auto_paging_iter():
            yield intent

    async def find_charge(self, key: UUID | None, reference: str = "") -> ProviderCharge | None:
        if key is None:
            try:
                intents = [await self._stripe.payment_intents.retrieve_async(reference)]
            except stripe.InvalidRequestError as error:
                if error.http_status == 404:
                    return None
                raise
        else:
            intents = await self._intents(key)
        captured = [intent for intent in intents if intent.status == "succeeded"]
        if not (captured or intents):
            return None
        first = (captured or intents)[0]
        return ProviderCharge(
            key=_key_of(first),
            reference=first.id,
            captured=sum(intent.amount_received for intent in captured),
            given_back=sum([one.amount for intent in captured for one in await self._given_back(intent)]),
            disputed=sum([await self._disputed(intent) for intent in captured]),
            created_at=datetime.fromtimestamp(first.created, UTC),
        )

    async def _disputed(self, intent: stripe.PaymentIntent) -> int:
        found = await self._stripe.disputes.list_async({"payment_intent": intent.id, "limit": PAGE})
        return sum([one.amount async for one in found.auto_paging_iter() if one.status not in DISPUTE_ENDED])

    async def charges(self, since: datetime, until: datetime) -> AsyncIterator[ProviderCharge]:
        async for intent in self._created({"gte": int(since.timestamp()), "lt": int(until.timestamp())}):
            charge = intent.latest_charge
            captured = intent.amount_received if intent.status == "succeeded" else 0
            disputed = isinstance(charge, stripe.Charge) and charge.disputed
            yield ProviderCharge(
                key=_key_of(intent),
                reference=intent.id,
                captured=captured,
                given_back=charge.amount_refunded if captured and isinstance(charge, stripe.Charge) else 0,
                disputed=await self._disputed(intent) if disputed else 0,
                created_at=datetime.fromtimestamp(intent.created, UTC),
            )


def _metadata(thing: stripe.PaymentIntent | stripe.Refund) -> dict[str, Any]:
    return thing.metadata.to_dict() if thing.metadata else {}


def _key_of(intent: stripe.PaymentIntent) -> UUID | None:
    try:
        return UUID(_metadata(intent).get(PAYMENT_ID, ""))
    except ValueError:
        return None


def _reason(error: stripe.CardError) -> str:
    details: Any = error.error
    return getattr(details, "decline_code", None) or error.code or "card_declined"


def _replayed(headers: Any) -> bool:
    """Whether an answer is that of an earlier request with the same idempotency key."""
    return bool(headers) and headers.get("idempotent-replayed", headers.get("Idempotent-Replayed")) == "true"
