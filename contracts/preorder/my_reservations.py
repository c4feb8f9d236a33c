"""Phone pre-order: my reservations, a view of reservations with product, payment, refund and receipt."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry
from contracts.preorder.products import ProductPart
from contracts.preorder.reservations import Reservation, ReservationStatus
from contracts.refusals import NotFound


class MyReservation(Reservation):
    """A reservation with its product, payment, refund and receipt."""

    product: ProductPart | None
    """None until the view has received one of its events."""


class MyReservationEntry(MyReservation):
    """A reservation with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class MyReservations(Shape):
    """One page of reservations; `as_of` is the time of reading."""

    items: list[MyReservation]
    next_cursor: str | None
    as_of: AwareDatetime


class ListMyReservations(Query[MyReservations]):
    """The reservations of a member, or of all when `member_id` is None, newest first."""

    topic = "preorder.my_reservations.list_my_reservations"
    refusals = ()

    member_id: str | None = None
    status: ReservationStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowMyReservation(Query[MyReservationEntry]):
    """One reservation; waits up to one second until the view has applied its version `min_version`."""

    topic = "preorder.my_reservations.show_my_reservation"
    refusals = (NotFound,)

    reservation_id: UUID
    min_version: int = 0
    caller: Caller
