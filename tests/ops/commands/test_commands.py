"""The CLI commands: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import jwt
import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from ops import environment
from ops.cli_support import wrong_settings
from ops.commands import audit, check_env, demo, provider_ledger, reconcile, status, token
from ops.settings import SystemSettings, system_settings
from ops.stack.local import Local
from tests.ops.conftest import Seeded
from workers.payments.reconciliation import SEOUL
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging import topology

KEY = "a key of more than thirty-two bytes, for tests"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Isolate the environment variables, and read the settings again."""
    monkeypatch.setenv("YEYAK_LOCAL", str(tmp_path))
    monkeypatch.setenv("YEYAK_JWT_KEY", KEY)
    system_settings.cache_clear()
    yield monkeypatch
    system_settings.cache_clear()


@pytest.fixture
def yeyak(environ: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; return its exit code, standard output and standard error."""
    app = typer.Typer()
    for module in (audit, check_env, demo, provider_ledger, reconcile, status, token):
        module.register(app)

    def run(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(words))
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def at(environ: pytest.MonkeyPatch) -> Callable[[SystemSettings], None]:
    """Point the commands to a system."""

    def point(system: SystemSettings) -> None:
        environ.setenv("YEYAK_DATABASE_URL", system.database_url.get_secret_value())
        environ.setenv("YEYAK_PROVIDER_DATABASE_URL", system.provider_database)
        environ.setenv("YEYAK_PAYMENTS_REFUND_LOG", str(system.payments_refund_log))
        environ.setenv("YEYAK_AMQP_URL", "amqp://nobody@127.0.0.1:1/")
        system_settings.cache_clear()

    return point


Yeyak = Callable[..., tuple[int, str, str]]
At = Callable[[SystemSettings], None]


# -- token


def test_a_token_is_printed_and_nothing_else(yeyak: Yeyak) -> None:
    code, printed, complaint = yeyak("token", "--role", "staff", "--subject", "kim", "--grade", "VIP", "--hours", "2")

    claims = jwt.decode(printed.strip(), KEY, algorithms=["HS256"], audience="yeyak", issuer="yeyak.local")
    assert (code, complaint, printed.count("\n")) == (0, "", 1)
    assert (claims["sub"], claims["role"], claims["grade"]) == ("kim", "staff", "VIP")
    assert claims["exp"] - claims["iat"] == 2 * 3600


@pytest.mark.parametrize(
    "words",
    [
        ("--role", "king", "--subject", "kim"),
        ("--role", "staff"),
        ("--role", "staff", "--subject", "kim", "--grade", "GOLD"),
        ("--role", "staff", "--subject", ""),
        ("--role", "staff", "--subject", "k" * 256),
        ("--role", "staff", "--subject", "kim", "--hours", "-1"),
    ],
)
def test_a_token_that_the_gateway_would_refuse_is_not_issued(yeyak: Yeyak, words: tuple[str, ...]) -> None:
    code, printed, _ = yeyak("token", *words)

    assert code != 0
    assert printed == ""


def test_without_a_key_there_is_no_token(yeyak: Yeyak, environ: pytest.MonkeyPatch) -> None:
    environ.delenv("YEYAK_JWT_KEY")

    code, printed, complaint = yeyak("token", "--role", "staff", "--subject", "kim")

    assert (code, printed) == (1, "")
    assert complaint.startswith("yeyak: there is no key to sign with")


# -- provider-ledger


def test_the_providers_ledger_is_a_list_of_charges(yeyak: Yeyak, at: At, original: Seeded) -> None:
    at(original.settings)

    code, printed, _ = yeyak("provider-ledger", "--json")

    charges = json.loads(printed)
    assert code == 0
    assert len(charges) == 9
    assert all(set(charge) == {"key", "amount", "captured", "voided", "refunded"} for charge in charges)
    assert sum(charge["captured"] - charge["voided"] - charge["refunded"] for charge in charges) == 15_500


def test_the_providers_ledger_as_a_table(yeyak: Yeyak, at: At, original: Seeded) -> None:
    at(original.settings)

    code, printed, _ = yeyak("provider-ledger")

    assert code == 0
    assert printed.splitlines()[0].split() == ["key", "amount", "captured", "voided", "refunded", "kept"]
    assert printed.splitlines()[-1] == "9 charges, 15500 won kept"
    assert max(map(len, printed.splitlines())) <= 100


# -- reconcile


def days_of_the_seed() -> tuple[str, str, str, str]:
    today = datetime.now(SEOUL).date()
    return "--from", str(today - timedelta(days=1)), "--to", str(today)


def test_equal_books_are_reported_by_day(yeyak: Yeyak, at: At, original: Seeded) -> None:
    at(original.settings)

    code, printed, _ = yeyak("reconcile", *days_of_the_seed(), "--json")

    days = json.loads(printed)
    assert code == 0
    assert [day["differences"] for day in days] == [[], []]
    assert sum(day["charges"] for day in days) == 9
    assert sum(day["captured"] - day["given_back"] for day in days) == 15_500


async def test_each_difference_is_named(yeyak: Yeyak, at: At, stores: Seeded) -> None:
    (row,) = await stores.rows(
        "update provider.charges set refunded = refunded + 700 where key = (select key from provider.charges "
        "where captured - voided - refunded > 700 order by key limit 1) returning key",
        provider=True,
    )
    at(stores.settings)

    code, printed, _ = await asyncio.to_thread(yeyak, "reconcile", *days_of_the_seed())

    assert code == 1
    assert f"{row['key']} ({row['key']}): REFUNDED_AT_PROVIDER 700 won" in printed


def test_wrong_days_and_unavailable_payments_are_reported(
    yeyak: Yeyak, at: At, original: Seeded, environ: pytest.MonkeyPatch
) -> None:
    at(original.settings)
    assert yeyak("reconcile", "--from", "yesterday")[0] == 1
    assert yeyak("reconcile", "--from", "2030-01-02", "--to", "2030-01-01")[2] == "yeyak: --from is after --to\n"

    environ.setenv("YEYAK_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    system_settings.cache_clear()

    code, printed, complaint = yeyak("reconcile")

    assert (code, printed) == (1, "")
    assert complaint.startswith("yeyak: the payments cannot be read")


def test_an_unavailable_ledger_is_reported(yeyak: Yeyak, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("YEYAK_PROVIDER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")

    code, printed, complaint = yeyak("provider-ledger", "--json")

    assert (code, printed) == (1, "")
    assert complaint.startswith("yeyak: the provider's ledger cannot be read")


# -- audit


def test_the_audit_of_a_consistent_system_ends_with_0(yeyak: Yeyak, at: At, original: Seeded) -> None:
    at(original.settings)

    code, printed, _ = yeyak("audit", "--json")

    report = json.loads(printed)
    assert code == 0
    assert report["passed"]
    assert [one["invariant"] for one in report["invariants"]] == [f"I{number}" for number in range(1, 10)]


async def test_an_audit_ends_with_1_when_anything_is_wrong(yeyak: Yeyak, at: At, stores: Seeded) -> None:
    await stores.run("update video_rental_rentals.holds set held = held + 1")
    at(stores.settings)

    code, printed, _ = await asyncio.to_thread(yeyak, "audit")

    assert code == 1
    assert "I3  capacity                 1 discrepancy\n" in printed


# -- status and check-env


def test_a_system_that_is_down_is_reported_in_one_sentence(yeyak: Yeyak, environ: pytest.MonkeyPatch) -> None:
    for name in ("YEYAK_DATABASE_URL", "YEYAK_PROVIDER_DATABASE_URL"):
        environ.setenv(name, "postgresql://nobody@127.0.0.1:1/x")
    environ.setenv("YEYAK_RABBITMQ_API", "http://nobody:secret@127.0.0.1:1")

    code, printed, complaint = yeyak("status")

    assert (code, printed, complaint.count("\n")) == (1, "", 1)
    assert complaint.startswith("yeyak: the system is down: `yeyak up` starts it")

    code, printed, _ = yeyak("status", "--json")
    assert code == 1
    assert json.loads(printed)["ready"] is False


def test_wrong_settings_are_named_without_their_values(yeyak: Yeyak, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("YEYAK_POOL_SIZE", "many")

    code, _, complaint = yeyak("check-env")

    assert code == 1
    assert complaint.startswith("yeyak: YEYAK_POOL_SIZE: input should be a valid integer")
    assert "many" not in complaint


def test_each_wrong_setting_has_its_name() -> None:
    with pytest.raises(ValueError, match="batch") as wrong:
        SystemSettings(batch=0, pool_size=0)

    assert sorted(line.partition(":")[0] for line in wrong_settings(wrong.value)) == ["YEYAK_BATCH", "YEYAK_POOL_SIZE"]


async def test_a_complete_environment_passes(
    make_settings: Callable[..., Awaitable[SystemSettings]], environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = await make_settings(jwt_key=SecretStr(KEY), gateway_port=0)
    await topology.apply(system.amqp_url.get_secret_value(), topology.plan(workers()))

    tried, problems = await environment.problems(system, Local(tmp_path))

    assert problems == []
    assert tried == len(CONTEXTS) + 6


async def test_each_problem_of_an_environment_has_a_line(
    make_settings: Callable[..., Awaitable[SystemSettings]], environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environ.setenv("YEYAK_POOLSIZE", "3")
    (tmp_path / "file").write_text("")
    nowhere = SecretStr("postgresql://kim:secret@127.0.0.1:1/x")
    system = await make_settings(
        jwt_key=SecretStr("short"),
        context_database_urls={"payments": nowhere},
        rabbitmq_api=SecretStr("http://kim:secret@127.0.0.1:1"),
        payments_refund_log=tmp_path / "file" / "refunds.jsonl",
        gateway_port=1,
    )

    _, problems = await environment.problems(system, Local(tmp_path))

    assert [problem.partition(":")[0] for problem in problems] == [
        "YEYAK_POOLSIZE",
        "broker amqp",
        "management API http",
        "database of payments postgresql",
        "signing key",
        "refund log",
    ]
    assert "its exchanges are missing: run `yeyak topology apply`" in problems[1]
    assert "secret" not in " ".join(problems)


async def test_ports_in_use_are_named_unless_the_system_is_up(
    make_settings: Callable[..., Awaitable[SystemSettings]], environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    (tmp_path / "ports.json").write_text(json.dumps({"payments": port}))
    system = await make_settings(jwt_key=SecretStr(KEY), gateway_port=port)

    async with listener:
        _, problems = await environment.problems(system, Local(tmp_path))
        with Local(tmp_path).only_supervisor():
            _, while_up = await environment.problems(system, Local(tmp_path))

    taken = "another process listens there"
    assert f"gateway port {port}: {taken}" in problems
    assert f"health port {port} of payments: {taken}" in problems
    assert taken not in " ".join(while_up)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://kim:secret@db:5432/yeyak?sslmode=require", "postgresql://db:5432/yeyak"),
        ("amqp://guest:guest@127.0.0.1:5672/", "amqp://127.0.0.1:5672/"),
        ("sqlite+aiosqlite:///view.db", "sqlite+aiosqlite:///view.db"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert environment.redacted(url) == shown


# -- demo


def test_a_demo_without_a_system_fails_with_one_sentence(yeyak: Yeyak) -> None:
    code, printed, complaint = yeyak("demo", "--url", "http://127.0.0.1:1")

    assert (code, printed) == (1, "")
    assert complaint == ("yeyak: the demo failed: no answer from http://127.0.0.1:1: is the system up? (`yeyak up`)\n")
