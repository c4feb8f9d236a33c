"""The console over an RPC client with fixed answers, and a browser without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway_api.app import build
from ops.settings import SystemSettings
from tests.gateway_api.conftest import KEY, FakeRpcClient

HIDDEN = ("csrf", "nonce", "back", "expected_price", "expected_version")


class Browser(httpx.AsyncClient):
    """A browser without scripts: it keeps cookies, follows no redirect, and sends forms as they were rendered."""

    page: httpx.Response | None = None

    async def look(self, path: str, **more: Any) -> httpx.Response:
        self.page = await self.get(path, **more)
        return self.page

    def hidden(self, name: str) -> str:
        """Return a hidden field of the last page."""
        assert self.page is not None
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page.text)
        assert found, f"no {name} in the page"
        return found[1]

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of the last page, with its hidden fields."""
        assert self.page is not None
        names = [name for name in HIDDEN if f'name="{name}"' in self.page.text]
        return await self.post(path, data={**{name: self.hidden(name) for name in names}, **fields})

    async def sign_in(self, person: str) -> None:
        await self.look("/sign-in")
        answer = await self.submit("/sign-in", person=person, next="/")
        assert answer.status_code == 303, answer.text


@pytest.fixture
def rpc() -> FakeRpcClient:
    return FakeRpcClient()


OpenBrowser = Callable[..., Browser]


@pytest.fixture
def open_browser(rpc: FakeRpcClient) -> OpenBrowser:
    """Make browsers of a gateway with these settings."""

    def opened(**settings: Any) -> Browser:
        app = build(rpc, SystemSettings(**{"jwt_key": KEY, "gateway_rate": 0, **settings}))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return Browser(transport=transport, base_url="http://localhost", headers={"accept-language": "en"})

    return opened


@pytest.fixture
def browser(open_browser: OpenBrowser) -> Browser:
    return open_browser()


def rental(**changes: Any) -> dict[str, Any]:
    """Return a booking as My Page answers it."""
    return {
        "rental_id": "269b73ad-dadb-5103-b6ef-6c45a3d3eaee",
        "video_id": "11111111-1111-4111-8111-111111111111",
        "member_id": "kim",
        "title": "Casablanca",
        "days": 2,
        "daily_price": 1500,
        "price": 3000,
        "status": "BOOKED",
        "reason": None,
        "payment_id": "22222222-2222-4222-8222-222222222222",
        "pickup_until": "2026-03-01T14:50:00Z",
        "picked_up_at": None,
        "due_at": None,
        "returned_at": None,
        "late_fee": 0,
        "late_fee_status": "NONE",
        "late_fee_payment_id": None,
        "created_at": "2026-02-27T14:50:00Z",
        "modified_at": "2026-02-27T14:50:00Z",
        "version": 2,
        "payment": {"payment_id": "22222222-2222-4222-8222-222222222222", "status": "APPROVED", "amount": 3000},
        "refund": None,
        "as_of": "2026-02-27T14:50:01Z",
        "timeline": [{"at": "2026-02-27T14:50:00Z", "what": "VideoBooked", "status": "BOOKED", "reason": None}],
        **changes,
    }


def video(**changes: Any) -> dict[str, Any]:
    """Return a video as the catalogue answers it."""
    return {
        "video_id": "11111111-1111-4111-8111-111111111111",
        "title": "Casablanca",
        "daily_price": 1500,
        "copies": 2,
        "available": 2,
        "status": "AVAILABLE",
        "registered_by": "choi",
        "created_at": "2026-02-27T14:50:00Z",
        "modified_at": "2026-02-27T14:50:00Z",
        "version": 1,
        **changes,
    }
