"""Each check of the audit finds what contradicts it, and names it; in a town that is well it finds nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine

import ops.audit
from ops.audit import audit, findings
from ops.commands.audit import printed
from storage.migrations import migrate
from storage.video_rental import my_page
from tests.ops_commands.conftest import Seeded
from tests.support import servers as support
from tests.support.servers import Servers


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seeded does not move: a second look finds the same."""
    monkeypatch.setattr(ops.audit, "LOOK_AGAIN_SECONDS", 0.0)


async def test_a_town_that_is_well_has_no_discrepancies(stores: Seeded) -> None:
    assert await audit(stores.settings) == {f"I{number}": [] for number in range(1, 10)}


class Case(NamedTuple):
    """A script that spoils a town, and what the audit says then; `{booked}` and the like are ids of rentals."""

    invariant: str
    spoil: str
    said: str
    at_provider: bool = False


def rental(kind: str, change: str) -> str:
    return f"update video_rental_rentals.rentals set {change} where rental_id = '{{{kind}}}'"


def payment(kind: str, change: str) -> str:
    return f"""
        update payments.payments set {change} where payment_id =
          (select payment_id from video_rental_rentals.rentals where rental_id = '{{{kind}}}')"""


CASES = [
    # I1
    Case(
        "I1", rental("booked", "status = 'AWAITING_PAYMENT'"), "rental {booked} awaits its payment, and no step settles"
    ),
    Case(
        "I1",
        "delete from video_rental_rentals.inbox where state = 'waiting'",
        "rental {booked} is BOOKED, and no timer",
    ),
    Case(
        "I1",
        rental("late", "late_fee_status = 'PAYING'"),
        "the late fee of rental {late} is PAYING, and no step settles",
    ),
    Case("I1", payment("booked", "status = 'REQUESTED'"), "is REQUESTED, and no step settles it"),
    Case("I1", payment("booked", "status = 'VOIDING'"), "is VOIDING, and no step drives it"),
    Case("I1", "update payments.refunds set status = 'REFUND_FAILED'", "is not through, and no step drives it"),
    Case(
        "I1",
        "update video_rental_rentals.inbox set due_at = now() - interval '5 minutes' where state = 'waiting'",
        "video_rental.rentals has not taken up video_rental.rentals.give_up_booking",
    ),
    # I2
    Case(
        "I2",
        "insert into provider.charges (key, amount, captured) values (gen_random_uuid(), 3000, 3000)",
        "of 3000 won stands, and payments knows nothing of it",
        at_provider=True,
    ),
    Case(
        "I2",
        """update video_rental_rentals.rentals a set payment_id = b.payment_id from video_rental_rentals.rentals b
        where a.rental_id = '{booked}' and b.rental_id = '{rented}'""",
        "pays for more than one thing: rental",
    ),
    # I3
    Case("I3", "update video_rental_rentals.holds set held = held + 1", "4 copies are held, 3 rentals are active"),
    Case("I3", "delete from video_rental_rentals.holds", "0 copies are held, 3 rentals are active"),
    Case(
        "I3",
        """drop index video_rental_rentals.rentals_one_active;
        update video_rental_rentals.rentals set member_id = 'minji' where status in ('BOOKED', 'RENTED')""",
        "member minji has 3 active rentals of video",
    ),
    Case(
        "I3",
        """update video_rental_rentals.videos set copies = 2;
        update journal.events set body = replace(body, '"copies":100000', '"copies":2')""",
        "3 rentals are active, of 2 copies at most",
    ),
    # I4
    Case(
        "I4",
        "update provider.charges set voided = captured where refunded = 0",
        "rental {booked} is BOOKED for 3000",
        True,
    ),
    Case("I4", "update provider.charges set voided = 0", "captured and not voided 0, at the provider 3000", True),
    Case("I4", "update provider.charges set refunded = 0", "3000 won are kept of charge", True),
    Case("I4", "delete from provider.refunds; delete from provider.charges", "and there is no charge", True),
    Case("I4", payment("booked", "amount = 2999"), "(APPROVED): amount 2999, at the provider 3000"),
    Case("I4", payment("partly", "refunded = 400"), "400 won are refunded and 0 under way, its refunds say 500 and 0"),
    Case("I4", payment("rented", "status = 'DECLINED'"), "rental {rented} is RENTED for 3000 won, and payment"),
    Case("I4", rental("cancelled", "status = 'BOOKED'"), "rental {cancelled} is BOOKED, and was refunded"),
    Case("I4", rental("booked", "status = 'CANCELLED'"), "rental {booked} is CANCELLED"),
    Case("I4", rental("late", "late_fee_payment_id = null"), "which no booking of video_rental.rentals names"),
    Case("I4", rental("returned", "price = 2000"), "in all 15500 won are kept, and 14500 are due"),
    # I5
    Case(
        "I5",
        "delete from video_rental_my_page.rentals where rental_id = '{booked}'",
        "my_page has not heard of rental {booked}, version 2",
    ),
    Case("I5", "delete from video_rental_my_page.videos", "my_page has not heard of video"),
    Case("I5", "delete from video_rental_my_page.payments", "my_page has not heard of payment"),
    Case("I5", "delete from video_rental_my_page.refunds", "my_page has not heard of refund"),
    Case("I5", "delete from video_rental_rentals.videos", "rentals has not heard of video"),
    Case("I5", "delete from video_rental_videos.videos", "which its writer does not know"),
    Case(
        "I5",
        "delete from video_rental_rentals.rentals where rental_id = '{rejected}'",
        "my_page has rental {rejected}, which its writer does not know",
    ),
    Case("I5", rental("rented", "version = 4"), "my_page has version 3 of rental {rented}, its writer version 4"),
    Case(
        "I5",
        "delete from payments.refunds where requested_by = 'rentals'",
        "rental {cancelled}: payments has not heard of its refund",
    ),
    Case(
        "I5", payment("unavailable", "status = 'APPROVED'"), "rental {unavailable}: payments has not voided its payment"
    ),
    Case(
        "I5",
        "delete from journal.events where topic = 'video_rental.rentals.video_booked' and story_id = '{booked}'",
        "the journal knows 1 of 2 versions of rental {booked}",
    ),
    Case(
        "I5",
        """update journal.events set things = array[gen_random_uuid()]
        where topic = 'video_rental.rentals.video_booked' and story_id = '{booked}'; insert into journal.events
        select position, gen_random_uuid(), topic, context, story_id, causation_id, actor, at, things, body
        from journal.events where story_id = '{rented}'""",
        "of a rental that its writer does not know",
    ),
    # I6
    Case("I6", "update provider.refunds set amount = amount + 1", "won is REFUNDED, and the provider gave back", True),
    Case("I6", "update provider.charges set refunded = 0", "0 won are refunded, its refunds are", True),
    Case(
        "I6",
        "insert into provider.refunds (key, charge_key, amount) select gen_random_uuid(), key, 1 from provider.charges",
        "refund",
        at_provider=True,
    ),
    Case("I6", "delete from payments.entries where version = 2", "has 1 entries for 2 versions"),
    Case(
        "I6",
        """insert into video_rental_my_page.timeline
        select generation, subject, version, 'BookingRejected', at, status from video_rental_my_page.timeline
        where subject = '{booked}' and version = 2""",
        "version 2 of {booked} was told by BookingRejected, video_rental.rentals.video_booked",
    ),
    # I7
    Case(
        "I7",
        "update video_rental_my_page.rentals set version = 2 where rental_id = '{rented}'",
        "my_page shows version 2 of rental {rented}, and has heard of version 3",
    ),
    Case(
        "I7",
        "delete from video_rental_my_page.timeline where subject = '{rented}' and version = 2",
        "my_page shows version 3 of rental {rented}, and its timeline has 2 versions",
    ),
    Case("I7", "delete from video_rental_my_page.timeline", "my_page shows version 1 of video"),
    # I8
    Case(
        "I8",
        "update video_rental_my_page.rentals set status = 'BOOKED', price = 1 where rental_id = '{rented}'",
        "rental {rented}: my_page does not have the price, status of its writer",
    ),
    Case(
        "I8", "update video_rental_my_page.videos set title = 'Oldboy'", "my_page does not have the title of its writer"
    ),
    Case("I8", "update video_rental_rentals.videos set copies = 9", "rentals does not have the copies of its writer"),
    Case(
        "I8",
        rental("booked", "payment_status = 'VOIDED'"),
        "rental {booked} has its payment as VOIDED, and it is APPROVED",
    ),
    Case(
        "I8",
        rental("cancelled", "refund_status = 'PENDING'"),
        "rental {cancelled} has its refund as PENDING 3000, and it is REFUNDED 3000",
    ),
    # I9
    Case(
        "I9",
        "delete from video_rental_rentals.rentals where rental_id = '{booked}'",
        "booking {booked} was answered with a rental that is not there",
    ),
    Case(
        "I9",
        rental("booked", "status = 'AWAITING_PAYMENT'"),
        "booking {booked} was answered, and its rental still awaits payment",
    ),
    Case(
        "I9",
        "update video_rental_rentals.inbox set answer = '{{}}' where id = '{booked}'",
        "booking {booked} was answered with another rental",
    ),
    Case(
        "I9",
        rental("rejected", "status = 'BOOKED'"),
        "booking {rejected} was refused (payment_declined), and its rental is BOOKED",
    ),
    Case(
        "I9",
        """update video_rental_rentals.inbox set refused = true, answer = '{{"code": "already_booked"}}'
        where id = '{booked}'""",
        "booking {booked} was refused (already_booked), and its rental is BOOKED",
    ),
    Case(
        "I9",
        "delete from video_rental_rentals.inbox where id = '{booked}'",
        "rental {booked} came from no request that was kept",
    ),
    Case("I9", "delete from video_rental_videos.videos", "was answered for, and is not there"),
    Case("I9", "delete from payments.payments where status = 'APPROVED'", "was answered for, and is not there"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.invariant} {case.said[:60]}")
async def test_what_is_wrong_is_named(stores: Seeded, case: Case) -> None:
    await stores.run(case.spoil, provider=case.at_provider)

    found = await audit(stores.settings)

    said = case.said.format(**stores.rentals)
    assert [line for line in found[case.invariant] if said in line], found


async def test_a_second_charge_is_traced_to_its_booking(stores: Seeded) -> None:
    """The booking asked twice, under two payments, and only names one."""
    booked = stores.rentals["booked"]
    (row,) = await stores.rows("select payment_id from video_rental_rentals.rentals where rental_id = $1", booked)
    other = "00000000-0000-4000-8000-000000000001"
    await stores.run(f"""
        insert into payments.payments (payment_id, status, payer, amount, purpose, method, captured, version)
          values ('{other}', 'APPROVED', 'minji', 3000, 'video_rental.rentals', 'card', 3000, 1);
        insert into payments.inbox (id, topic, digest, owner, state, story_id, causation_id, actor)
          values ('{other}', 'payments.request_payment', '', gen_random_uuid(), 'done', '{booked}', '{booked}',
            'customer:minji')""")
    await stores.run(
        f"insert into provider.charges (key, amount, captured) values ('{other}', 3000, 3000)", provider=True
    )

    found = await audit(stores.settings)

    keys = ", ".join(sorted([str(row["payment_id"]), other]))
    assert found["I2"] == [f"rental {stores.rentals['booked']} was charged 2 times: {keys}"]


@pytest.mark.parametrize("lines", [0, 2])
async def test_a_refund_has_one_line_in_the_refund_log(stores: Seeded, lines: int) -> None:
    first, second = stores.settings.payments_refund_log.read_text().splitlines()
    stores.settings.payments_refund_log.write_text("\n".join([first] * lines + [second]) + "\n")

    found = await audit(stores.settings)

    assert len(found["I6"]) == 1
    assert f"has {lines} lines in the refund log" in found["I6"][0]


async def test_what_is_under_way_is_no_discrepancy(stores: Seeded) -> None:
    """A booking between its two functions, its charge already taken: a step of rentals will settle it."""
    await stores.run("""
        update video_rental_rentals.rentals set status = 'AWAITING_PAYMENT', payment_status = null
          where rental_id = '{booked}';
        update video_rental_rentals.inbox set state = 'started', answer = null, body = '{{}}', due_at = now()
          where id = '{booked}'""")

    found = await audit(stores.settings)

    assert found["I1"] == found["I2"] == found["I3"] == found["I4"] == found["I9"] == []


async def test_copies_that_are_taken_away_while_they_are_out_are_no_discrepancy(stores: Seeded) -> None:
    await stores.run("update video_rental_rentals.videos set copies = 0")

    assert (await audit(stores.settings))["I3"] == []


async def test_what_passes_within_a_second_is_no_discrepancy(stores: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    await stores.run("update video_rental_my_page.rentals set version = 1 where rental_id = '{booked}'")
    monkeypatch.setattr(ops.audit, "LOOK_AGAIN_SECONDS", 1.0)
    looking = asyncio.create_task(audit(stores.settings))
    await asyncio.sleep(0.7)
    await stores.run("update video_rental_my_page.rentals set version = 2 where rental_id = '{booked}'")

    assert not any((await looking).values())


async def test_a_store_that_is_away_leaves_the_others_checkable(stores: Seeded) -> None:
    settings = stores.settings.model_copy(
        update={"provider_database_url": SecretStr("postgresql://nobody@127.0.0.1:1/x")}
    )

    found = {finding.invariant: finding for finding in await findings(settings)}

    away = {name for name, finding in found.items() if finding.not_checkable}
    assert away == {"I2", "I4", "I6"}
    assert found["I2"].not_checkable is not None
    assert found["I2"].not_checkable.startswith("provider cannot be read (")
    assert not found["I2"].well
    assert all(not finding.discrepancies for finding in found.values())


async def test_without_its_main_database_nothing_is_checkable(stores: Seeded) -> None:
    settings = stores.settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/x")})

    assert all(finding.not_checkable for finding in await findings(settings))


async def test_a_database_that_was_never_migrated_is_said_to_be_so(servers: Servers, stores: Seeded) -> None:
    empty = await support.create_database(servers, f"empty_{id(stores)}")

    found = await findings(stores.settings.model_copy(update={"provider_database_url": SecretStr(empty)}))

    assert any("run `yeyak migrate`" in (finding.not_checkable or "") for finding in found)


async def test_contexts_may_have_databases_of_their_own(servers: Servers, stores: Seeded) -> None:
    name = stores.settings.database_url.get_secret_value().rpartition("/")[2]
    elsewhere = SecretStr(await support.create_database(servers, f"{name}_elsewhere", name))
    apart = stores.settings.model_copy(update={"context_database_urls": {"payments": elsewhere, "journal": elsewhere}})

    assert not any((await audit(apart)).values())

    await Seeded(apart.model_copy(update={"database_url": elsewhere}), stores.rentals).run(
        payment("booked", "captured = 0")
    )

    assert (await audit(apart))["I4"]


async def test_a_view_may_live_in_another_kind_of_database(stores: Seeded, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'view.db'}"
    await asyncio.to_thread(migrate, "video_rental.my_page", url)
    settings = stores.settings.model_copy(update={"context_database_urls": {"video_rental.my_page": SecretStr(url)}})

    empty = await audit(settings)
    assert f"my_page has not heard of rental {stores.rentals['booked']}, version 2" in empty["I5"]

    engine = create_async_engine(url)
    async with engine.begin() as sqlite:
        for table in my_page.metadata.sorted_tables:
            rows = await stores.rows(f'select * from video_rental_my_page."{table.name}"')
            if table.name != "generations":
                await sqlite.execute(table.insert(), [dict(row) for row in rows])
    await engine.dispose()

    assert not any((await audit(settings)).values())


async def test_a_context_that_does_not_run_is_expected_to_have_heard_of_nothing(stores: Seeded) -> None:
    await stores.run("delete from journal.events; delete from video_rental_my_page.rentals")

    found = await audit(stores.settings, without={"journal", "video_rental.my_page"})

    assert not any(found.values())


async def test_the_audit_leaves_nothing_behind(stores: Seeded) -> None:
    written = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_all_tables where schemaname not like 'pg_%'"
    tables = "select count(*) from pg_class where relname like 'audit%' or relname like 'provider%'"
    before = await stores.rows(written)

    await audit(stores.settings)

    assert await stores.rows(written) == before
    assert (await stores.rows(tables))[0]["count"] == 0


def test_findings_are_printed_a_line_each() -> None:
    lines = printed(
        [
            ops.audit.Finding("I1", "no loss"),
            ops.audit.Finding("I2", "no double charge", [f"charge {number}" for number in range(25)]),
            ops.audit.Finding("I6", "effect once", ["refund x"], "the refund log cannot be read"),
        ]
    )

    assert lines[0] == "I1  no loss                  ok"
    assert lines[1] == "I2  no double charge         25 discrepancies"
    assert lines[2] == "      charge 0"
    assert lines[22] == "      and 5 more: `yeyak audit --json` names them all"
    assert lines[23] == "I6  effect once              1 discrepancy, not checkable: the refund log cannot be read"
