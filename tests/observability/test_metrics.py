"""The metrics that processes expose after known requests."""

from __future__ import annotations

from contracts.base import CATALOGUE, Event
from tests.observability.conftest import Exposed
from workers.registry import BOOKINGS, CONTEXTS, worker

RENTALS, BOOK = "video_rental.rentals", "video_rental.rentals.book_video"


def test_bookings_are_counted_by_their_outcome(exposed: Exposed) -> None:
    assert exposed.value("yeyak_bookings_total", context=RENTALS, result="booked") == 1
    assert exposed.value("yeyak_bookings_total", context=RENTALS, result="rejected") == 1


def test_each_counted_booking_is_an_event() -> None:
    for name in CONTEXTS:
        worker(name)
    assert [topic for topic in BOOKINGS if not issubclass(CATALOGUE[topic], Event)] == []
    assert set(BOOKINGS.values()) == {"booked", "rejected", "cancelled"}


def test_refusals_are_counted_by_their_reason(exposed: Exposed) -> None:
    assert exposed.value("yeyak_refusals_total", context=RENTALS, topic=BOOK, reason="payment_declined") == 1
    assert exposed.value("yeyak_gateway_refusals_total", code="payment_declined") == 1


def test_a_repeated_request_is_a_duplicate_and_no_second_booking(exposed: Exposed) -> None:
    assert exposed.value("yeyak_inbox_duplicates_total", context=RENTALS, topic=BOOK) == 1
    assert exposed.value("yeyak_handled_total", topic=BOOK, outcome="done") == 2


def test_requests_are_counted_by_their_outcome_and_timed(exposed: Exposed) -> None:
    labels = {"context": RENTALS, "callee": "payments"}
    assert exposed.value("yeyak_requests_total", **labels, outcome="done") == 1
    assert exposed.value("yeyak_requests_total", **labels, outcome="refused") == 1
    assert exposed.value("yeyak_request_seconds_count", **labels) == 2
    assert exposed.value("yeyak_gateway_context_requests_total", context=RENTALS, outcome="refused") == 1


def test_a_breaker_has_exactly_one_state(exposed: Exposed) -> None:
    for caller, callee in ((RENTALS, "payments"), ("gateway", RENTALS)):
        states = {
            state: exposed.value("yeyak_breaker_state", context=caller, callee=callee, state=state)
            for state in ("closed", "half_open", "open")
        }
        assert states == {"closed": 1, "half_open": 0, "open": 0}


def test_waiting_rows_are_exposed_with_their_age(exposed: Exposed) -> None:
    assert exposed.value("yeyak_inbox_rows", context=RENTALS, state="waiting") == 1, "the booking's pickup is awaited"
    for name in ("yeyak_outbox_rows", "yeyak_outbox_age_seconds", "yeyak_timers_due", "yeyak_timers_late_seconds"):
        assert exposed.value(name, context=RENTALS) is not None, name
    assert exposed.value("yeyak_queues_missing", context=RENTALS) == 0


def test_an_unreadable_message_is_counted_as_a_dead_letter_of_its_reader(exposed: Exposed) -> None:
    assert exposed.value("yeyak_dead_letters", context="video_rental.my_page") == 1


def test_a_view_exposes_its_lag(exposed: Exposed) -> None:
    lag = exposed.value("yeyak_view_lag_seconds_sum", context="video_rental.my_page")
    assert exposed.value("yeyak_view_lag_seconds_count", context="video_rental.my_page")
    assert lag is not None
    assert 0 < lag < 60
    assert exposed.value("yeyak_view_behind_seconds", context="video_rental.my_page") == 0


def test_every_process_exposes_that_it_is_ready(exposed: Exposed) -> None:
    ready = {labels["context"] for labels, value in exposed.samples["yeyak_ready"] if value == 1}
    assert ready == {"gateway", "payments", "journal", "video_rental.videos", RENTALS, "video_rental.my_page"}


def test_the_exporter_shows_both_sides_of_the_money_balance(exposed: Exposed) -> None:
    assert exposed.value("yeyak_money_kept_won") == 1500
    assert exposed.value("yeyak_money_due_won") == 1500
    assert exposed.value("yeyak_money_balance_won") == 0
    assert exposed.value("yeyak_audit_discrepancies", invariant="I4") == 0
    assert exposed.value("yeyak_audit_checkable", invariant="I4") == 1


def test_the_exporter_reports_its_findings_to_the_journal(exposed: Exposed) -> None:
    assert exposed.audit is not None
    assert (exposed.audit.money_kept, exposed.audit.money_due) == (1500, 1500)
    assert [one.invariant for one in exposed.audit.invariants] == [f"I{number}" for number in range(1, 10)]


def test_labels_hold_no_ids(exposed: Exposed) -> None:
    values = {
        value for name in exposed.samples if name.startswith("yeyak_") for has, _ in exposed.samples[name]
        for value in has.values()
    }  # fmt: skip
    assert not [value for value in values if sum(character.isdigit() for character in value) > 6]
