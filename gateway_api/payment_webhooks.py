"""Webhooks of payment providers: the signature over the raw body is checked, and what it reports becomes a message.

POST /v1/payments/webhooks/{provider} answers 204 once the message is confirmed by the broker; the message's id follows
from the provider's event id, so that an event that is delivered again is handled once. A webhook is believed to say
where something changed, never what: `payments` asks the provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contracts.payment_discrepancies import NoteProviderEvent
from gateway_api import bodies, metrics
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import durable_headers, exchange
from workers.runtime.messaging.errors import BROKER_ERRORS, Unroutable

log = structlog.get_logger()

PUBLISH_SECONDS = 5
"""Less than any provider waits for its answer."""

Reader = Callable[[str, str, Mapping[str, str]], NoteProviderEvent | None]
"""Reads a body with its secret and its headers; None for an event of no charge. Raises BadSignature."""


class BadSignature(Exception):
    """The body was not signed with our secret, or a long time ago."""


def read_stripe(secret: str, body: str, headers: Mapping[str, str]) -> NoteProviderEvent | None:
    """Read an event of Stripe: of a PaymentIntent, or of anything that names one (charge, refund, dispute)."""
    import stripe  # only where Stripe is used

    try:
        stripe.WebhookSignature.verify_header(
            body, headers.get("stripe-signature"), secret, stripe.Webhook.DEFAULT_TOLERANCE
        )
    except stripe.SignatureVerificationError:
        raise BadSignature from None
    event: dict[str, Any] = json.loads(body)
    thing: dict[str, Any] = event["data"]["object"]
    intent = thing["id"] if thing.get("object") == "payment_intent" else thing.get("payment_intent")
    if not intent:
        return None
    return NoteProviderEvent(
        provider="stripe",
        event_id=event["id"],
        kind=event["type"],
        payment_id=_uuid((thing.get("metadata") or {}).get("payment_id")),
        reference=intent if isinstance(intent, str) else intent["id"],
    )


def read_portone(secret: str, body: str, headers: Mapping[str, str]) -> NoteProviderEvent | None:
    """Read an event of PortOne's V2 webhooks: of a payment; those of billing keys are of no charge."""
    from portone_server_sdk import webhook  # only where PortOne is used

    try:
        webhook.verify(secret, body, headers)
    except webhook.WebhookVerificationError:
        raise BadSignature from None
    event: dict[str, Any] = json.loads(body)
    payment_id = event["data"].get("paymentId")
    if not payment_id:
        return None
    return NoteProviderEvent(
        provider="portone",
        event_id=headers["webhook-id"],
        kind=event["type"],
        payment_id=_uuid(payment_id),
        reference=payment_id,
    )


READERS: dict[str, Reader] = {"stripe": read_stripe, "portone": read_portone}

for _provider in READERS:  # a rate sees the first one, too
    for _outcome in ("taken", "ignored", "bad_signature", "unreadable", "unavailable"):
        metrics.WEBHOOKS.labels(_provider, _outcome)

router = APIRouter(include_in_schema=False)


@router.post("/v1/payments/webhooks/{provider}")
async def receive_webhook(provider: str, request: Request) -> Response:
    """Publish what a provider reports. It has no token: the signature is its proof."""
    state = request.app.state.gateway
    settings: GatewaySettings = state.gateway.settings
    secret = settings.webhook_secret(provider)
    if secret is None:
        raise Problem("not_found")
    length = request.headers.get("content-length")
    raw = await bodies.receive_body(request.receive, length.encode() if length else None, settings.gateway_body_limit)
    try:
        event = READERS[provider](secret, raw.decode(), request.headers)
    except BadSignature:
        _count(provider, "bad_signature")
        state.gateway.failures.count(request.scope.get("client"))
        raise Problem("bad_signature") from None
    except (ValueError, KeyError, TypeError, AttributeError):  # signed or not, nothing that we can read
        _count(provider, "unreadable")
        raise Problem("bad_json") from None
    if event is not None:
        await _publish(state.broker, event)
    _count(provider, "taken" if event else "ignored")
    return Response(status_code=204)


async def _publish(broker: Broker | None, event: NoteProviderEvent) -> None:
    """Publish a durable message and wait for its confirm; raises `unavailable`, and the provider sends it again."""
    if broker is None:
        raise Problem("unavailable")
    id = uuid5(NAMESPACE_URL, f"payment webhook {event.provider} {event.event_id}")
    try:
        await broker.publish(
            event.model_dump_json().encode(),
            routing_key=event.topic,
            exchange=exchange(event.exchange),
            persist=True,
            message_id=str(id),
            message_type=event.topic,
            headers=durable_headers(event.payment_id or id, None, event.provider),
            timeout=PUBLISH_SECONDS,
        )
    except (Unroutable, *BROKER_ERRORS, OSError) as error:
        _count(event.provider, "unavailable")
        log.warning("webhook_not_published", provider=event.provider, kind=event.kind, error=type(error).__name__)
        raise Problem("unavailable") from None


def _count(provider: str, outcome: str) -> None:
    metrics.WEBHOOKS.labels(provider, outcome).inc()


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
