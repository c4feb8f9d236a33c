"""A system of processes that handled one request of each kind, and the metrics that it exposes."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from contracts.journal import AuditReport
from gateway_api import tokens
from ops.accounts.files import OPERATOR, Folder
from tests.conftest import MakeSettings
from tests.support.accounts import open_accounts
from tests.support.processes import GATEWAY, Processes, environment, free_port
from tests.support.servers import Servers
from tests.support.system import System, eventually

KEY = "a-key-for-tests-that-has-at-least-32-bytes"
CONTEXTS = ("payments", "journal", "video_rental.videos", "video_rental.rentals", "video_rental.my_page")
DETAILS = "/metrics/detailed?family=queue_coarse_metrics&family=queue_metrics&vhost="


@dataclass
class Exposed:
    """The metrics of every endpoint: samples of each series with their labels, and every declared name."""

    declared: set[str] = field(default_factory=set)
    samples: dict[str, list[tuple[dict[str, str], float]]] = field(default_factory=lambda: defaultdict(list))
    audit: AuditReport | None = None
    """The report that the exporter sent to the journal."""

    def read(self, text: str) -> None:
        for family in text_string_to_metric_families(text):
            self.declared.add(family.name + ("_total" if family.type == "counter" else ""))
            for sample in family.samples:
                self.samples[sample.name].append((sample.labels, sample.value))

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the one sample that has these labels; None when there is none."""
        found = [value for has, value in self.samples[name] if labels.items() <= has.items()]
        assert len(found) < 2, (name, labels, found)
        return found[0] if found else None

    def labels(self, name: str) -> set[str]:
        """Return the names of the labels that samples of this metric have."""
        return {label for has, _ in self.samples[name] for label in has}


class GatewayClient(httpx.AsyncClient):
    """An HTTP client of the gateway that sends requests as a customer or a member of staff."""

    async def send_as(self, role: Any, path: str, body: Any = None, key: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {tokens.issue(role, role, key=KEY)}"}
        if key:
            headers["idempotency-key"] = key
        return await self.request("POST" if body else "GET", f"/v1/video-rental{path}", json=body, headers=headers)


def booking(video_id: str, token: str = "tok_visa") -> dict[str, Any]:
    payment = {"method": "card", "token": token, "last4": "4242", "brand": "visa"}
    return {"video_id": video_id, "days": 1, "payment": payment}


async def register(client: GatewayClient, system: System) -> str:
    """Register a video and wait until rentals knows it; return its id."""
    video = {"title": "Casablanca", "daily_price": 1500, "copies": 5}
    video_id: str = (await client.send_as("staff", "/videos", video)).json()["video_id"]

    async def known() -> Any:
        return await system.rows("video_rental.rentals", "select 1 from video_rental_rentals.videos")

    await eventually(known)
    return video_id


@asynccontextmanager
async def running_system(
    make_settings: MakeSettings, accounts: Folder, logs: Path, **overrides: str
) -> AsyncIterator[tuple[System, Processes]]:
    """Start a system whose workers and gateway are processes; `overrides` are environment variables for them."""
    settings = await make_settings(jwt_key=SecretStr(KEY), gateway_rate=0, video_rental_payment_ms=3000)
    system = await System(settings, "video_rental").open()
    processes = Processes(settings, logs, await open_accounts(settings, accounts.path))
    try:
        await processes.start(*CONTEXTS, GATEWAY, **overrides)
        yield system, processes
    finally:
        await processes.end()
        await system.close()


def gateway_client(processes: Processes) -> GatewayClient:
    return GatewayClient(base_url=processes.url, timeout=15, trust_env=False)


@pytest.fixture(scope="session")
async def exposed(
    make_settings: MakeSettings, servers: Servers, accounts_folder: Folder, tmp_path_factory: pytest.TempPathFactory
) -> Exposed:
    """The metrics after a booking, its repeat, a refused booking, a query, and an unreadable message."""
    found = Exposed()
    async with running_system(make_settings, accounts_folder, tmp_path_factory.mktemp("logs")) as (system, processes):
        async with gateway_client(processes) as client:
            await _make_requests(system, client)
        vhost = system.settings.amqp_url.get_secret_value().rpartition("/")[2]
        rabbit = f"http://127.0.0.1:{servers.rabbit.ports['metrics']}"
        urls = [f"http://127.0.0.1:{processes[name].port}/metrics" for name in processes.names]
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            for url in (*urls, f"{rabbit}/metrics", rabbit + DETAILS + vhost):
                found.read((await client.get(url)).raise_for_status().text)
            found.read(await _exported(system, accounts_folder, client))
        (audit,) = await system.rows("journal", "select told from journal.audits")
        found.audit = AuditReport.model_validate_json(audit["told"])
    return found


async def _make_requests(system: System, client: GatewayClient) -> None:
    video_id, key = await register(client, system), str(uuid4())
    for answer in [await client.send_as("customer", "/rentals", booking(video_id), key) for _ in range(2)]:
        assert answer.status_code == 201, answer.text
    declined = await client.send_as("customer", "/rentals", booking(await register(client, system), "tok_declined"))
    assert declined.status_code == 402
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("yeyak.events", ensure=False)
        garbage = aio_pika.Message(b"no JSON", message_id=str(uuid4()), type="video_rental.rentals.video_booked")
        await exchange.publish(garbage, "video_rental.rentals.video_booked")

    async def filed() -> Any:
        return await system.rows("journal", "select 1 from journal.dead_letters")

    async def shown() -> bool:
        page = await client.send_as("customer", "/my-page")
        return page.status_code == 200 and len(page.json()["items"]) == 2

    await eventually(filed)
    await eventually(shown)


async def _exported(system: System, accounts: Folder, client: httpx.AsyncClient) -> str:
    """Return the metrics of `yeyak exporter` once it has audited and reported to the journal."""
    settings, port = system.settings, free_port()
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("yeyak"),
        *("exporter", "--port", str(port)),
        env=environment(settings)
        | {
            "YEYAK_LOCAL": str(settings.payments_refund_log.parent),
            "YEYAK_SECRETS_DIR": str(accounts.of(OPERATOR)),
        },
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def audited() -> str:
        try:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        except httpx.TransportError:
            return ""
        told = await system.rows("journal", "select 1 from journal.audits")
        return text if told and "yeyak_audit_timestamp_seconds 0.0" not in text else ""

    try:
        return str(await eventually(audited, within=30))
    finally:
        process.terminate()
        assert await process.wait() == 0
