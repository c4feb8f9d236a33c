"""The statements of rentals on a database of their own, without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.payments import Card, PaymentState, PaymentStatus, RefundState, RefundStatus
from contracts.video_rental.rentals import BookVideo, Rental, RentalStatus
from contracts.video_rental.videos import VideoState, VideoStatus
from storage.database import Database
from storage.paid import Settlement
from storage.video_rental import rentals as store
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.states import NOW, payment_fields
from tests.support.system import customer

AT_ONCE = 40
PICKUP = timedelta(hours=48)


def video_state(video_id: UUID, **changes: Any) -> VideoState:
    """A video as an event of videos has it."""
    known: dict[str, Any] = {
        "video_id": video_id,
        "title": "Casablanca",
        "daily_price": 1000,
        "copies": 1,
        "status": VideoStatus.AVAILABLE,
        "registered_by": "staff",
        "created_at": NOW,
        "modified_at": NOW,
        "version": 1,
    }
    return VideoState(**(known | changes))


def payment_state(payment_id: UUID, status: PaymentStatus, version: int, refunded: int = 0) -> PaymentState:
    return PaymentState(**payment_fields(payment_id=payment_id, status=status, version=version, refunded=refunded))


def refund_state(rental: Rental, refund_id: UUID, status: RefundStatus, version: int) -> RefundState:
    return RefundState(
        refund_id=refund_id,
        payment_id=rental.payment_id,
        payer=rental.member_id,
        amount=rental.price,
        status=status,
        reason=None,
        requested_by="staff",
        created_at=NOW,
        modified_at=NOW,
        version=version,
    )


@dataclass
class Statements:
    """The statements of rentals, each in a transaction of its own."""

    database: Database

    async def video(self, **changes: Any) -> UUID:
        video_id = uuid4()
        await self.copy_video(video_state(video_id, **changes))
        return video_id

    async def copy_video(self, video: VideoState) -> None:
        async with self.database.transaction() as session:
            await store.project_video(session, video)

    async def hold(self, video_id: UUID, member_id: str = "", days: int = 1) -> store.HoldResult:
        card = Card(method="card", token="tok_visa", last4="4242", brand="visa")
        command = BookVideo(video_id=video_id, days=days, payment=card, caller=customer(member_id or None))
        async with self.database.transaction() as session:
            return await store.hold_copy(session, uuid4(), uuid4(), command)

    async def held(self, video_id: UUID, member_id: str = "", days: int = 1) -> Rental:
        """Hold a copy, and expect to get it."""
        rental = (await self.hold(video_id, member_id, days)).rental
        assert rental is not None
        return rental

    async def settle(
        self, rental: Rental, to: RentalStatus, payment: PaymentStatus = PaymentStatus.APPROVED
    ) -> Rental | None:
        async with self.database.transaction() as session:
            return await store.settle(session, rental.rental_id, Settlement(to, payment), PICKUP)

    async def booked(self, video_id: UUID, member_id: str = "", days: int = 1) -> Rental:
        rental = await self.settle(await self.held(video_id, member_id, days), RentalStatus.BOOKED)
        assert rental is not None
        return rental

    async def cancel(self, rental: Rental, refund_id: UUID | None = None) -> Rental | None:
        async with self.database.transaction() as session:
            return await store.cancel(session, rental.rental_id, refund_id or uuid4(), "changed my mind")

    async def pick_up(self, rental: Rental) -> Rental | None:
        async with self.database.transaction() as session:
            return await store.pick_up(session, rental.rental_id, NOW, NOW + timedelta(days=1))

    async def take_back(self, rental: Rental, late_fee: int = 0) -> Rental | None:
        async with self.database.transaction() as session:
            return await store.take_back(session, rental.rental_id, NOW, late_fee)

    async def note_payment(self, payment: PaymentState) -> None:
        async with self.database.transaction() as session:
            await store.paid.note_payment(session, payment)

    async def note_refund(self, refund: RefundState) -> None:
        async with self.database.transaction() as session:
            await store.paid.note_refund(session, refund)

    async def find(self, rental: Rental) -> Rental:
        async with self.database.session() as session:
            found = await store.find(session, rental.rental_id)
        assert found is not None
        return found

    async def free(self, video_id: UUID) -> int | None:
        """The number of free copies, as the shelf has it."""
        async with self.database.session() as session:
            video = await store.on_shelf(session, video_id)
        assert video is not None
        return video.available

    async def copies_held(self, video_id: UUID) -> int:
        async with self.database.session() as session:
            query = "select held from video_rental_rentals.holds where video_id = $1"
            held: int = await session.connection.fetchval(query, video_id)
        return held


@pytest.fixture(scope="package")
async def statements(servers: Servers, templates: None) -> AsyncIterator[Statements]:
    url = await support.create_database(servers, f"rentals_{uuid4().hex[:12]}", support.TEMPLATE)
    database = Database(url, size=AT_ONCE)
    await database.start()
    yield Statements(database)
    await database.close()
