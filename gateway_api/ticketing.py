"""Ticketing (티켓 예약): staff register tickets and discounts; a member reserves and cancels."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.ticketing.board import ListBoard, ListBoardReservations, ShowBoard, ShowBoardReservation
from contracts.ticketing.pricing import (
    CreatePolicy,
    EndPolicy,
    ListPolicies,
    ListPrices,
    PolicyKind,
    PolicyStatus,
    PolicyValue,
    ShowPolicy,
    ShowPrice,
)
from contracts.ticketing.reservations import (
    CancelReservation,
    ListReservations,
    ReservationStatus,
    ReserveTicket,
    ShowReservation,
)
from contracts.ticketing.tickets import (
    ChangeTicket,
    ListTickets,
    Moment,
    RegisterTicket,
    ShowTicket,
    TicketStatus,
)
from gateway_api.bodies import (
    RFC_3339,
    Form,
    MinVersion,
    NonBlankName,
    NonBlankReason,
    Paging,
    example,
    optional,
)
from gateway_api.dependencies import Anyone, Commands, Customer, Queries, ResourceId, Staff
from gateway_api.expected_version import Changes
from gateway_api.gateway import VERSION_SECONDS, owned
from gateway_api.routing import GatewayRoute, sends

DESCRIPTION = "티켓 예약: tickets, discount policies, prices and reservations."
router = APIRouter(prefix="/v1/ticketing", tags=["ticketing"], route_class=GatewayRoute)


Instant = Annotated[Moment, RFC_3339]


def _after(earlier: str, value: Any, info: ValidationInfo) -> Any:
    since = info.data.get(earlier)
    if since is not None and value is not None and value <= since:
        raise PydanticCustomError("value", "not after the beginning")
    return value


class NewTicket(Form):
    model_config = example(
        name="연극 햄릿 R석",
        starts_at="2030-05-01T19:30:00+09:00",
        ends_at="2030-05-01T22:00:00+09:00",
        base_price=80000,
    )

    name: NonBlankName
    starts_at: Instant
    ends_at: Instant
    base_price: Won

    @field_validator("ends_at")
    @classmethod
    def _ends_after_it_starts(cls, value: Any, info: ValidationInfo) -> Any:
        return _after("starts_at", value, info)


class TicketChanges(Changes):
    """A field that is left out keeps its value."""

    model_config = example(name="연극 햄릿 S석")

    name: NonBlankName = optional()
    starts_at: Instant = optional()
    ends_at: Instant = optional()

    @field_validator("ends_at")
    @classmethod
    def _ends_after_it_starts(cls, value: Any, info: ValidationInfo) -> Any:
        return _after("starts_at", value, info)


class TicketFilters(Paging):
    status: TicketStatus = optional()


class NewPolicy(Form):
    model_config = example(name="VIP 할인", kind="percent", value=10, grade="VIP")

    name: NonBlankName
    kind: PolicyKind
    value: PolicyValue
    """1 to 100 for `percent`, whole won for `amount`."""
    grade: Literal["VIP"] | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None

    @field_validator("value")
    @classmethod
    def _percent_of_a_hundred(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("kind") is PolicyKind.PERCENT and value > 100:
            raise PydanticCustomError("less_than_equal", "more than 100", {"le": 100})
        return value

    @field_validator("valid_until")
    @classmethod
    def _ends_after_it_begins(cls, value: Any, info: ValidationInfo) -> Any:
        return _after("valid_from", value, info)


class PolicyEnding(Changes):
    model_config = example(expected_version=1)


class PolicyFilters(Paging):
    status: PolicyStatus = PolicyStatus.ACTIVE


class Wish(Form):
    model_config = example(ticket_id="0afa707b-1493-4eed-a57b-9e56f3c744a5")

    ticket_id: UUID
    expected_price: Won | None = None
    """What the customer was shown, for the whole of it; another price now is refused (`price_changed`)."""


class Cancellation(Form):
    model_config = example(reason="일정이 바뀌었어요")

    reason: NonBlankReason | None = None


class ReservationFilters(Paging):
    member_id: MemberId = optional()
    status: ReservationStatus = optional()


@router.post("/tickets")
@sends(RegisterTicket, creates="/v1/ticketing/tickets/{ticket_id}")
async def register_ticket(form: NewTicket, caller: Staff, commands: Commands) -> Response:
    return await commands.send(RegisterTicket(**vars(form), caller=caller))


@router.get("/tickets")
@sends(ListTickets)
async def list_tickets(filters: Annotated[TicketFilters, Query()], _: Anyone, queries: Queries) -> Response:
    return await queries.send(ListTickets(**vars(filters)))


@router.get("/tickets/{ticket_id}")
@sends(ShowTicket)
async def show_ticket(ticket_id: ResourceId, _: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowTicket(ticket_id=ticket_id))


@router.patch("/tickets/{ticket_id}")
@sends(ChangeTicket)
async def change_ticket(ticket_id: ResourceId, form: TicketChanges, _: Staff, commands: Commands) -> Response:
    """Change name and times of an available ticket; a reserved or expired one is refused."""
    return await commands.send(ChangeTicket(ticket_id=ticket_id, **vars(form)))


@router.post("/discount-policies")
@sends(CreatePolicy, creates="/v1/ticketing/discount-policies/{policy_id}")
async def create_policy(form: NewPolicy, caller: Staff, commands: Commands) -> Response:
    return await commands.send(CreatePolicy(**vars(form), caller=caller))


@router.get("/discount-policies")
@sends(ListPolicies)
async def list_policies(filters: Annotated[PolicyFilters, Query()], _: Staff, queries: Queries) -> Response:
    """The policies that have not been deleted; with `status=ENDED` those that have."""
    return await queries.send(ListPolicies(**vars(filters)))


@router.get("/discount-policies/{policy_id}")
@sends(ShowPolicy)
async def show_policy(policy_id: ResourceId, _: Staff, queries: Queries) -> Response:
    return await queries.send(ShowPolicy(policy_id=policy_id))


@router.delete("/discount-policies/{policy_id}")
@sends(EndPolicy)
async def end_policy(policy_id: ResourceId, form: PolicyEnding, _: Staff, commands: Commands) -> Response:
    return await commands.send(EndPolicy(policy_id=policy_id, **vars(form)))


@router.get("/prices")
@sends(ListPrices)
async def list_prices(filters: Annotated[Paging, Query()], caller: Anyone, queries: Queries) -> Response:
    """What tickets cost the caller."""
    return await queries.send(ListPrices(**vars(filters), caller=caller))


@router.get("/prices/{ticket_id}")
@sends(ShowPrice, statuses={"not_priced_yet": 404})
async def show_price(ticket_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    """What a ticket costs the caller, line by line."""
    return await queries.send(ShowPrice(ticket_id=ticket_id, caller=caller))


@router.post("/reservations")
@sends(
    ReserveTicket,
    creates="/v1/ticketing/reservations/{reservation_id}",
    time_limit=lambda settings: settings.ticketing_take_ms / 1000 + 1,
)
async def reserve_ticket(form: Wish, caller: Customer, commands: Commands) -> Response:
    return await commands.send(ReserveTicket(**vars(form), caller=caller))


@router.post("/reservations/{reservation_id}/cancellation")
@sends(CancelReservation)
async def cancel_ticket_reservation(
    reservation_id: ResourceId, form: Cancellation, caller: Anyone, commands: Commands
) -> Response:
    """Responds at once; the reservation is CANCELLED after its ticket is free and its price is restored."""
    return await commands.send(CancelReservation(reservation_id=reservation_id, reason=form.reason, caller=caller))


@router.get("/reservations")
@sends(ListReservations)
async def list_ticket_reservations(
    filters: Annotated[ReservationFilters, Query()], caller: Anyone, queries: Queries
) -> Response:
    """Reservations as their own context has them; staff may filter by `member_id`."""
    return await queries.send(ListReservations(**owned(caller, filters)))


@router.get("/reservations/{reservation_id}")
@sends(ShowReservation)
async def show_ticket_reservation(reservation_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowReservation(reservation_id=reservation_id, caller=caller))


@router.get("/board")
@sends(ListBoard)
async def list_board(filters: Annotated[TicketFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """Every ticket with its price and its reservation."""
    return await queries.send(ListBoard(**vars(filters), caller=caller))


@router.get("/board/reservations")
@sends(ListBoardReservations)
async def list_board_reservations(
    filters: Annotated[ReservationFilters, Query()], caller: Anyone, queries: Queries
) -> Response:
    """Reservations with ticket, price and state, also past ones; staff may filter by `member_id`."""
    return await queries.send(ListBoardReservations(**owned(caller, filters)))


@router.get("/board/reservations/{reservation_id}")
@sends(ShowBoardReservation, time_limit=VERSION_SECONDS)
async def show_board_reservation(
    reservation_id: ResourceId, query: Annotated[MinVersion, Query()], caller: Anyone, queries: Queries
) -> Response:
    """One reservation with its timeline."""
    return await queries.send(
        ShowBoardReservation(reservation_id=reservation_id, min_version=query.min_version, caller=caller)
    )


@router.get("/board/{ticket_id}")
@sends(ShowBoard, time_limit=VERSION_SECONDS)
async def show_board(
    ticket_id: ResourceId, query: Annotated[MinVersion, Query()], caller: Anyone, queries: Queries
) -> Response:
    """One ticket with its timeline."""
    return await queries.send(ShowBoard(ticket_id=ticket_id, min_version=query.min_version, caller=caller))
