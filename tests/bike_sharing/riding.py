"""Words for the stories of bike sharing: what one does, and what one looks at."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

import aio_pika

from contracts.base import Caller, Message
from contracts.bike_sharing.bikes import BikeCondition, ChangeBike, RegisterBike, ShowBike
from contracts.bike_sharing.billing import ShowBill
from contracts.bike_sharing.deposits import CreditDeposit, ListEntries, ShowDeposit, TopUpDeposit
from contracts.bike_sharing.ride_history import ShowRideHistory
from contracts.bike_sharing.rides import EndRide, ReturnBike, ShowRide, StartRide
from ops.audit import audit, pending_work
from storage.bike_sharing.deposits import account_id_of
from tests.support.messages import as_message
from tests.support.system import STAFF, System, card, eventually
from workers.registry import CONTEXTS
from workers.runtime.messaging import envelope

Thing = dict[str, Any]

BIKES, RIDES, BILLING, DEPOSITS, HISTORY = (
    f"bike_sharing.{name}" for name in ("bikes", "rides", "billing", "deposits", "ride_history")
)
SYSTEM = ("payments", BIKES, RIDES, BILLING, DEPOSITS, HISTORY, "journal")


# -- doing


async def attempt(system: System, message: Message, *, id: UUID | None = None) -> tuple[str, Thing]:
    """Ask until there is an outcome: its code (`done` or a refusal's) and its body."""
    reply = await system.until_done(message, id=id or uuid4())
    body: Thing = json.loads(reply.body)
    return (str(body["code"]) if reply.kind == "refused" else reply.kind), body


def new_bike(location: str = "City Hall", condition: BikeCondition = BikeCondition.GOOD) -> RegisterBike:
    return RegisterBike(code=f"B-{uuid4().hex[:10]}", location=location, condition=condition, caller=STAFF)


async def bike(system: System, location: str = "City Hall", condition: BikeCondition = BikeCondition.GOOD) -> UUID:
    """A bike that rides has heard of."""
    bike_id = UUID((await system.done(new_bike(location, condition)))["bike_id"])
    known = "select 1 from bike_sharing_rides.bikes where bike_id = $1"
    await eventually(partial(system.rows, RIDES, known, bike_id))
    return bike_id


def top_up(member: Caller, amount: int = 10_000, token: str = "tok_visa") -> TopUpDeposit:
    return TopUpDeposit(amount=amount, payment=card(token), caller=member)


async def funded(system: System, member: Caller, amount: int = 10_000) -> Thing:
    """Money from staff, that rides has heard of."""
    given = await system.done(
        CreditDeposit(member_id=member.member_id, amount=amount, reason="a present", caller=STAFF)
    )
    await heard_of_balance(system, member, given["balance"], given["debt"])
    return given


async def heard_of_balance(system: System, member: Caller, balance: int, debt: int = 0) -> None:
    """Wait until rides knows what a member has and owes."""
    query = "select 1 from bike_sharing_rides.accounts where member_id = $1 and balance = $2 and debt = $3"
    await eventually(partial(system.rows, RIDES, query, member.member_id, balance, debt))


def start(bike_id: UUID, member: Caller) -> StartRide:
    return StartRide(bike_id=bike_id, caller=member)


async def riding(system: System, member: Caller, bike_id: UUID | None = None) -> Thing:
    """A ride of a member who has money."""
    if (await deposit(system, member))["balance"] < system.settings.bike_sharing_minimum_deposit:
        await funded(system, member)
    return await system.done(start(bike_id or await bike(system), member))


def give_back(ride: Thing, member: Caller, location: str = "Han River") -> ReturnBike:
    return ReturnBike(ride_id=ride["ride_id"], location=location, caller=member)


def end(ride: Thing, reason: str = "lost", location: str | None = None) -> EndRide:
    return EndRide(ride_id=ride["ride_id"], reason=reason, location=location, caller=STAFF)


def report(bike_id: UUID | str, condition: BikeCondition = BikeCondition.BROKEN) -> ChangeBike:
    return ChangeBike(bike_id=bike_id, condition=condition)


async def rode_for(system: System, ride: Thing, seconds: float) -> None:
    """Turn the clock of one ride; the second that a request takes is left out of the last minute."""
    await system.rows(
        RIDES,
        "update bike_sharing_rides.rides set started_at = now() - $2 * interval '1 second' where ride_id = $1",
        UUID(ride["ride_id"]),
        seconds,
    )


async def rode(system: System, member: Caller, minutes: int) -> Thing:
    """A ride of so many minutes, returned."""
    ride = await riding(system, member)
    await rode_for(system, ride, minutes * 60 - 30)
    return await system.done(give_back(ride, member))


async def order(system: System, *commands: Message) -> None:
    """Tell commands by hand, in this order, each as a message of its own."""
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("yeyak.commands", ensure=False)
        for command in commands:
            id = uuid4()
            message = envelope.told(id, command.model_dump_json().encode(), command.topic, "test", id, None, "test")
            await exchange.publish(as_message(message), routing_key=command.topic)


# -- looking


async def deposit(system: System, member: Caller) -> Thing:
    return await system.done(ShowDeposit(member_id=member.member_id, caller=member))


async def has(system: System, member: Caller, balance: int, debt: int = 0) -> None:
    """Wait until a deposit stands so."""
    found: Thing = {}

    async def so() -> bool:
        found.update(await deposit(system, member))
        return (found["balance"], found["debt"]) == (balance, debt)

    try:
        await eventually(so)
    except AssertionError:
        raise AssertionError(f"{found}, not {balance} and {debt} owed") from None


async def ledger(system: System, member: Caller) -> list[tuple[str, int]]:
    """Kinds and amounts, oldest first."""
    page = await system.done(ListEntries(member_id=member.member_id, caller=member))
    return [(entry["kind"], entry["amount"]) for entry in reversed(page["items"])]


async def bike_of(system: System, bike_id: UUID | str) -> Thing:
    return await system.done(ShowBike(bike_id=bike_id, caller=STAFF))


async def bike_is(system: System, bike_id: UUID | str, status: str) -> Thing:
    """Wait until a bike stands so."""

    async def so() -> Thing | None:
        found = await bike_of(system, bike_id)
        return found if found["status"] == status else None

    found: Thing = await eventually(so)
    return found


async def ride_of(system: System, ride_id: object) -> Thing:
    return await system.done(ShowRide(ride_id=UUID(str(ride_id)), caller=STAFF))


async def ride_is(system: System, ride_id: object, status: str) -> Thing:
    """Wait until a ride is there and stands so."""

    async def so() -> Thing | None:
        reply = await system.request(ShowRide(ride_id=UUID(str(ride_id)), caller=STAFF))
        found: Thing = json.loads(reply.body) if reply.kind == "done" else {}
        return found if found.get("status") == status else None

    found: Thing = await eventually(so)
    return found


def bill_id_of(ride: Thing) -> UUID:
    return uuid5(UUID(ride["ride_id"]), "bill")


async def bill_is(system: System, ride: Thing, status: str) -> Thing:
    """Wait until a ride's bill is there and stands so."""
    found: Thing = {}

    async def so() -> bool:
        reply = await system.request(ShowBill(bill_id=bill_id_of(ride), caller=STAFF))
        found.update(json.loads(reply.body) if reply.kind == "done" else {})
        return found.get("status") == status

    try:
        await eventually(so)
    except AssertionError:
        raise AssertionError(f"the bill is {found}, not {status}") from None
    return found


async def entry(system: System, ride: Thing, min_version: int = 0, caller: Caller = STAFF) -> Thing:
    """One ride in the history, with its timeline."""
    return await system.done(ShowRideHistory(ride_id=ride["ride_id"], min_version=min_version, caller=caller))


async def shown(system: System, ride: Thing, status: str, bill: str | None = None) -> Thing:
    """One ride in the history, once it and its bill stand so."""
    found: Thing = {}

    async def so() -> bool:
        found.clear()
        found.update(await entry(system, ride))
        return found["status"] == status and (bill is None or (found["bill"] or {}).get("status") == bill)

    try:
        await eventually(so)
    except AssertionError:
        raise AssertionError(f"ride history has {found}, not {status}, {bill}") from None
    return found


async def discrepancies(system: System) -> list[str]:
    """Whatever the audit finds once the system, and its journal, has come to rest."""
    absent = set(CONTEXTS) - set(SYSTEM)
    if under_way := await pending_work(system.settings, 30, without=absent):
        return under_way
    found = await audit(system.settings, without=absent)
    return [f"{invariant}: {line}" for invariant, lines in found.items() for line in lines]


def account_of(member: Caller) -> UUID:
    return account_id_of(member.member_id)
