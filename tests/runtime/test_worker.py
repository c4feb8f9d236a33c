"""Declaring handlers, the transaction that a handler gets, and the encoding of answers and refusals."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from contracts.base import Refused
from contracts.payments import DriveVoid, PaymentState, PaymentVoided, RequestPayment, ShowPayment, VoidPayment
from contracts.video_rental.videos import VideoRegistered
from ops.settings import SystemSettings
from storage.database import Session
from workers.runtime.messaging.envelope import Envelope
from workers.runtime.processing.tx import Tx, decode_answer, decode_refusal, encode_refusal
from workers.runtime.worker import Worker


async def handler(message: Any, tx: Any) -> None: ...


def test_a_command_belongs_to_its_own_context() -> None:
    with pytest.raises(TypeError, match=r"payments.void_payment belongs to payments, not to video_rental.rentals"):
        Worker("video_rental.rentals").handles(VoidPayment)


def test_a_query_belongs_to_its_own_context() -> None:
    with pytest.raises(TypeError, match="belongs to payments"):
        Worker("video_rental.rentals").handles(ShowPayment)


def test_any_context_may_handle_an_event() -> None:
    worker = Worker("video_rental.rentals")

    worker.handles(VideoRegistered)(handler)

    assert "video_rental.videos.video_registered@video_rental.rentals" in worker.queues()


def test_a_message_has_one_handler() -> None:
    worker = Worker("payments")
    worker.handles(VoidPayment)(handler)

    with pytest.raises(TypeError, match=r"payments handles payments.void_payment twice"):
        worker.handles(VoidPayment)


def test_a_handler_that_begins_read_only_makes_one_request() -> None:
    declared = Worker("payments").handles(RequestPayment, read_only=True)(handler)
    declared.then(handler)

    with pytest.raises(TypeError, match="handler begins read-only"):
        declared.then(handler)


def test_each_context_has_a_queue_for_its_dead_letters() -> None:
    queues = Worker("payments").queues()

    assert list(queues) == ["payments.take_up_dead_letter@payments"]


# -- the transaction of a handler


def envelope(**more: Any) -> Envelope:
    given = {"id": uuid4(), "topic": "payments.void_payment", "body": b"{}", "story_id": uuid4()}
    return Envelope(**{**given, "causation_id": None, "actor": "customer:kim", **more})


@pytest.fixture
def tx() -> Tx:
    context: Any = Worker("payments").runtime(SystemSettings())
    return Tx(Session(None), envelope(deadline=2.0), context, time.monotonic())


def test_a_published_message_carries_the_story_its_cause_and_the_actor(tx: Tx) -> None:
    tx.publish(VoidPayment(payment_id=UUID(int=1)))

    (published,) = tx.outgoing
    assert (published.story_id, published.causation_id, published.actor) == (
        tx.envelope.story_id,
        tx.id,
        "customer:kim",
    )


def test_a_request_cannot_be_published(tx: Tx) -> None:
    with pytest.raises(TypeError, match=r"payments.show_payment is a request"):
        tx.publish(ShowPayment.model_construct())  # type: ignore[arg-type]


def test_a_timer_is_a_message_to_its_own_context(tx: Tx) -> None:
    from contracts.video_rental.rentals import GiveUpBooking

    with pytest.raises(TypeError, match="is not for payments"):
        tx.schedule(GiveUpBooking(rental_id=UUID(int=1)))


def test_a_timer_has_one_id_per_message_and_name(tx: Tx) -> None:
    for name in ("", "", "other"):
        tx.schedule(DriveVoid(payment_id=UUID(int=1)), name=name)

    first, again, other = tx.timers
    assert first.id == again.id != other.id


def test_derived_ids_depend_on_the_message_and_a_name(tx: Tx) -> None:
    assert tx.derive_id("payment") == tx.derive_id("payment") == uuid5(tx.id, "payment")


@pytest.mark.parametrize(
    ("deadline", "passed", "left"),
    [(2.0, 0.0, 1.9), (2.0, 1.5, 0.4), (0.2, 0.0, 0.19), (2.0, 9.0, 0.0), (0.0, 0.0, 0.0)],
    ids=["margin for the way back", "counted from the delivery", "a small margin", "too late", "nobody waits"],
)
def test_the_time_left_counts_from_the_delivery_and_leaves_a_margin_for_the_reply(
    monkeypatch: pytest.MonkeyPatch, deadline: float, passed: float, left: float
) -> None:
    context: Any = Worker("payments").runtime(SystemSettings())
    monkeypatch.setattr("workers.runtime.processing.tx.time.monotonic", lambda: 100.0 + passed)

    assert Tx(Session(None), envelope(deadline=deadline), context, 100.0).time_left() == pytest.approx(left)


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 0.25), (1, 0.5), (2, 1), (4, 4), (8, 60), (10_000, 60)])
def test_a_growing_delay_doubles_up_to_its_limit(attempt: int, seconds: float) -> None:
    context: Any = Worker("payments").runtime(SystemSettings())
    tx = Tx(Session(None), envelope(attempt=attempt), context, 0.0)

    assert tx.backoff(0.5, 60) == timedelta(seconds=seconds)


# -- refusals and answers on the wire


@pytest.mark.parametrize(
    "refusal", [Refused("sold_out"), Refused("wrong_state", current_status="BOOKED", allowed_actions=["pickup"])]
)
def test_a_refusal_is_decoded_as_it_was_encoded(refusal: Refused) -> None:
    assert decode_refusal(encode_refusal(refusal)) == refusal


def test_a_refusal_may_contain_an_id() -> None:
    assert decode_refusal(encode_refusal(Refused("no", rental_id=UUID(int=7)))).details == {
        "rental_id": str(UUID(int=7))
    }


@pytest.mark.parametrize("body", [b"", "", b"{}"])
def test_an_empty_refusal_has_the_code_refused(body: bytes | str) -> None:
    assert decode_refusal(body) == Refused("refused")


def test_an_answer_that_lacks_a_field_of_its_contract_is_invalid() -> None:
    state = PaymentVoided.model_construct(payment_id=UUID(int=1))

    with pytest.raises(ValueError, match="payer"):
        decode_answer(RequestPayment.model_construct(), state.model_dump_json(exclude_unset=True).encode())
    assert RequestPayment.answer is PaymentState
