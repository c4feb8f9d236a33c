"""Each check of the audit reports what contradicts its invariant, and nothing in a consistent system."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine

import ops.audit.runner
from ops.audit import audit, findings
from ops.commands.audit import printed
from storage.migrations import migrate
from storage.video_rental import my_page
from tests.ops import seed_cafe
from tests.ops.conftest import Seeded
from tests.ops.contradictions import CASES, Case, payment
from tests.support import servers as support
from tests.support.servers import Servers


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again without a pause: nothing changes in a seeded system."""
    monkeypatch.setattr(ops.audit.runner, "RECHECK_SECONDS", 0.0)


async def test_a_consistent_system_has_no_discrepancies(stores: Seeded) -> None:
    assert await audit(stores.settings) == {f"I{number}": [] for number in range(1, 10)}


@pytest.mark.parametrize(
    "case", [*CASES, *seed_cafe.CONTRADICTIONS], ids=lambda case: f"{case.invariant} {case.reported[:60]}"
)
async def test_each_contradiction_is_reported(stores: Seeded, case: Case) -> None:
    await stores.run(case.script, provider=case.at_provider)

    found = await audit(stores.settings)

    reported = case.reported.format(**stores.rentals)
    assert [line for line in found[case.invariant] if reported in line], found


async def test_a_second_charge_is_traced_to_its_booking(stores: Seeded) -> None:
    """The booking requested two payments and names only one."""
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


async def test_unfinished_work_is_no_discrepancy(stores: Seeded) -> None:
    """A booking between its two functions, already charged: its started step will settle it."""
    await stores.run("""
        update video_rental_rentals.rentals set status = 'AWAITING_PAYMENT', payment_status = null
          where rental_id = '{booked}';
        update video_rental_rentals.inbox set state = 'started', answer = null, body = '{{}}', due_at = now()
          where id = '{booked}'""")

    found = await audit(stores.settings)

    assert found["I1"] == found["I2"] == found["I3"] == found["I4"] == found["I9"] == []


async def test_removing_copies_that_are_rented_out_is_no_discrepancy(stores: Seeded) -> None:
    await stores.run("update video_rental_rentals.videos set copies = 0")

    assert (await audit(stores.settings))["I3"] == []


async def test_a_discrepancy_that_is_gone_at_the_second_look_is_not_reported(
    stores: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stores.run("update video_rental_my_page.rentals set version = 1 where rental_id = '{booked}'")
    pauses: list[float] = []

    async def catch_up(seconds: float) -> None:
        pauses.append(seconds)
        await stores.run("update video_rental_my_page.rentals set version = 2 where rental_id = '{booked}'")

    monkeypatch.setattr(ops.audit.runner, "asyncio", SimpleNamespace(sleep=catch_up))

    found = await audit(stores.settings)

    assert pauses == [ops.audit.runner.RECHECK_SECONDS]
    assert not any(found.values())


async def test_an_unavailable_store_leaves_the_others_checkable(stores: Seeded) -> None:
    settings = stores.settings.model_copy(
        update={"provider_database_url": SecretStr("postgresql://nobody@127.0.0.1:1/x")}
    )

    found = {finding.invariant: finding for finding in await findings(settings)}

    away = {name for name, finding in found.items() if finding.not_checkable}
    assert away == {"I2", "I4", "I6"}
    assert found["I2"].not_checkable is not None
    assert found["I2"].not_checkable.startswith("provider cannot be read (")
    assert not found["I2"].passed
    assert all(not finding.discrepancies for finding in found.values())


async def test_the_books_of_a_provider_without_a_database_are_taken_from_payments(original: Seeded) -> None:
    settings = original.settings.model_copy(
        update={
            "payments_provider": "stripe",
            "payments_stripe_key": SecretStr("sk_test_1"),
            "provider_database_url": SecretStr("postgresql://nobody@127.0.0.1:1/x"),
        }
    )

    assert [finding for finding in await findings(settings) if not finding.passed] == []


async def test_what_nobody_has_dealt_with_in_the_providers_books_is_found(stores: Seeded) -> None:
    await stores.run(
        """insert into payments.discrepancies
             (discrepancy_id, kind, status, amount, provider, reference, payer, purpose, version)
           values (gen_random_uuid(), 'DISPUTED', 'OPEN', 9000, 'stripe', 'pi_1', '', '', 0)"""
    )

    found = {finding.invariant: finding for finding in await findings(stores.settings)}

    assert found["I4"].discrepancies == ["payment pi_1: DISPUTED of 9000 won at stripe"]


async def test_without_its_main_database_nothing_is_checkable(stores: Seeded) -> None:
    settings = stores.settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/x")})

    assert all(finding.not_checkable for finding in await findings(settings))


async def test_a_database_without_migrations_is_reported(servers: Servers, stores: Seeded) -> None:
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


async def test_a_view_may_be_stored_in_another_kind_of_database(stores: Seeded, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'view.db'}"
    await asyncio.to_thread(migrate, "video_rental.my_page", url)
    settings = stores.settings.model_copy(update={"context_database_urls": {"video_rental.my_page": SecretStr(url)}})

    empty = await audit(settings)
    assert f"my_page has not received rental {stores.rentals['booked']}, version 2" in empty["I5"]

    engine = create_async_engine(url)
    async with engine.begin() as sqlite:
        for table in my_page.tables.metadata.sorted_tables:
            rows = await stores.rows(f'select * from video_rental_my_page."{table.name}"')
            if table.name != "generations":
                await sqlite.execute(table.insert(), [dict(row) for row in rows])
    await engine.dispose()

    assert not any((await audit(settings)).values())


async def test_a_context_that_does_not_run_is_not_expected_to_have_received_anything(stores: Seeded) -> None:
    await stores.run("delete from journal.events; delete from video_rental_my_page.rentals")

    found = await audit(stores.settings, without={"journal", "video_rental.my_page"})

    assert not any(found.values())


async def test_the_audit_changes_nothing(stores: Seeded) -> None:
    written = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_all_tables where schemaname not like 'pg_%'"
    tables = """select count(*) from pg_class where (relname like 'audit%' or relname like 'provider%')
      and relnamespace <> 'journal'::regnamespace"""
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
