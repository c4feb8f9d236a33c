"""Ticketing: ticket prices with their breakdown, discount policies, and frozen prices of reservations.

TicketRegistered, TicketFreed -> PriceAssigned
CreatePolicy, EndPolicy       -> RepriceTickets -> PriceAssigned
EndPolicy                     -> PolicyEnded
TicketReserved                -> PriceFrozen
RestorePrice                  -> PriceRestored
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, ExpectedVersion, MemberId, Name, Page, Query, Shape, Won
from contracts.refusals import NotFound, StaleVersion
from contracts.ticketing.refusals import NotPricedYet
from contracts.ticketing.tickets import Moment

PolicyValue = Annotated[int, Field(ge=1, le=10**12)]


class Grade(StrEnum):
    STANDARD = "STANDARD"
    VIP = "VIP"


class PolicyKind(StrEnum):
    PERCENT = "percent"
    AMOUNT = "amount"


class PolicyStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class FrozenStatus(StrEnum):
    FROZEN = "FROZEN"
    RESTORED = "RESTORED"


class PriceLine(Shape):
    """The discount by one policy."""

    policy_id: UUID
    name: Name
    kind: PolicyKind
    amount: Won
    """The discount in won, for both kinds of policy."""
    value: PolicyValue | None = None
    """The policy's percentage or amount; None in a price that an earlier version has assigned."""
    valid_until: AwareDatetime | None = None
    """From then on nobody gets this discount."""


class Price(Shape):
    """A price in won with its breakdown: `total` is `base` less the amounts of all lines."""

    base: Won
    lines: list[PriceLine]
    total: Won
    grade: Grade


class TicketPrice(Price):
    """A ticket's price for one grade."""

    ticket_id: UUID


class PriceState(Shape):
    """A ticket's price for each grade."""

    price_id: UUID
    ticket_id: UUID
    base: Won
    standard: Price
    vip: Price
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int

    def of_grade(self, grade: str) -> Price:
        """The price for a grade."""
        return self.vip if grade == Grade.VIP else self.standard


class FrozenPrice(Shape):
    """The price of one reservation; later policies do not change it."""

    frozen_price_id: UUID
    reservation_id: UUID
    ticket_id: UUID
    price: Price | None
    """None if it was restored before it was frozen."""
    status: FrozenStatus
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Policy(Shape):
    """A discount: a percentage of the remaining price, or an amount in won.

    It is valid from `valid_from` (inclusive) until `valid_until` (exclusive).
    """

    policy_id: UUID
    name: Name
    kind: PolicyKind
    value: PolicyValue
    grade: Grade | None
    """VIP: an extra discount, applied after the policies for all grades. None: for all grades."""
    valid_from: AwareDatetime | None
    valid_until: AwareDatetime | None
    status: PolicyStatus
    created_by: MemberId
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class CreatePolicy(Command[Policy]):
    topic = "ticketing.pricing.create_policy"
    refusals = ()

    name: Name
    kind: PolicyKind
    value: PolicyValue
    grade: Grade | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    caller: Caller


class EndPolicy(Command[Policy]):
    topic = "ticketing.pricing.end_policy"
    refusals = (NotFound, StaleVersion)

    policy_id: UUID
    expected_version: ExpectedVersion | None = None


class PolicyEnded(Policy, Event):
    """Staff have ended a policy: from now on nobody gets its discount."""

    topic = "ticketing.pricing.policy_ended"


class RepriceTickets(Command[None]):
    """The valid policies have changed: reprice tickets in the order of their ids, starting after `after`."""

    topic = "ticketing.pricing.reprice_tickets"

    after: UUID | None = None


class RestorePrice(Command[None]):
    """The reservation has ended: end its frozen price, or prevent that a price is frozen later."""

    topic = "ticketing.pricing.restore_price"

    reservation_id: UUID
    ticket_id: UUID


class PriceAssigned(PriceState, Event):
    """A ticket got its first price, or another price."""

    topic = "ticketing.pricing.price_assigned"


class FrozenPriceEvent(FrozenPrice, Event):
    """A change of the frozen price of a reservation, with its state after the change."""


class PriceFrozen(FrozenPriceEvent):
    topic = "ticketing.pricing.price_frozen"


class PriceRestored(FrozenPriceEvent):
    """Published for each `RestorePrice`, even if there was nothing to restore."""

    topic = "ticketing.pricing.price_restored"


class ShowPolicy(Query[Policy]):
    topic = "ticketing.pricing.show_policy"
    refusals = (NotFound,)

    policy_id: UUID


class ListPolicies(Query[Page[Policy]]):
    topic = "ticketing.pricing.list_policies"
    refusals = ()

    status: PolicyStatus = PolicyStatus.ACTIVE
    limit: int = 50
    cursor: str | None = None


class ShowPrice(Query[TicketPrice]):
    """A ticket's price for the caller's grade; refused: `not_priced_yet`."""

    topic = "ticketing.pricing.show_price"
    refusals = (NotPricedYet,)

    ticket_id: UUID
    caller: Caller


class ListPrices(Query[Page[TicketPrice]]):
    topic = "ticketing.pricing.list_prices"
    refusals = ()

    caller: Caller
    limit: int = 50
    cursor: str | None = None
