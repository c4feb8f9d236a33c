"""PortOne (V2) behind the port: a payment by billing key under our own payment id.

PortOne keeps one payment under an id, and never charges an id that is paid. A cancellation has no key of ours: ours
stands in its reason, and `current_cancellable_amount` lets only one of two concurrent cancellations happen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from portone_server_sdk import errors
from portone_server_sdk.common import PageInput, PaymentAmountInput
from portone_server_sdk.payment import (
    CancelledPayment,
    FailedPayment,
    FailedPaymentCancellation,
    PaidPayment,
    PartialCancelledPayment,
    PaymentClient,
    PaymentFilterInput,
    PayPendingPayment,
    ReadyPayment,
    RequestedPaymentCancellation,
    SucceededPaymentCancellation,
    VirtualAccountIssuedPayment,
)

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

CapturedPayment = PaidPayment | PartialCancelledPayment | CancelledPayment
Payment = CapturedPayment | FailedPayment | ReadyPayment | PayPendingPayment | VirtualAccountIssuedPayment

CURRENCY = "KRW"
VOID, REFUND = "void", "refund"
"""How the reason of a cancellation begins; our key follows."""
PAGE = 100
REFUSED_CHARGE = (
    errors.BillingKeyAlreadyDeletedError,
    errors.BillingKeyNotFoundError,
    errors.ChannelNotFoundError,
    errors.InvalidRequestError,
)
"""Answers to a charge that PortOne gives before it asks the card's issuer."""
REFUSED_CANCELLATION = (
    errors.CancelAmountExceedsCancellableAmountError,
    errors.CancellableAmountConsistencyBrokenError,
    errors.InvalidRequestError,
    errors.PaymentAlreadyCancelledError,
    errors.PaymentNotPaidError,
    errors.PgProviderError,
)


class PortOneProvider:
    """Calls PortOne's API; `url` replaces its address."""

    name: ProviderName = "portone"
    capture_window = 120.0
    """The longest that PortOne waits for a card network, twice over."""

    def __init__(
        self, secret: str, *, store_id: str, channel_key: str, order_name: str, live: bool, url: str | None = None
    ) -> None:
        address = {"base_url": url} if url else {}
        self._portone = PaymentClient(secret=secret, store_id=store_id, **address)
        self._channel_key = channel_key
        self._store_id = store_id
        self._order_name = order_name
        self._live = live

    async def close(self) -> None:
        """The client's connections end with the process: the SDK offers no way to close them."""

    async def charge(self, key: UUID, amount: int, token: str) -> Approved | Declined:
        try:
            await self._portone.pay_with_billing_key_async(
                payment_id=str(key),
                billing_key=token,
                channel_key=self._channel_key,
                order_name=self._order_name,
                amount=PaymentAmountInput(total=amount),
                currency=CURRENCY,
            )
        except REFUSED_CHARGE as error:
            return Declined(_code(error))
        except (errors.AlreadyPaidError, errors.PgProviderError):
            return await self._outcome(key, amount)
        return Approved(amount)

    async def _outcome(self, key: UUID, amount: int) -> Approved | Declined:
        """What has become of a charge that was not made by this call."""
        match payment := await self._find(key):
            case FailedPayment():
                return Declined(payment.failure.pg_code or payment.failure.reason or "declined")
            case PaidPayment() | PartialCancelledPayment() | CancelledPayment():
                if payment.amount.total == amount:
                    return Approved(amount)
                raise ProviderFailed("the key was used for another amount")
        raise ProviderFailed(f"the payment {key} has no outcome yet")

    async def void(self, key: UUID) -> Voided | NoCharge:
        payment = await self._find(key)
        if payment is None:
            return NoCharge()
        if isinstance(payment, FailedPayment):
            return Voided(0)
        if not isinstance(payment, CapturedPayment):
            raise ProviderFailed(f"the payment {key} has no outcome yet")
        rest = payment.amount.total - _given_back(payment)
        if rest > 0:
            answer = await self._cancel(key, rest, rest, f"{VOID} {key}")
            if isinstance(answer, NotRefunded):
                raise ProviderFailed(f"the payment {key} cannot be voided: {answer.reason}")
        voided = sum(one.total_amount for one in _cancellations(payment) if not one.reason.startswith(REFUND))
        return Voided(voided + rest)

    async def refund(self, key: UUID, charge_key: UUID, amount: int) -> Refunded | NotRefunded:
        payment = await self._find(charge_key)
        if not isinstance(payment, CapturedPayment):
            return NotRefunded("no_charge")
        if known := _known_refund(payment, key):
            return known
        rest = payment.amount.total - _given_back(payment)
        if amount > rest:
            return NotRefunded("nothing_left")
        return await self._cancel(charge_key, amount, rest, f"{REFUND} {key}")

    async def _cancel(self, key: UUID, amount: int, rest: int, reason: str) -> Refunded | NotRefunded:
        """Cancel a part of a payment of which `rest` can be cancelled; refused when it is less by now."""
        try:
            answer = await self._portone.cancel_payment_async(
                payment_id=str(key), amount=amount, reason=reason, current_cancellable_amount=rest
            )
        except REFUSED_CANCELLATION as error:
            return NotRefunded(_code(error))
        if isinstance(answer.cancellation, FailedPaymentCancellation):
            return NotRefunded("provider_failed")
        return Refunded(amount)

    async def find_refund(self, key: UUID, charge_key: UUID) -> Refunded | None:
        payment = await self._find(charge_key)
        return _known_refund(payment, key) if isinstance(payment, CapturedPayment) else None

    async def find_charge(self, key: UUID | None, reference: str = "") -> ProviderCharge | None:
        payment = await self._find(key or reference)
        return _charge_of(payment) if payment else None

    async def charges(self, since: datetime, until: datetime) -> AsyncIterator[ProviderCharge]:
        wanted = PaymentFilterInput(
            store_id=self._store_id,
            timestamp_type="CREATED_AT",
            from_=since.isoformat(),
            until=until.isoformat(),
            is_test=not self._live,
            sort_by="REQUESTED_AT",
            sort_order="ASC",
        )
        number = 0
        while True:
            page = PageInput(number=number, size=PAGE)
            found = await self._portone.get_payments_async(page=page, filter=wanted)
            for payment in found.items:
                if isinstance(payment, dict):
                    raise ProviderFailed("a payment has a status that the SDK does not know")
                if since <= (charge := _charge_of(payment)).created_at < until:
                    yield charge
            number += 1
            if number * PAGE >= found.page.total_count:
                return

    async def _find(self, key: UUID | str) -> Payment | None:
        try:
            payment = await self._portone.get_payment_async(payment_id=str(key))
        except errors.PaymentNotFoundError:
            return None
        if isinstance(payment, dict):
            raise ProviderFailed(f"the payment {key} has a status that the SDK does not know")
        return payment


def _cancellations(payment: Payment) -> list[SucceededPaymentCancellation | RequestedPaymentCancellation]:
    """The cancellations of a payment that have not failed."""
    found = payment.cancellations or [] if isinstance(payment, CapturedPayment) else []
    return [one for one in found if isinstance(one, SucceededPaymentCancellation | RequestedPaymentCancellation)]


def _given_back(payment: Payment) -> int:
    return sum(one.total_amount for one in _cancellations(payment))


def _known_refund(payment: Payment, key: UUID) -> Refunded | None:
    reason = f"{REFUND} {key}"
    return next((Refunded(one.total_amount) for one in _cancellations(payment) if one.reason == reason), None)


def _charge_of(payment: Payment) -> ProviderCharge:
    captured = isinstance(payment, CapturedPayment)
    disputes = payment.disputes if isinstance(payment, PaidPayment) else []
    open_disputes = any(dispute.status != "RESOLVED" for dispute in disputes)
    return ProviderCharge(
        key=_key_of(payment.id),
        reference=payment.id,
        captured=payment.amount.total if captured else 0,
        given_back=_given_back(payment),
        disputed=payment.amount.total - _given_back(payment) if captured and open_disputes else 0,
        created_at=datetime.fromisoformat(payment.requested_at),
    )


def _key_of(id: str) -> UUID | None:
    try:
        return UUID(id)
    except ValueError:
        return None


def _code(error: errors.PortOneError) -> str:
    """The error's class in the words of our own reasons: `billing_key_not_found`."""
    if isinstance(error, errors.PgProviderError):
        return error.pg_code
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
