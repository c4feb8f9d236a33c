"""Bike sharing in tests: its commands, rides in each state, and what must hold in the end."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

from contracts.base import Caller, Message
from contracts.bike_sharing.bikes import BikeCondition, ChangeBike, RegisterBike, ShowBike
from contracts.bike_sharing.billing import ShowBill
from contracts.bike_sharing.deposits import CreditDeposit, ListEntries, ShowDeposit, TopUpDeposit
from contracts.bike_sharing.ride_history import ShowRideHistory
from contracts.bike_sharing.rides import EndRide, ReturnBike, ShowRide, StartRide
from ops.audit import audit, pending_work
from storage.bike_sharing.deposits import account_id_of
from tests.support.system import STAFF, Json, System, card, contexts_of
from workers import registry

BIKES, RIDES, BILLING, DEPOSITS, HISTORY = (
    f"bike_sharing.{name}" for name in ("bikes", "rides", "billing", "deposits", "ride_history")
)
CONTEXTS = contexts_of("bike_sharing")


# -- commands


def register_bike(location: str = "City Hall", condition: BikeCondition = BikeCondition.GOOD) -> RegisterBike:
    return RegisterBike(code=f"B-{uuid4().hex[:10]}", location=location, condition=condition, caller=STAFF)


def report_condition(bike_id: UUID | str, condition: BikeCondition = BikeCondition.BROKEN) -> ChangeBike:
    return ChangeBike(bike_id=bike_id, condition=condition)


def top_up(member: Caller, amount: int = 10_000, token: str = "tok_visa") -> TopUpDeposit:
    return TopUpDeposit(amount=amount, payment=card(token), caller=member)


def start_ride(bike_id: UUID, member: Caller) -> StartRide:
    return StartRide(bike_id=bike_id, caller=member)


def return_bike(ride: Json, member: Caller, location: str = "Han River") -> ReturnBike:
    return ReturnBike(ride_id=ride["ride_id"], location=location, caller=member)


def end_ride(ride: Json, reason: str = "lost", location: str | None = None) -> EndRide:
    return EndRide(ride_id=ride["ride_id"], reason=reason, location=location, caller=STAFF)


# -- states


async def known_bike(
    system: System, location: str = "City Hall", condition: BikeCondition = BikeCondition.GOOD
) -> UUID:
    """Register a bike, and wait until rides knows it."""
    bike_id = UUID((await system.done(register_bike(location, condition)))["bike_id"])
    await system.wait_for_rows(RIDES, "select 1 from bike_sharing_rides.bikes where bike_id = $1", bike_id)
    return bike_id


async def credit(system: System, member: Caller, amount: int = 10_000) -> Json:
    """Credit a member as staff, and wait until rides knows the balance."""
    command = CreditDeposit(member_id=member.member_id, amount=amount, reason="a present", caller=STAFF)
    credited = await system.done(command)
    await wait_for_known_balance(system, member, credited["balance"], credited["debt"])
    return credited


async def wait_for_known_balance(system: System, member: Caller, balance: int, debt: int = 0) -> None:
    """Wait until rides knows what a member has and owes."""
    query = "select 1 from bike_sharing_rides.accounts where member_id = $1 and balance = $2 and debt = $3"
    await system.wait_for_rows(RIDES, query, member.member_id, balance, debt)


async def started_ride(system: System, member: Caller, bike_id: UUID | None = None) -> Json:
    """Start a ride of a member, who is credited before if the deposit is too low."""
    if (await deposit_of(system, member))["balance"] < system.settings.bike_sharing_minimum_deposit:
        await credit(system, member)
    return await system.done(start_ride(bike_id or await known_bike(system), member))


async def set_duration(system: System, ride: Json, seconds: float) -> None:
    """Move the start of a ride to so many seconds ago."""
    await system.rows(
        RIDES,
        "update bike_sharing_rides.rides set started_at = now() - $2 * interval '1 second' where ride_id = $1",
        UUID(ride["ride_id"]),
        seconds,
    )


async def returned_ride(system: System, member: Caller, minutes: int) -> Json:
    """A ride of so many minutes, returned; half a minute is left for the requests."""
    ride = await started_ride(system, member)
    await set_duration(system, ride, minutes * 60 - 30)
    return await system.done(return_bike(ride, member))


async def done_in_the_end(system: System, command: Message) -> Json:
    """Send a command, as a new request each time, until it is done: a busy machine may not answer in time."""
    while True:
        code, body = await system.outcome(command)
        if code == "done":
            return body
        assert code in ("payment_unavailable", "bike_unavailable", "deposit_too_low", "unavailable", "unknown"), body


# -- queries


async def deposit_of(system: System, member: Caller) -> Json:
    return await system.done(ShowDeposit(member_id=member.member_id, caller=member))


async def wait_for_deposit(system: System, member: Caller, balance: int, debt: int = 0) -> None:
    query = ShowDeposit(member_id=member.member_id, caller=member)
    await system.wait_for(query, balance=balance, debt=debt)


async def ledger_of(system: System, member: Caller) -> list[tuple[str, int]]:
    """Kinds and amounts, oldest first."""
    page = await system.done(ListEntries(member_id=member.member_id, caller=member))
    return [(entry["kind"], entry["amount"]) for entry in reversed(page["items"])]


async def bike_of(system: System, bike_id: UUID | str) -> Json:
    return await system.done(ShowBike(bike_id=bike_id, caller=STAFF))


async def wait_for_bike(system: System, bike_id: UUID | str, status: str) -> Json:
    return await system.wait_for(ShowBike(bike_id=bike_id, caller=STAFF), status=status)


async def ride_of(system: System, ride_id: object) -> Json:
    return await system.done(ShowRide(ride_id=UUID(str(ride_id)), caller=STAFF))


async def wait_for_ride(system: System, ride_id: object, status: str) -> Json:
    return await system.wait_for(ShowRide(ride_id=UUID(str(ride_id)), caller=STAFF), status=status)


def bill_id_of(ride: Json) -> UUID:
    return uuid5(UUID(ride["ride_id"]), "bill")


async def wait_for_bill(system: System, ride: Json, **expected: object) -> Json:
    """A ride's bill, once it has these fields."""
    return await system.wait_for(ShowBill(bill_id=bill_id_of(ride), caller=STAFF), **expected)


async def view_of(system: System, ride: Json, min_version: int = 0, caller: Caller = STAFF) -> Json:
    """One ride in the history, with its timeline."""
    return await system.done(ShowRideHistory(ride_id=ride["ride_id"], min_version=min_version, caller=caller))


async def wait_for_view(system: System, ride: Json, **expected: object) -> Json:
    """One ride in the history, once it has these fields."""
    return await system.wait_for(ShowRideHistory(ride_id=ride["ride_id"], caller=STAFF), **expected)


def account_id(member: Caller) -> UUID:
    return account_id_of(member.member_id)


# -- at the end


async def discrepancies(system: System) -> list[str]:
    """What the audit finds once nothing is pending, in the system and in its journal."""
    absent = set(registry.CONTEXTS) - set(CONTEXTS)
    if unfinished := await pending_work(system.settings, 30, without=absent):
        return unfinished
    found = await audit(system.settings, without=absent)
    return [f"{invariant}: {line}" for invariant, lines in found.items() for line in lines]
