"""Ticketing (티켓 예약): staff register tickets and discounts; a member reserves and cancels."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, from_json
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.ticketing.board import ListBoard, ShowBoard
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
from gateway_api.bodies import RFC_3339, Form, MinVersion, NonBlankName, NonBlankReason, Paging, optional
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes
from gateway_api.problems import Problem

routes = Routes(
    "/v1/ticketing",
    "ticketing",
    time_limits={
        ReserveTicket: lambda settings: settings.ticketing_take_ms / 1000 + 1,
        ShowBoard: lambda _: 2.5,  # waits for `min_version`
    },
)


Instant = Annotated[Moment, RFC_3339]


class NoPrice(Problem):
    """`not_priced_yet` as 404, for a request of the price itself."""

    @property
    def status(self) -> int:
        return 404


def _after(earlier: str, value: Any, info: ValidationInfo) -> Any:
    since = info.data.get(earlier)
    if since is not None and value is not None and value <= since:
        raise PydanticCustomError("value", "not after the beginning")
    return value


class NewTicket(Form):
    name: NonBlankName
    starts_at: Instant
    ends_at: Instant
    base_price: Won

    @field_validator("ends_at")
    @classmethod
    def _ends_after_it_starts(cls, value: Any, info: ValidationInfo) -> Any:
        return _after("starts_at", value, info)


class TicketChanges(Form):
    """A field that is left out keeps its value."""

    name: NonBlankName = optional()
    starts_at: Instant = optional()
    ends_at: Instant = optional()

    @field_validator("ends_at")
    @classmethod
    def _ends_after_it_starts(cls, value: Any, info: ValidationInfo) -> Any:
        return _after("starts_at", value, info)


class TicketFilters(Paging):
    status: TicketStatus | None = None


class NewPolicy(Form):
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


class PolicyFilters(Paging):
    status: PolicyStatus = PolicyStatus.ACTIVE


class Wish(Form):
    ticket_id: UUID


class Cancellation(Form):
    reason: NonBlankReason | None = None


class ReservationFilters(Paging):
    member_id: MemberId | None = None
    status: ReservationStatus | None = None


@routes.post("/tickets", STAFF, RegisterTicket, NewTicket, creates="/tickets/{ticket_id}")
async def register_ticket(request: RequestContext, form: NewTicket) -> Response:
    return await request.send(RegisterTicket(**vars(form), caller=request.caller))


@routes.get("/tickets", ANY, ListTickets, TicketFilters)
async def list_tickets(request: RequestContext, filters: TicketFilters) -> Response:
    return await request.send(ListTickets(**vars(filters)))


@routes.get("/tickets/{ticket_id}", ANY, ShowTicket)
async def show_ticket(request: RequestContext) -> Response:
    return await request.send(ShowTicket(ticket_id=request.id("ticket_id")))


@routes.patch("/tickets/{ticket_id}", STAFF, ChangeTicket, TicketChanges)
async def change_ticket(request: RequestContext, form: TicketChanges) -> Response:
    """Change name and times of an available ticket; a reserved or expired one is refused."""
    return await request.send(ChangeTicket(ticket_id=request.id("ticket_id"), **vars(form)))


@routes.post("/discount-policies", STAFF, CreatePolicy, NewPolicy, creates="/discount-policies/{policy_id}")
async def create_policy(request: RequestContext, form: NewPolicy) -> Response:
    return await request.send(CreatePolicy(**vars(form), caller=request.caller))


@routes.get("/discount-policies", STAFF, ListPolicies, PolicyFilters)
async def list_policies(request: RequestContext, filters: PolicyFilters) -> Response:
    """The policies that have not been deleted; with `status=ENDED` those that have."""
    return await request.send(ListPolicies(**vars(filters)))


@routes.get("/discount-policies/{policy_id}", STAFF, ShowPolicy)
async def show_policy(request: RequestContext) -> Response:
    return await request.send(ShowPolicy(policy_id=request.id("policy_id")))


@routes.delete("/discount-policies/{policy_id}", STAFF, EndPolicy)
async def end_policy(request: RequestContext) -> Response:
    return await request.send(EndPolicy(policy_id=request.id("policy_id")))


@routes.get("/prices", ANY, ListPrices, Paging)
async def list_prices(request: RequestContext, filters: Paging) -> Response:
    """What tickets cost the caller."""
    return await request.send(ListPrices(**vars(filters), caller=request.caller))


@routes.get("/prices/{ticket_id}", ANY, ShowPrice)
async def show_price(request: RequestContext) -> Response:
    """What a ticket costs the caller, line by line."""
    reply = await request.send_raw(ShowPrice(ticket_id=request.id("ticket_id"), caller=request.caller))
    if reply.kind == "refused" and from_json(reply.body)["code"] == "not_priced_yet":
        raise NoPrice("not_priced_yet")
    return request.to_response(reply)


@routes.post(
    "/reservations",
    CUSTOMER,
    ReserveTicket,
    Wish,
    creates="/reservations/{reservation_id}",
)
async def reserve_ticket(request: RequestContext, form: Wish) -> Response:
    return await request.send(ReserveTicket(ticket_id=form.ticket_id, caller=request.caller))


@routes.post("/reservations/{reservation_id}/cancellation", ANY, CancelReservation, Cancellation)
async def cancel_reservation(request: RequestContext, form: Cancellation) -> Response:
    """Responds at once; the reservation is CANCELLED after its ticket is free and its price is restored."""
    reservation_id = request.id("reservation_id")
    return await request.send(
        CancelReservation(reservation_id=reservation_id, reason=form.reason, caller=request.caller)
    )


@routes.get("/reservations", ANY, ListReservations, ReservationFilters)
async def list_reservations(request: RequestContext, filters: ReservationFilters) -> Response:
    """Reservations as their own context has them; staff may filter by `member_id`."""
    return await request.send(
        ListReservations(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)})
    )


@routes.get("/reservations/{reservation_id}", ANY, ShowReservation)
async def show_reservation(request: RequestContext) -> Response:
    return await request.send(ShowReservation(reservation_id=request.id("reservation_id"), caller=request.caller))


@routes.get("/board", ANY, ListBoard, TicketFilters)
async def list_board(request: RequestContext, filters: TicketFilters) -> Response:
    """Every ticket with its price and its reservation."""
    return await request.send(ListBoard(**vars(filters), caller=request.caller))


@routes.get("/board/{ticket_id}", ANY, ShowBoard, MinVersion)
async def show_board(request: RequestContext, query: MinVersion) -> Response:
    """One ticket with its timeline."""
    ticket_id = request.id("ticket_id")
    return await request.send(ShowBoard(ticket_id=ticket_id, min_version=query.min_version, caller=request.caller))
