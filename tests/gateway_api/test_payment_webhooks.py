"""Webhooks of payment providers: the signature over the raw body, and one durable message per event."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.payment_discrepancies import NoteProviderEvent
from gateway_api.app import build
from ops.settings import SystemSettings
from tests.gateway_api.conftest import KEY, FakeRpcClient
from workers.runtime.messaging.errors import BrokerUnavailable

STRIPE_SECRET = "whsec_" + "s" * 32
PORTONE_SECRET = "whsec_" + base64.b64encode(b"p" * 32).decode()
PAYMENT_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


class FakeBroker:
    """A broker that keeps what it is given, or is unavailable."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.available = True
        self.is_usable = True

    async def publish(self, body: bytes, **options: Any) -> None:
        if not self.available:
            raise BrokerUnavailable("the broker is unavailable")
        self.published.append({"event": NoteProviderEvent.model_validate_json(body), **options})


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
async def provider(broker: FakeBroker) -> AsyncIterator[httpx.AsyncClient]:
    """A provider that calls the gateway."""
    settings = SystemSettings(
        jwt_key=KEY,
        gateway_stripe_webhook_secret=STRIPE_SECRET,
        gateway_portone_webhook_secret=PORTONE_SECRET,
        gateway_failures=1,
    )
    app = build(FakeRpcClient(), settings)
    app.state.gateway.broker = broker
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


def stripe_body(kind: str = "payment_intent.succeeded", **thing: Any) -> bytes:
    usual = {"object": "payment_intent", "id": "pi_1", "metadata": {"payment_id": PAYMENT_ID}}
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing or usual}}
    return json.dumps(event, indent=2).encode()


def by_stripe(body: bytes, *, at: float | None = None, secret: str = STRIPE_SECRET) -> dict[str, str]:
    """The header of Stripe's documented scheme: `t=...,v1=HMAC-SHA256(t.body)`."""
    stamp = str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={stamp},v1={signature}"}


def portone_body(kind: str = "Transaction.Paid", **data: Any) -> bytes:
    usual = {"paymentId": PAYMENT_ID, "storeId": "store-1", "transactionId": "t-1"}
    return json.dumps({"type": kind, "timestamp": "2030-01-01T00:00:00Z", "data": data or usual}).encode()


def by_portone(body: bytes, *, at: float | None = None, secret: str = PORTONE_SECRET) -> dict[str, str]:
    """The headers of Standard Webhooks, which PortOne documents."""
    stamp = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"wh_1.{stamp}.".encode() + body, "sha256")).decode()
    return {"webhook-id": "wh_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


SIGNED: Mapping[str, Any] = {"stripe": (stripe_body, by_stripe), "portone": (portone_body, by_portone)}
EACH = pytest.mark.parametrize("name", SIGNED)


@EACH
async def test_a_signed_event_becomes_one_durable_message(
    provider: httpx.AsyncClient, broker: FakeBroker, name: str
) -> None:
    make, sign = SIGNED[name]

    answer = await provider.post(f"/v1/payments/webhooks/{name}", content=make(), headers=sign(make()))

    assert (answer.status_code, answer.content) == (204, b"")
    (sent,) = broker.published
    assert (sent["event"].provider, str(sent["event"].payment_id)) == (name, PAYMENT_ID)
    assert (sent["routing_key"], sent["persist"]) == ("payments.note_provider_event", True)


@EACH
async def test_the_same_event_again_is_the_same_message(
    provider: httpx.AsyncClient, broker: FakeBroker, name: str
) -> None:
    make, sign = SIGNED[name]

    for seconds_ago in (30, 0):  # signed anew, as a provider does when it tries again
        headers = sign(make(), at=time.time() - seconds_ago)
        await provider.post(f"/v1/payments/webhooks/{name}", content=make(), headers=headers)

    assert len({sent["message_id"] for sent in broker.published}) == 1


@EACH
@pytest.mark.parametrize("forged", ["changed", "old", "other secret", "no signature"])
async def test_a_forged_event_is_refused(
    provider: httpx.AsyncClient, broker: FakeBroker, name: str, forged: str
) -> None:
    make, sign = SIGNED[name]
    body = make()
    headers = {
        "changed": lambda: sign(body),
        "old": lambda: sign(body, at=time.time() - 3600),
        "other secret": lambda: sign(body, secret="whsec_" + base64.b64encode(b"x" * 32).decode()),
        "no signature": dict,
    }[forged]()
    sent = body.replace(PAYMENT_ID.encode(), str(uuid4()).encode()) if forged == "changed" else body

    answer = await provider.post(f"/v1/payments/webhooks/{name}", content=sent, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")
    assert broker.published == []


async def test_a_forger_is_slowed_down(provider: httpx.AsyncClient) -> None:
    answers = [await provider.post("/v1/payments/webhooks/stripe", content=b"{}") for _ in range(6)]

    assert [answer.status_code for answer in answers][-1] == 429


@EACH
async def test_while_the_broker_is_unavailable_the_provider_is_told_to_come_again(
    provider: httpx.AsyncClient, broker: FakeBroker, name: str
) -> None:
    make, sign = SIGNED[name]
    broker.available = False

    answer = await provider.post(f"/v1/payments/webhooks/{name}", content=make(), headers=sign(make()))

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("kind", "thing", "payment_id"),
    [
        ("charge.dispute.created", {"object": "dispute", "id": "dp_1", "payment_intent": "pi_9"}, None),
        (
            "charge.refunded",
            {"object": "charge", "id": "ch_1", "payment_intent": "pi_9", "metadata": {"payment_id": PAYMENT_ID}},
            PAYMENT_ID,
        ),
        ("refund.failed", {"object": "refund", "id": "re_1", "payment_intent": {"id": "pi_9"}}, None),
    ],
)
async def test_whatever_names_a_payment_intent_is_taken(
    provider: httpx.AsyncClient, broker: FakeBroker, kind: str, thing: dict[str, Any], payment_id: str | None
) -> None:
    body = stripe_body(kind, **thing)

    await provider.post("/v1/payments/webhooks/stripe", content=body, headers=by_stripe(body))

    event = broker.published[0]["event"]
    assert (event.kind, event.reference) == (kind, "pi_9")
    assert event.payment_id == (payment_id and event.payment_id)
    assert (event.payment_id is None) is (payment_id is None)


async def test_events_of_no_charge_are_taken_and_forgotten(provider: httpx.AsyncClient, broker: FakeBroker) -> None:
    customer = stripe_body("customer.created", object="customer", id="cus_1")
    billing_key = portone_body("BillingKey.Issued", billingKey="billing-key-1", storeId="store-1")

    answers = [
        await provider.post("/v1/payments/webhooks/stripe", content=customer, headers=by_stripe(customer)),
        await provider.post("/v1/payments/webhooks/portone", content=billing_key, headers=by_portone(billing_key)),
    ]

    assert [answer.status_code for answer in answers] == [204, 204]
    assert broker.published == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": null}', b"not json", b'{"id": 1, "data": 7}'])
@EACH
async def test_a_signed_body_of_another_shape_is_bad(
    provider: httpx.AsyncClient, broker: FakeBroker, name: str, body: bytes
) -> None:
    answer = await provider.post(f"/v1/payments/webhooks/{name}", content=body, headers=SIGNED[name][1](body))

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
    assert broker.published == []


async def test_a_body_beyond_the_limit_and_an_unknown_provider_are_refused(provider: httpx.AsyncClient) -> None:
    large = await provider.post("/v1/payments/webhooks/stripe", content=b"x" * 70_000)
    unknown = await provider.post("/v1/payments/webhooks/simulator", content=b"{}")

    assert (large.status_code, unknown.status_code) == (413, 404)


async def test_without_a_secret_there_is_no_webhook() -> None:
    app = build(FakeRpcClient(), SystemSettings(jwt_key=KEY))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.post("/v1/payments/webhooks/stripe", content=b"{}")

    assert answer.status_code == 404
