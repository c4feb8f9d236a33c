"""What localstripe does not play of Stripe's documented interface, in front of it.

Idempotency keys (the answer of the first request, 400 for other parameters, 409 while the first runs), search by
metadata, lists by time, `error_on_requires_action`, refunds of more than was charged, disputes, and some fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.payments.providers.http_server import Faults

NOT_PLAYED = ("error_on_requires_action", "allowed_payment_method_types[0]")
QUERY = re.compile(r"metadata\['payment_id'\]:'([^']+)'")
AUTHORIZATION = {"Authorization": "Bearer sk_test_12345"}
Json = dict[str, Any]


@dataclass
class Answer:
    parameters: str
    status: int | None = None
    body: Json = field(default_factory=dict)


class StripeServer:
    """Forwards to localstripe at `url` what it can play."""

    def __init__(self, url: str) -> None:
        self.faults = Faults()
        self.searchable = True
        """False: the search lags behind, and finds nothing."""
        self.disputes: list[Json] = []
        self._localstripe = httpx.AsyncClient(base_url=url, headers=AUTHORIZATION, timeout=10)
        self._answers: dict[str, Answer] = {}

    async def close(self) -> None:
        await self._localstripe.aclose()

    async def card(self, number: str) -> str:
        """The id of a payment method with this card, as the browser would get it from Stripe."""
        card = {"card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2040", "card[cvc]": "123"}
        answer = await self._localstripe.post("/v1/payment_methods", data={"type": "card", **card})
        id: str = answer.raise_for_status().json()["id"]
        return id

    async def net_of(self, payment_id: str) -> int:
        """What Stripe keeps of a payment: captured and not refunded, over all its intents; in won."""
        intents = [one for one in await self._all("payment_intent") if one["metadata"].get("payment_id") == payment_id]
        charges = [one["latest_charge"] for one in intents if one["status"] == "succeeded"]
        return sum(charge["amount"] - charge["amount_refunded"] for charge in charges)

    def refuse(self, request: Request) -> Response:
        body = {"error": {"type": "invalid_request_error", "code": "balance_insufficient", "message": "no balance"}}
        return self._remember(request, Answer(_parameters(request), 400, body))

    async def handle(self, request: Request) -> Response:
        if request.method == "POST" and (key := request.headers.get("idempotency-key")):
            known = self._answers.get(key)
            if known is None:
                answer = self._answers[key] = Answer(_parameters(request))
                answer.status, answer.body = await self._carry_out(request)
                return JSONResponse(answer.body, answer.status)
            if known.parameters != _parameters(request):
                return JSONResponse({"error": {"type": "idempotency_error", "message": "other parameters"}}, 400)
            if known.status is None:
                return JSONResponse({"error": {"type": "invalid_request_error", "code": "idempotency_key_in_use"}}, 409)
            return JSONResponse(known.body, known.status, {"idempotent-replayed": "true"})
        status, body = await self._carry_out(request)
        return JSONResponse(body, status)

    def _remember(self, request: Request, answer: Answer) -> Response:
        known = self._answers.setdefault(request.headers["idempotency-key"], answer)
        assert known.status is not None
        return JSONResponse(known.body, known.status, {} if known is answer else {"idempotent-replayed": "true"})

    async def _carry_out(self, request: Request) -> tuple[int, Json]:
        path, query = request.url.path, dict(request.query_params)
        if path == "/v1/payment_intents/search":
            wanted = QUERY.search(query["query"])
            assert wanted, query["query"]
            found = [one for one in await self._all("payment_intent") if one["metadata"].get("payment_id") == wanted[1]]
            return 200, {"object": "search_result", "data": found if self.searchable else [], "has_more": False}
        if path == "/v1/disputes":
            found = [one for one in self.disputes if one["payment_intent"] == query["payment_intent"]]
            return 200, {"object": "list", "data": found, "has_more": False, "url": path}
        if path == "/v1/payment_intents" and request.method == "GET":
            return 200, self._created(await self._all("payment_intent"), query)
        if path == "/v1/refunds" and request.method == "POST" and (refusal := await self._too_much(request)):
            return refusal
        form = [(name, value) for name, value in _form(request) if name not in NOT_PLAYED]
        answer = await self._localstripe.request(
            request.method,
            path,
            params=query,
            content=urlencode(form),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        return self._completed(answer.status_code, answer.json(), dict(_form(request)))

    def _created(self, intents: list[Json], query: dict[str, str]) -> Json:
        since, until = int(query.get("created[gte]", 0)), int(query.get("created[lt]", 2**40))
        found = [one for one in reversed(intents) if since <= one["created"] < until]
        ids = [one["id"] for one in found]
        start = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        limit = int(query.get("limit", 10))
        page = found[start : start + limit]
        return {
            "object": "list",
            "data": page,
            "has_more": len(found) > start + limit,
            "url": "/v1/payment_intents",
        }

    def _completed(self, status: int, body: Json, form: dict[str, str]) -> tuple[int, Json]:
        """An answer with the fields that localstripe leaves out."""
        if status == 402:
            body["error"] |= {"type": "card_error", "decline_code": "generic_decline"}
        if body.get("object") == "payment_intent":
            if body["status"] == "requires_action" and form.get("error_on_requires_action") == "true":
                error = {"type": "card_error", "code": "authentication_required", "message": "3D Secure"}
                return 402, {"error": error}
            body["amount_received"] = body["amount"] if body["status"] == "succeeded" else 0
            if body["latest_charge"]:
                body["latest_charge"]["disputed"] = any(one["payment_intent"] == body["id"] for one in self.disputes)
        if body.get("object") == "refund":
            body["failure_reason"] = None
        return status, body

    async def _too_much(self, request: Request) -> tuple[int, Json] | None:
        form = dict(_form(request))
        intent = (await self._localstripe.get(f"/v1/payment_intents/{form['payment_intent']}")).json()
        charge = intent["latest_charge"]
        if int(form["amount"]) <= charge["amount"] - charge["amount_refunded"]:
            return None
        return 400, {"error": {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "less"}}

    async def _all(self, kind: str) -> list[Json]:
        answer = await self._localstripe.get(f"/v1/{kind}s", params={"limit": 10_000})
        return [self._completed(200, one, {})[1] for one in answer.raise_for_status().json()["data"]]


def _form(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(_parameters(request), keep_blank_values=True)


def _parameters(request: Request) -> str:
    return bytes(request._body).decode()
