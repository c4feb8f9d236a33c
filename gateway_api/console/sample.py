"""Sample data for an empty system; every request has an idempotency key, so that repeating it changes nothing.

Idempotency keys belong to their caller, but the code of a bike is unique in the system. Bikes are registered first:
when the code of the first one is taken, another caller has registered the sample data before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


class SampleResponse(Protocol):
    @property
    def ok(self) -> bool: ...

    @property
    def code(self) -> str: ...


Send = Callable[[str, dict[str, Any], str], Awaitable[SampleResponse]]
"""Posts a body to a path of the API, as staff, with an idempotency key."""

Registrations = tuple[tuple[str, dict[str, Any]], ...]

VIDEOS: Registrations = (
    ("/v1/video-rental/videos", {"title": "카사블랑카 Casablanca", "daily_price": 1_500, "copies": 3}),
    ("/v1/video-rental/videos", {"title": "8월의 크리스마스 Christmas in August", "daily_price": 1_800, "copies": 2}),
    ("/v1/video-rental/videos", {"title": "접속 The Contact", "daily_price": 1_200, "copies": 1}),
)
BIKES: Registrations = (
    ("/v1/bike-sharing/bikes", {"code": "서울-101", "location": "여의도역 1번 출구"}),
    ("/v1/bike-sharing/bikes", {"code": "서울-102", "location": "여의도역 1번 출구"}),
    ("/v1/bike-sharing/bikes", {"code": "서울-203", "location": "뚝섬 한강공원"}),
)
PRODUCTS: Registrations = (
    ("/v1/shop/products", {"name": "나무 책갈피", "price": 4_500, "stock": 30}),
    ("/v1/shop/products", {"name": "한지 공책", "price": 12_000, "stock": 12}),
    ("/v1/shop/products", {"name": "청자 찻잔", "price": 38_000, "stock": 2}),
)
MENU: Registrations = (
    ("/v1/cafe/menu", {"name": "아메리카노 Americano", "price": 4_000}),
    ("/v1/cafe/menu", {"name": "카페라테 Latte", "price": 4_800}),
    ("/v1/cafe/menu", {"name": "유자차 Yuja tea", "price": 5_200}),
)
PHONES: Registrations = (
    ("/v1/preorder/products", {"name": "달빛 15", "price": 1_250_000}),
    ("/v1/preorder/products", {"name": "달빛 15 프로", "price": 1_690_000, "quota": 20}),
)
POLICY: Registrations = (
    ("/v1/ticketing/discount-policies", {"name": "조기 예매 Early bird", "kind": "percent", "value": 10}),
    ("/v1/ticketing/discount-policies", {"name": "VIP", "kind": "amount", "value": 5_000, "grade": "VIP"}),
)


def tickets(now: datetime) -> Registrations:
    """Return tickets of two concerts, 7 and 14 days from now."""
    noon = now.astimezone(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
    shows = (("가야금 독주회 Gayageum recital", 30_000, 7), ("판소리 한마당 Pansori", 45_000, 14))
    return tuple(
        (
            "/v1/ticketing/tickets",
            {
                "name": f"{name} {seat}",
                "starts_at": (noon + timedelta(days=days)).isoformat(),
                "ends_at": (noon + timedelta(days=days, hours=2)).isoformat(),
                "base_price": price,
            },
        )
        for name, price, days in shows
        for seat in ("A1", "A2", "B1")
    )


async def seed(send: Send) -> int:
    """Register everything; returns the number of refused requests, not counting those of an earlier run."""
    registrations = (*BIKES, *VIDEOS, *POLICY, *PRODUCTS, *MENU, *PHONES, *tickets(datetime.now(UTC)))
    refused = 0
    for number, (path, body) in enumerate(registrations):
        response = await send(path, body, f"sample-data-{number}")
        if number == 0 and response.code == "code_taken":
            return 0
        refused += not response.ok and response.code not in ("idempotency_key_reused", "code_taken")
    return refused
