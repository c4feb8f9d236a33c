"""Each request declares its refusals, each refusal has its words, and what differs from a declaration is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest

from contracts.base import REFUSALS, Command, Message, Refused, Shape, Words
from contracts.refusals import (
    IdempotencyKeyReused,
    InvalidMessage,
    NotFound,
    WrongState,
    details_model,
    refusals_of,
)
from contracts.video_rental.refusals import AlreadyBooked, BookingDeclined
from contracts.video_rental.rentals import BookVideo, ShowRental
from tests.contracts.catalogue import messages
from tests.support.refusals import compared, difference_of
from workers.runtime.processing import refusals

KO, EN = Words("제목", "내용"), Words("Title", "Detail")


def declared_in_contracts() -> list[type[Refused]]:
    messages()
    return sorted(_below(Refused), key=lambda kind: kind.__name__)


def _below(kind: type[Refused]) -> Iterator[type[Refused]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("contracts."):
            yield child
            yield from _below(child)


def unused(kinds: Iterable[type[Refused]], of: Iterable[type[Message]]) -> list[str]:
    """Return the refusals that no message declares, neither as they are nor refined."""
    declared = {kind for message in of if message.delivery() == "request" for kind in refusals_of(message)}
    return [kind.__name__ for kind in kinds if not any(issubclass(other, kind) for other in declared)]


def silent(of: Iterable[type[Message]]) -> list[str]:
    """Return the requests that do not state their refusals."""
    return [message.topic for message in of if message.delivery() == "request" and "refusals" not in message.__dict__]


class Loaf(Shape):
    weight: int


class BuyLoaf(Command[Loaf]):
    """A command of no context, which states no refusals."""


# -- the declarations of the system


def test_each_request_states_its_refusals_even_if_it_has_none() -> None:
    BuyLoaf.topic = "bakery.sales.buy_loaf"

    assert silent(messages().values()) == []
    assert silent([BuyLoaf]) == ["bakery.sales.buy_loaf"]


def test_a_message_declares_a_code_once() -> None:
    for message in messages().values():
        codes = [kind.code for kind in refusals_of(message)]
        assert len(codes) == len(set(codes)), message.topic


def test_each_refusal_is_declared_by_a_message() -> None:
    of = messages().values()

    assert unused(declared_in_contracts(), of) == []
    assert "BookingDeclined" in unused(
        declared_in_contracts(), [message for message in of if BookingDeclined not in message.refusals]
    )


@pytest.mark.parametrize("kind", declared_in_contracts())
def test_each_refusal_has_words_in_both_languages(kind: type[Refused]) -> None:
    assert all(kind.ko)
    assert all(kind.en)
    assert any("가" <= char <= "힣" for char in kind.ko.title)
    assert any("가" <= char <= "힣" for char in kind.ko.detail)
    assert not any("가" <= char <= "힣" for text in kind.en for char in text)


@pytest.mark.parametrize("kind", declared_in_contracts())
def test_each_refusal_has_a_status_and_a_schema_of_its_details(kind: type[Refused]) -> None:
    schema = details_model(kind).model_json_schema()

    assert kind.status in (402, 403, 404, 409, 422, 503)
    assert kind.__name__ == schema["title"]
    assert set(schema["properties"]) == kind.required_details | kind.optional_details
    assert set(schema.get("required", [])) == kind.required_details
    assert not any("default" in field for field in schema["properties"].values())


def test_a_message_has_the_refusals_that_it_declares_and_those_of_the_runtime() -> None:
    assert set(refusals_of(BookVideo)) == {*BookVideo.refusals, InvalidMessage, IdempotencyKeyReused}
    assert refusals_of(ShowRental) == (NotFound, InvalidMessage)


# -- one refusal


def test_a_refusal_has_its_details_as_attributes() -> None:
    refusal = WrongState(current_status="RENTED")

    assert (refusal.code, refusal.current_status, refusal.allowed_actions) == ("wrong_state", "RENTED", ())
    assert refusal.details == {"current_status": "RENTED"}
    assert refusal == Refused("wrong_state", current_status="RENTED")


@pytest.mark.parametrize("details", [{}, {"current_status": "RENTED", "color": "red"}])
def test_details_that_are_not_declared_or_missing_are_an_error(details: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"WrongState takes \['current_status'\], and may take \['allowed_actions'\]"):
        WrongState(**details)


def test_a_received_refusal_is_the_declared_one_with_whatever_its_sender_knows() -> None:
    received = Refused.of("wrong_state", {"current_status": "RENTED", "since": "noon"})
    older = Refused.of("already_booked", {})
    newer = Refused.of("rule_of_a_later_version", {"left": 1})

    assert isinstance(received, WrongState)
    assert (received.current_status, received.details["since"]) == ("RENTED", "noon")
    assert type(older) is AlreadyBooked
    assert (type(newer), newer.code, newer.details) == (Refused, "rule_of_a_later_version", {"left": 1})
    assert (newer.status, newer.ko, newer.en) == (Refused.status, Refused.ko, Refused.en)


def test_a_refinement_has_the_code_of_what_it_refines_and_is_received_as_that() -> None:
    refusal = BookingDeclined(rental_id=str(UUID(int=1)), current_status="REJECTED", reason="insufficient_funds")

    assert refusal.code == "payment_declined"
    assert type(Refused.of(refusal.code, refusal.details)) is REFUSALS["payment_declined"]


@pytest.mark.parametrize(
    ("declaration", "complaint"),
    [
        ({"code": "already_booked", "ko": KO, "en": EN}, "the code of another refusal"),
        ({"code": "oven_cold", "en": EN}, "no words in both languages"),
        ({"code": "oven_cold", "ko": KO, "en": EN, "status": 503}, "no `retry_after`"),
        ({"code": "oven_cold", "ko": KO, "en": EN, "__annotations__": {"detail": "str"}}, "reserved names"),
        ({"code": "oven_cold", "ko": KO, "en": EN, "__annotations__": {"status": "str"}}, "reserved names"),
    ],
)
def test_a_wrong_declaration_is_an_error(declaration: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        type("OvenCold", (Refused,), declaration)

    assert "oven_cold" not in REFUSALS
    assert REFUSALS["already_booked"] is AlreadyBooked


# -- a handler's refusals


def test_a_refusal_that_is_not_declared_is_named_with_its_context_and_its_message() -> None:
    with compared() as undeclared:
        refusals.check("video_rental.rentals", ShowRental, AlreadyBooked())
        refusals.check("video_rental.rentals", BookVideo, AlreadyBooked())

    assert undeclared == [
        "video_rental.rentals refuses ShowRental with already_booked, "
        "which video_rental.rentals.show_rental does not declare"
    ]


def test_details_other_than_those_declared_are_a_difference() -> None:
    declined = BookingDeclined(rental_id="r", current_status="REJECTED", reason=None)

    assert difference_of(BookVideo, declined) is None
    assert difference_of(BookVideo, Refused("payment_declined", reason="x")) is not None
    assert difference_of(BookVideo, Refused("already_booked", rental_id="r")) is not None
