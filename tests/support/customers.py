"""Customers over HTTP: they repeat a request with the same key until there is an outcome."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.base import Caller, Role
from gateway_api.app import all_routes
from gateway_api.idempotency import message_id
from gateway_api.tokens import issue

BASE = "/v1/video-rental"
NO_OUTCOME = {"unavailable", "outcome_unknown", "still_running", "too_many_requests"}
"""Codes after which a request is repeated."""
BOOKING = next(
    route.operation for route in all_routes() if (route.operation.method, route.path) == ("POST", f"{BASE}/rentals")
)


@dataclass(frozen=True)
class Outcome:
    """The last answer of the gateway; `code` is `done` or the code of a problem."""

    code: str
    body: dict[str, Any]


class Customer:
    """One caller of the gateway."""

    def __init__(self, http: httpx.AsyncClient, name: str, key: str, role: Role = "customer") -> None:
        self.caller = Caller(member_id=name, role=role)
        self._http = http
        self._headers = {"authorization": f"Bearer {issue(name, role, key=key)}"}

    def rental_of(self, key: str) -> UUID:
        """The id of the rental that a booking with this key makes."""
        return message_id(self.caller, BOOKING, key.encode())

    async def post(self, path: str, body: dict[str, Any], key: str = "", within: float = 60) -> Outcome:
        """Post until there is an outcome, at most `within` seconds."""
        headers = self._headers | {"idempotency-key": key or str(uuid4())}
        deadline = time.monotonic() + within
        while True:
            try:
                answer = await self._http.post(BASE + path, json=body, headers=headers)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                outcome = Outcome(answer.json()["code"] if answer.is_error else "done", answer.json())
                if outcome.code not in NO_OUTCOME:
                    return outcome
                last = outcome.code
            if time.monotonic() > deadline:
                raise AssertionError(f"no outcome of {path} within {within} s: {last}")
            await asyncio.sleep(0.1)

    async def book(self, video_id: str, token: str = "tok_visa", key: str = "") -> Outcome:
        payment = {"method": "card", "token": token, "last4": "4242", "brand": "visa"}
        return await self.post("/rentals", {"video_id": video_id, "days": 1, "payment": payment}, key)

    async def act(self, rental_id: object, action: str) -> Outcome:
        """`cancellation`, `pickup` or `return`."""
        return await self.post(f"/rentals/{rental_id}/{action}", {})
