"""Real processes are killed and frozen: the system recovers, every answer is true, and the audit is clean.

The seed of what is killed when is printed by a failure; `KILLING_SEED` repeats it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import httpx
import pytest

from ops.accounts.files import OPERATOR, Folder
from ops.audit import audit
from ops.audit.quiescence import pending_work
from ops.settings import SystemSettings
from tests.conftest import MakeSettings
from tests.support.accounts import open_accounts, settings_of
from tests.support.customers import Customer, Outcome
from tests.support.processes import GATEWAY, Processes
from tests.support.system import System, eventually
from workers.registry import CONTEXTS

KEY = "a-key-for-tests-that-has-at-least-32-bytes"
SEED = int(os.environ.get("KILLING_SEED", "20"))
SECONDS = float(os.environ.get("KILLING_SECONDS", "10"))
MEMBERS = 30
TOKENS = ["tok_visa"] * 6 + ["tok_declined", "tok_slow", "tok_error", "tok_refund_error"]

ENDS = {"payment_declined": {"REJECTED"}, "payment_unavailable": {"CANCELLED"}}
AFTER = {"booking": "BOOKED", "cancellation": "CANCELLED", "pickup": "RENTED", "return": "RETURNED"}


class RunningSystem:
    """A system of processes, a client of its gateway, and access to its stores."""

    def __init__(
        self, system: System, operator: SystemSettings, processes: Processes, client: httpx.AsyncClient
    ) -> None:
        self.system = system
        self.operator = operator
        """The settings with which the operator's account connects."""
        self.processes = processes
        self.client = client

    def member(self) -> Customer:
        return Customer(self.client, f"member-{uuid4().hex[:8]}", KEY)

    async def video(self, copies: int) -> str:
        staff = Customer(self.client, "boss", KEY, role="staff")
        made = await staff.post("/videos", {"title": "Casablanca", "daily_price": 1000, "copies": copies})
        known = "select 1 from video_rental_rentals.videos where video_id = $1"
        await eventually(lambda: self.system.rows("video_rental.rentals", known, UUID(made.body["video_id"])))
        return str(made.body["video_id"])

    async def status_of(self, rental_id: UUID) -> str | None:
        query = "select status from video_rental_rentals.rentals where rental_id = $1"
        rows = await self.system.rows("video_rental.rentals", query, rental_id)
        return rows[0]["status"] if rows else None

    async def comes_to_rest(self) -> None:
        """Check that every process runs, no work is pending, and no invariant is broken."""
        await self.processes.ready()
        absent = set(CONTEXTS) - set(self.system.names)
        assert await pending_work(self.operator, 60, without=absent) == []
        found = await audit(self.operator, without=absent)
        assert {name: lines for name, lines in found.items() if lines} == {}
        await eventually(self.every_refund_is_in_the_log_once)

    async def every_refund_is_in_the_log_once(self) -> bool:
        done = "select refund_id from payments.refunds where status = 'REFUNDED' and amount > 0"
        refunds = {str(row["refund_id"]) for row in await self.system.rows("payments", done)}
        log = self.system.settings.payments_refund_log
        lines = Counter(json.loads(line)["refund_id"] for line in log.read_text().splitlines()) if log.exists() else {}
        assert set(lines.values()) <= {1}
        return set(lines) == refunds


@pytest.fixture(scope="module")
async def place(
    make_settings: MakeSettings, accounts_folder: Folder, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningSystem]:
    settings = await make_settings(
        jwt_key=KEY,
        gateway_rate=0,
        video_rental_payment_ms=1200,
        payments_provider_ms=500,
        payments_slow_seconds=0.7,
    )
    system = await System(settings, "video_rental").open()
    accounts = await open_accounts(settings, accounts_folder.path)
    processes = Processes(settings, tmp_path_factory.mktemp("processes"), accounts)
    try:
        await processes.start(*system.names, GATEWAY)
        async with httpx.AsyncClient(base_url=processes.url, trust_env=False, timeout=15) as client:
            yield RunningSystem(system, settings_of(accounts, settings, OPERATOR), processes, client)
    finally:
        await processes.end()
        await system.close()


# -- killed at random


@dataclass
class Visit:
    """The answers to one customer: outcomes by the key of the booking, and the actions on each rental."""

    customer: Customer
    answers: list[tuple[str, Outcome]] = field(default_factory=list)
    last: dict[UUID, str] = field(default_factory=dict)


async def keep_visiting(visit: Visit, videos: list[str], number: int, until: float) -> None:
    """Book, then cancel, or pick up and return, or do nothing; post one in four bookings twice at the same time."""
    chance = random.Random(SEED * 1000 + number)
    video, token = videos[-1], TOKENS[number % len(TOKENS)]
    while time.monotonic() < until:
        key = str(uuid4())
        posts = 2 if chance.random() < 0.25 else 1
        booked = await asyncio.gather(*(visit.customer.book(video, token, key) for _ in range(posts)))
        visit.answers += [(key, outcome) for outcome in booked]
        if booked[0].code == "done":
            rental_id = visit.customer.rental_of(key)
            visit.last[rental_id] = "booking"
            plan = chance.choice([["cancellation"], ["pickup", "return"], ["pickup"], ["cancellation"]])
            for action in plan:
                done = await visit.customer.act(rental_id, action)
                assert done.code == "done", (action, done)
                visit.last[rental_id] = action
        video, token = chance.choice(videos), chance.choice(TOKENS)


async def keep_killing(processes: Processes, chance: random.Random, until: float) -> Counter[str]:
    """Kill a process about every 0.7 seconds; return the names."""
    killed: Counter[str] = Counter()
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(0.4, 1.0))
        name = chance.choice(processes.names)
        processes[name].signal(signal.SIGKILL)
        killed[name] += 1
    return killed


async def untrue(place: RunningSystem, visit: Visit) -> list[str]:
    """List the answers to a customer that are not true."""
    wrong = []
    answers: dict[str, set[str]] = {}
    for key, outcome in visit.answers:
        answers.setdefault(key, set()).add(outcome.code)
        status = await place.status_of(visit.customer.rental_of(key))
        expected = ENDS.get(outcome.code, {None} if outcome.code != "done" else set(AFTER.values()))
        if status not in expected:
            wrong.append(f"{key} was answered {outcome.code}, and its rental is {status}")
    wrong += [f"{key} was answered {codes}" for key, codes in answers.items() if len(codes) > 1]
    for rental_id, action in visit.last.items():
        if (status := await place.status_of(rental_id)) != AFTER[action]:
            wrong.append(f"after its {action} rental {rental_id} is {status}")
    return wrong


async def test_every_answer_is_true_although_processes_are_killed_under_load(place: RunningSystem) -> None:
    videos = [await place.video(copies=copies) for copies in (2, 5, 12, 40)]
    visits = [Visit(place.member()) for _ in range(MEMBERS)]
    until = time.monotonic() + SECONDS

    killed, *_ = await asyncio.gather(
        keep_killing(place.processes, random.Random(SEED), until),
        *(keep_visiting(visit, videos, number, until) for number, visit in enumerate(visits)),
    )

    await place.comes_to_rest()
    assert [wrong for visit in visits for wrong in await untrue(place, visit)] == [], f"seed {SEED}"
    outcomes = Counter(outcome.code for visit in visits for _, outcome in visit.answers)
    assert {"done", "payment_declined", "payment_unavailable"} <= set(outcomes), outcomes
    assert killed.total() >= SECONDS / 2


# -- killed at a place

AT = {
    "F03 after delivery, before the transaction ends": ("video_rental.rentals", "written=kill"),
    "F04 after commit, before the answer and the ack": ("video_rental.rentals", "committed=kill"),
    "F05 between the hold and the payment request": ("video_rental.rentals", "started=kill"),
    "F06 after the provider charged, before the commit": ("payments", "outcome_known=kill"),
    "F06 after the provider refunded, before the commit": ("payments", "outcome_known=kill@3"),
    "F07 after the payment's commit, before its reply": ("payments", "committed=kill"),
    "F08 with the payment's answer in hand": ("video_rental.rentals", "outcome_known=kill"),
    "F09 after the confirm, before the outbox row is forgotten": ("video_rental.rentals", "confirmed=kill"),
    "F09 after commit, before anything is published": ("payments", "publish=kill"),
    "F10 after a batch was applied, before its acks": ("video_rental.my_page", "applied=kill"),
}


@pytest.mark.parametrize(("name", "where"), AT.values(), ids=AT)
async def test_a_process_killed_at_a_failpoint_leaves_nothing_unfinished(
    place: RunningSystem, name: str, where: str
) -> None:
    video = await place.video(copies=1)
    declined, booked = place.member(), place.member()
    lives = await place.processes.arm(name, f"{name}:{where}")

    no = await declined.book(video, "tok_declined", "first")
    yes = await booked.book(video, key="second")
    if yes.code == "done":
        assert (await booked.act(booked.rental_of("second"), "cancellation")).code == "done"

    async def died() -> bool:
        return len(place.processes[name].ends) > lives

    await eventually(died)
    assert place.processes[name].ends[-1] == -signal.SIGKILL
    await place.comes_to_rest()
    assert await place.status_of(declined.rental_of("first")) in ENDS[no.code]
    assert await place.status_of(booked.rental_of("second")) == "CANCELLED"
    assert (await place.member().book(video)).code == "done"


async def test_a_caller_killed_while_it_waits_for_the_provider_reports_the_true_outcome_later(
    place: RunningSystem,
) -> None:
    """F01, F08: the gateway and rentals die while the payment is awaited."""
    video = await place.video(copies=1)
    member = place.member()
    booking = asyncio.create_task(member.book(video, "tok_slow", "slow"))

    async def awaits_payment() -> bool:
        query = "select 1 from video_rental_rentals.rentals where member_id = $1 and status = 'AWAITING_PAYMENT'"
        return bool(await place.system.rows("video_rental.rentals", query, member.caller.member_id))

    await eventually(awaits_payment, every=0.01)
    for name in (GATEWAY, "video_rental.rentals"):
        place.processes[name].signal(signal.SIGKILL)
    outcome = await booking

    await place.comes_to_rest()
    assert outcome.code == "payment_unavailable"
    assert await place.status_of(member.rental_of("slow")) == "CANCELLED"
    assert (await place.member().book(video)).code == "done"


# -- frozen

HEARTBEAT = 1
FROZEN_SECONDS = 5.0
"""Longer than a lease, a step with its margin, and two heartbeats."""


@pytest.mark.parametrize("name", ["video_rental.rentals", "payments"])
async def test_a_process_that_was_frozen_during_a_step_publishes_nothing_untrue_afterwards(
    place: RunningSystem, name: str
) -> None:
    """F13: the first write, its own or the timer's, decided the outcome."""
    second = f"{name} (second)"
    video = await place.video(copies=20)
    visits = [Visit(place.member()) for _ in range(20)]
    url = f"{place.system.settings.amqp_url.get_secret_value()}?heartbeat={HEARTBEAT}"
    await place.processes.start(second, YEYAK_AMQP_URL=url)

    async def book(visit: Visit) -> None:
        visit.answers.append(("frozen", await visit.customer.book(video, key="frozen")))

    async def some_are_under_way() -> bool:
        query = "select 1 from video_rental_rentals.rentals where video_id = $1"
        return len(await place.system.rows("video_rental.rentals", query, UUID(video))) >= 4

    bookings = [asyncio.create_task(book(visit)) for visit in visits]
    await eventually(some_are_under_way, every=0.005)
    place.processes[second].signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_SECONDS)
    place.processes[second].signal(signal.SIGCONT)
    await asyncio.gather(*bookings)

    await place.comes_to_rest()
    assert [wrong for visit in visits for wrong in await untrue(place, visit)] == []
    assert place.processes[second].ends == []
    await place.processes.end(second)
