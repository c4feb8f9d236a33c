"""The part of PortOne's documented V2 interface that payments use, with its books in memory."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.payments.providers.http_server import Faults

Json = dict[str, Any]
SECRET, STORE, CHANNEL = "portone-secret", "store-1", "channel-key-1"
DECLINED_KEY, UNKNOWN_KEY = "billing-key-declined", "billing-key-unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _error(kind: str, status: int = 409, **more: Any) -> Response:
    return JSONResponse({"type": kind, "message": kind.lower(), **more}, status)


class PortOneServer:
    """One payment per id; a paid id is never paid again, a failed one may be."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.payments: dict[str, Json] = {}
        self._busy = asyncio.Lock()

    def net_of(self, payment_id: str) -> int:
        payment = self.payments.get(payment_id)
        return payment["amount"]["paid"] if payment else 0

    def cancel_in_dashboard(self, payment_id: str, amount: int) -> None:
        self._cancel(self.payments[payment_id], amount, "customer called")

    def refuse(self, request: Request) -> Response:
        return _error("PG_PROVIDER", 502, pgCode="F100", pgMessage="cancellation refused")

    async def handle(self, request: Request) -> Response:
        if request.headers["authorization"] != f"PortOne {SECRET}":
            return _error("UNAUTHORIZED", 401)
        body: Json = json.loads(request.query_params.get("requestBody") or await request.body() or b"{}")
        parts = request.url.path.strip("/").split("/")
        async with self._busy:
            match request.method, parts:
                case "POST", ["payments", id, "billing-key"]:
                    return self._pay(id, body)
                case "POST", ["payments", id, "cancel"]:
                    return self._cancel_checked(id, body)
                case "GET", ["payments", id]:
                    return JSONResponse(self.payments[id]) if id in self.payments else _error("PAYMENT_NOT_FOUND", 404)
                case "GET", ["payments"]:
                    return self._list(body)
        return _error("INVALID_REQUEST", 400)

    def _pay(self, id: str, body: Json) -> Response:
        known = self.payments.get(id)
        if known and known["status"] != "FAILED":
            return _error("ALREADY_PAID")
        if body["billingKey"] == UNKNOWN_KEY:
            return _error("BILLING_KEY_NOT_FOUND", 404)
        if body["channelKey"] != CHANNEL or body["storeId"] != STORE:
            return _error("CHANNEL_NOT_FOUND", 404)
        payment = self.payments[id] = _payment(id, body)
        if body["billingKey"] == DECLINED_KEY:
            payment |= {
                "status": "FAILED",
                "failedAt": _now(),
                "failure": {"reason": "한도초과", "pgCode": "LIMIT", "pgMessage": "한도초과"},
            }
            payment["amount"]["paid"] = 0
            return _error("PG_PROVIDER", 502, pgCode="LIMIT", pgMessage="한도초과")
        return JSONResponse({"payment": {"pgTxId": payment["pgTxId"], "paidAt": payment["paidAt"]}})

    def _cancel_checked(self, id: str, body: Json) -> Response:
        payment = self.payments.get(id)
        if payment is None:
            return _error("PAYMENT_NOT_FOUND", 404)
        if payment["status"] == "CANCELLED":
            return _error("PAYMENT_ALREADY_CANCELLED")
        if payment["status"] == "FAILED":
            return _error("PAYMENT_NOT_PAID")
        left = payment["amount"]["paid"]
        if body.get("currentCancellableAmount", left) != left:
            return _error("CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN")
        if body["amount"] > left:
            return _error("CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")
        return JSONResponse({"cancellation": self._cancel(payment, body["amount"], body["reason"])})

    def _cancel(self, payment: Json, amount: int, reason: str) -> Json:
        cancellation = {
            "status": "SUCCEEDED",
            "id": str(uuid4()),
            "totalAmount": amount,
            "taxFreeAmount": 0,
            "vatAmount": 0,
            "reason": reason,
            "requestedAt": _now(),
            "cancelledAt": _now(),
        }
        payment["amount"]["paid"] -= amount
        payment["amount"]["cancelled"] += amount
        payment.setdefault("cancellations", []).append(cancellation)
        payment["status"] = "PARTIAL_CANCELLED" if payment["amount"]["paid"] else "CANCELLED"
        payment["cancelledAt"] = _now()
        return cancellation

    def _list(self, body: Json) -> Response:
        wanted, page = body["filter"], body["page"]
        since, until = (datetime.fromisoformat(wanted[end]) for end in ("from", "until"))
        found = [one for one in self.payments.values() if since <= datetime.fromisoformat(one["requestedAt"]) <= until]
        found.sort(key=lambda one: one["requestedAt"])
        start = page["number"] * page["size"]
        return JSONResponse(
            {
                "items": found[start : start + page["size"]],
                "page": {**page, "totalCount": len(found)},
            }
        )


def _payment(id: str, body: Json) -> Json:
    total, now = body["amount"]["total"], _now()
    amount = {"total": total, "taxFree": 0, "discount": 0, "paid": total, "cancelled": 0, "cancelledTaxFree": 0}
    return {
        "status": "PAID",
        "id": id,
        "transactionId": str(uuid4()),
        "merchantId": "merchant-1",
        "storeId": STORE,
        "channel": {
            "type": "TEST",
            "id": "channel-1",
            "key": CHANNEL,
            "name": "test",
            "pgProvider": "TOSSPAYMENTS",
            "pgMerchantId": "tosstest",
        },
        "version": "V2",
        "requestedAt": now,
        "updatedAt": now,
        "statusChangedAt": now,
        "orderName": body["orderName"],
        "amount": amount,
        "currency": body["currency"],
        "customer": {},
        "origin": {"platformType": "PC", "ipAddress": "203.0.113.7"},
        "paidAt": now,
        "pgTxId": uuid4().hex,
        "disputes": [],
        "billingKey": body["billingKey"],
    }
