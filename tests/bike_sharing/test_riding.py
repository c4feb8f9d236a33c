"""From a deposit to a closed bill."""

from __future__ import annotations

from contracts.base import Caller
from tests.bike_sharing.riding import (
    bike,
    bike_is,
    bike_of,
    bill_is,
    funded,
    give_back,
    has,
    ledger,
    rode_for,
    shown,
    start,
)
from tests.support.town import Town


async def test_a_member_rides_returns_anywhere_and_pays_from_the_deposit(town: Town, kim: Caller) -> None:
    bike_id = await bike(town, "City Hall")
    await funded(town, kim, 10_000)

    ride = await town.done(start(bike_id, kim))
    taken = await bike_of(town, bike_id)
    await rode_for(town, ride, 90)
    returned = await town.done(give_back(ride, kim, "Han River"))

    assert (ride["status"], ride["start_location"], taken["status"]) == ("RIDING", "City Hall", "IN_USE")
    assert ride["fee_plan"] == {"per_minute": 100, "at_most": 20_000}
    assert (returned["status"], returned["minutes"], returned["fee"]) == ("RETURNED", 2, 200)
    assert (await bike_is(town, bike_id, "AVAILABLE"))["location"] == "Han River"
    bill = await bill_is(town, ride, "CLOSED")
    assert (bill["amount"], bill["paid"], bill["owed"], bill["balance_after"]) == (200, 200, 0, 9_800)
    await has(town, kim, 9_800)
    assert await ledger(town, kim) == [("CREDIT", 10_000), ("FEE", -200)]
    seen = await shown(town, ride, "RETURNED", "CLOSED")
    assert (seen["balance_after"], seen["bike"]["location"], seen["minutes"]) == (9_800, "Han River", 2)
    assert [line["what"] for line in seen["timeline"]] == [
        "RideRequested", "RideStarted", "BillOpened", "RideReturned", "BillSettling", "BillClosed",
    ]  # fmt: skip
