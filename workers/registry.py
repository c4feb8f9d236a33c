"""The registry of all contexts: one entry each, from which everything that lists contexts is generated or read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:  # commands that need only the names of contexts do not import the runtime
    from workers.runtime.processing.handlers import BaseWorker

Kind = Literal["writer", "view", "service"]
"""A `service` serves all systems and belongs to none."""
Outcome = Literal["booked", "rejected", "cancelled"]


@dataclass(frozen=True)
class Replicas:
    """How many processes of a context may run on a cluster."""

    least: int = 1
    most: int = 5
    messages: int = 50
    """Messages in its queues, ready or unacknowledged, for which one replica runs."""


@dataclass(frozen=True)
class Context:
    """A bounded context, as operators and deployments know it."""

    name: str
    kind: Kind
    en: str
    """What it does, as the READMEs say it."""
    ko: str
    replicas: Replicas = Replicas()
    memory: int = 500
    """The most memory of one process, in MiB."""
    asks_provider: bool = False
    """Whether it calls the payment provider: it keeps the log of refunds, and has the provider's address."""
    bookings: Mapping[str, Outcome] = field(default_factory=dict)
    """Events that report the outcome of a booking, by the last part of their topics; metrics count these."""

    @property
    def system(self) -> str:
        """The system that it belongs to; its own name for a service."""
        return self.name.partition(".")[0]

    @property
    def schema(self) -> str:
        """The PostgreSQL schema of its tables."""
        return self.name.replace(".", "_")


REGISTRY = (
    Context(
        "payments",
        "service",
        "charges once, voids or refunds; records the shop's bank transfers",
        "결제를 한 번만 하고, 취소하거나 환불합니다. 쇼핑몰의 계좌 이체를 기록합니다",
        asks_provider=True,
    ),
    Context("video_rental.videos", "writer", "the catalogue", "비디오 목록"),
    Context(
        "video_rental.rentals",
        "writer",
        "bookings and loans",
        "예약과 대여",
        Replicas(most=10),
        bookings={"video_booked": "booked", "booking_rejected": "rejected", "booking_cancelled": "cancelled"},
    ),
    Context(
        "video_rental.my_page",
        "view",
        "view: everything that a member did, in one read",
        "뷰: 회원의 모든 내역을 한 번에 조회",
    ),
    Context(
        "ticketing.tickets",
        "writer",
        "tickets: held by one reservation at a time, until they expire",
        "티켓: 한 번에 예약 하나만 잡을 수 있고, 기한이 지나면 만료됩니다",
    ),
    Context(
        "ticketing.pricing",
        "writer",
        "discount policies, itemised prices, the fixed prices of reservations",
        "할인 정책, 항목별 가격, 예약의 고정 가격",
    ),
    Context(
        "ticketing.reservations",
        "writer",
        "reservations; cancelling is a saga",
        "예약. 취소는 사가로 처리합니다",
        Replicas(most=10),
        bookings={
            "ticket_reserved": "booked",
            "reservation_rejected": "rejected",
            "reservation_cancelled": "cancelled",
        },
    ),
    Context(
        "ticketing.board",
        "view",
        "view: every ticket with its price, reservation and story",
        "뷰: 티켓마다 가격, 예약, 이력",
    ),
    Context(
        "bike_sharing.bikes",
        "writer",
        "the fleet: who holds which bike, what is broken",
        "자전거: 누가 쓰고 있는지, 무엇이 고장 났는지",
        Replicas(most=3),
    ),
    Context(
        "bike_sharing.rides",
        "writer",
        "rides, from taking a bike to returning it",
        "대여부터 반납까지의 이용",
        bookings={"ride_started": "booked", "ride_not_started": "rejected"},
    ),
    Context(
        "bike_sharing.billing",
        "writer",
        "one bill for each ride, settled once",
        "이용마다 청구서 하나, 정산은 한 번",
    ),
    Context(
        "bike_sharing.deposits",
        "writer",
        "deposits and their ledger, top-ups, withdrawals, debts",
        "예치금과 원장, 충전, 반환, 미납금",
    ),
    Context(
        "bike_sharing.ride_history",
        "view",
        "view: rides with bike, bill and balance",
        "뷰: 이용 내역과 자전거, 청구서, 잔액",
    ),
    Context(
        "shop.products",
        "writer",
        "products and stock: an order's items are taken all or none, once for each round",
        "상품과 재고: 주문 수량은 전부 잡거나 전혀 잡지 않으며, 주문 회차마다 한 번만 잡습니다",
    ),
    Context(
        "shop.orders",
        "writer",
        "orders at any hour, the seller's confirmation, deadlines, revival",
        "24시간 주문, 판매자의 입금 확인, 입금 기한, 주문 되살리기",
        bookings={"order_placed": "booked", "order_cancelled": "cancelled"},
    ),
    Context(
        "shop.deliveries", "writer", "deliveries: from the payment to the receipt", "입금 확인부터 수령까지의 배송"
    ),
    Context(
        "shop.order_status",
        "view",
        "view: where an order is, and what comes next",
        "뷰: 주문의 현재 상태와 다음 단계",
    ),
    Context("cafe.menu", "writer", "drinks, prices, what is sold out", "메뉴, 가격, 품절"),
    Context(
        "cafe.orders",
        "writer",
        "orders ahead, at the price of that moment, with pickup numbers",
        "주문 시점의 가격으로 하는 미리 주문, 픽업 번호",
        bookings={"order_placed": "booked", "order_rejected": "rejected", "order_cancelled": "cancelled"},
    ),
    Context(
        "cafe.report",
        "view",
        "view: the menu with today's orders, for the clerk",
        "뷰: 직원을 위한 메뉴와 오늘의 주문",
    ),
    Context("preorder.products", "writer", "phone models with price and quota", "스마트폰 모델의 가격과 수량"),
    Context(
        "preorder.reservations",
        "writer",
        "reservations, paid or not made at all; how much of each quota is taken",
        "결제되어야 성립하는 예약, 모델마다 예약된 수량",
        Replicas(most=10),
        bookings={
            "reservation_confirmed": "booked",
            "reservation_rejected": "rejected",
            "reservation_cancelled": "cancelled",
        },
    ),
    Context(
        "preorder.receipts",
        "writer",
        "a receipt for each paid reservation, with the expected delivery",
        "결제된 예약마다 영수증 하나와 예상 배송일",
    ),
    Context(
        "preorder.my_reservations",
        "view",
        "view: a member's reservations with product, payment, refund and receipt",
        "뷰: 회원의 예약과 상품, 결제, 환불, 영수증",
    ),
    Context(
        "journal",
        "service",
        "all events, what was handled and requested, the dead letters",
        "모든 이벤트, 처리와 요청의 기록, 데드 레터",
        Replicas(most=2),
    ),
)

CONTEXTS = tuple(context.name for context in REGISTRY)
SYSTEMS = tuple(dict.fromkeys(context.system for context in REGISTRY if context.kind != "service"))
"""The businesses; a module of each layer, `<layer>/<system>.py` or `<layer>/<system>/`, is found by this name."""
BOOKINGS = {f"{context.name}.{event}": outcome for context in REGISTRY for event, outcome in context.bookings.items()}
"""The outcome of a booking by the topic of the event that reports it; metrics count these."""


def description(context: str) -> Context:
    """The entry of a context; raises KeyError for an unknown name."""
    for one in REGISTRY:
        if one.name == context:
            return one
    raise KeyError(f"unknown context {context}; the contexts are {', '.join(CONTEXTS)}")


def worker(context: str) -> BaseWorker:
    """The worker of a context; raises KeyError for an unknown name."""
    return cast("BaseWorker", import_module(f"workers.{description(context).name}").worker)


def workers() -> list[BaseWorker]:
    """The workers of all contexts."""
    return [worker(context) for context in CONTEXTS]
