"""The two programs that are measured: the system and its floor."""

from __future__ import annotations

import json
import secrets
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import httpx

from bench import floor
from bench.environment import BenchFailed, Environment, until
from contracts.base import Role
from gateway_api.tokens import issue
from ops.stack.files import last_line
from ops.stack.ports import free_port
from workers.registry import CONTEXTS

IDLE_WITHIN = AUDITED_WITHIN = 120.0
PRICE = 5000


class System(Protocol):
    """A program that takes bookings over HTTP."""

    name: str
    port: int
    pids: dict[str, int]
    heads: list[str]
    """Request lines and headers of a booking, without the empty line at their end."""
    bodies: list[str]
    sent: int
    """Bookings sent so far: the number of the next one."""
    booked: int
    """Those that were answered with 201."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def is_idle(self) -> bool:
        """Whether no work is pending."""
        ...

    async def problems(self) -> list[str]:
        """The tables whose contents do not match the bookings, a sentence each."""
        ...


class Floor:
    """The minimal program, in a database of its own."""

    name = "floor"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.port = free_port()
        self.pids: dict[str, int] = {}
        self.sent = self.booked = 0
        self.bodies = [json.dumps({"video": str(UUID(int=1)), "member": "member-0001", "price": PRICE})]
        self.heads = [head("POST", "/", length=len(self.bodies[0]))]

    async def start(self) -> None:
        await self._create_database()
        env = {
            floor.AMQP_URL: self._environment.rabbit.amqp_url,
            floor.DATABASE_URL: self._environment.postgres.url_of("floor"),
            floor.PORT: str(self.port),
        }
        for role in floor.ROLES:
            self.pids[role] = self._environment.start(f"floor.{role}", ["bench.floor", role], env).pid
        for role in floor.ROLES[:-1]:
            log = self._environment.log_of(f"floor.{role}")
            await until(partial(_says_ready, log), f"the floor's {role} is not ready: read {log}")
        await until(lambda: _listens(self.port), "the floor's gateway does not listen")

    async def _create_database(self) -> None:
        server = await asyncpg.connect(self._environment.postgres.database_url)
        await server.execute("create database floor")
        await server.close()
        self._database = await asyncpg.connect(self._environment.postgres.url_of("floor"))
        await self._database.execute(floor.TABLES)

    async def stop(self) -> None:
        await self._database.close()

    async def is_idle(self) -> bool:
        same = "select (select count(*) from rentals) = (select count(*) from my_page)"
        return bool(await self._database.fetchval(same))

    async def one_id(self) -> str:
        """The id of one row to read."""
        return str(await self._database.fetchval("select id from rentals limit 1"))

    def read(self, id: str) -> str:
        """The head of the request that reads one row."""
        return head("GET", f"/{id}")

    async def problems(self) -> list[str]:
        row = await self._database.fetchrow("""
            select (select count(*) from rentals where status = 'BOOKED') as "bookings",
              (select count(*) from payments) as "payments", (select count(*) from my_page) as "rows in the view" """)
        return _differing(self, dict(row))


class Yeyak:
    """The system: every context in a process of its own, and the gateway, without rate limit."""

    name = "yeyak"
    members, videos = 1000, 200

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._key = secrets.token_urlsafe(48)
        self.port = free_port()
        self.pids: dict[str, int] = {}
        self.sent = self.booked = 0
        self.video_ids: list[str] = []
        self.bodies: list[str] = []
        self.heads = [
            self.head("POST", "/rentals", f"member-{n:04}", length=len(_booking(str(UUID(int=0)))))
            for n in range(self.members)
        ]
        self.reads = [
            self.head("GET", "/my-page/{rental_id}?min_version={version}", f"member-{n:04}")
            for n in range(self.members)
        ]
        self.database_url = environment.postgres.database_url
        self.env = {
            "YEYAK_AMQP_URL": environment.rabbit.amqp_url,
            "YEYAK_RABBITMQ_API": environment.rabbit.api_url,
            "YEYAK_DATABASE_URL": environment.postgres.database_url,
            "YEYAK_PROVIDER_DATABASE_URL": environment.postgres.provider_database_url,
            "YEYAK_JWT_KEY": self._key,
            "YEYAK_GATEWAY_RATE": "0",
            "YEYAK_GATEWAY_PORT": str(self.port),
            "YEYAK_PAYMENTS_REFUND_LOG": str(environment.root / "refunds.jsonl"),
            "YEYAK_LOCAL": str(environment.root),
        }

    def token(self, subject: str, role: Role = "customer") -> str:
        return issue(subject, role, key=self._key)

    def head(self, method: str, path: str, member: str, *, length: int = 0) -> str:
        """The head of a customer's request; `path` is below that of video rental."""
        return head(method, f"/v1/video-rental{path}", length=length, token=self.token(member))

    async def start(self) -> None:
        self._environment.run("migrate", ["ops.cli", "migrate"], self.env)
        self._environment.run("topology", ["ops.cli", "topology", "apply"], self.env)
        self.database = await asyncpg.connect(self._environment.postgres.database_url)
        self._provider = await asyncpg.connect(self._environment.postgres.provider_database_url)
        ports = {context: free_port() for context in CONTEXTS}
        for context, port in ports.items():
            env = self.env | {"YEYAK_PROCESS": context, "YEYAK_HEALTH_PORT": str(port)}
            self.pids[context] = self._environment.start(context, ["workers", context], env).pid
        ports["gateway"] = self.port
        self.pids["gateway"] = self._environment.start("gateway", ["gateway_api"], self.env).pid
        for name, port in ports.items():
            await until(partial(_is_ready, port), partial(self._not_ready, name))
        await self._register_videos()

    def _not_ready(self, name: str) -> str:
        log = self._environment.log_of(name)
        return f"{name} is not ready ({last_line(log)}): read {log}"

    async def _register_videos(self) -> None:
        """Register videos with more copies than bookings."""
        headers = {"Authorization": f"Bearer {self.token('bench', 'staff')}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
            for n in range(self.videos):
                video = {"title": f"Film {n}", "daily_price": PRICE, "copies": 100_000}
                answer = await http.post(f"http://127.0.0.1:{self.port}/v1/video-rental/videos", json=video)
                if answer.status_code != 201:
                    raise BenchFailed(f"no video can be registered: {answer.status_code} {answer.text[:300]}")
                self.video_ids.append(answer.json()["video_id"])
        self.bodies = [_booking(id) for id in self.video_ids]
        known = "select count(*) = $1 from video_rental_rentals.videos"
        await until(lambda: self.database.fetchval(known, self.videos), "rentals does not receive the videos")

    async def stop(self) -> None:
        await self.database.close()
        await self._provider.close()

    async def is_idle(self) -> bool:
        """Whether outboxes are empty and the view and the journal have every event."""
        return bool(
            await self.database.fetchval("""
            select not exists (select from payments.outbox) and not exists (select from video_rental_rentals.outbox)
              and (select count(*) from video_rental_rentals.rentals where status <> 'AWAITING_PAYMENT')
              = all (array[
                (select count(*) from video_rental_my_page.rentals where status <> 'AWAITING_PAYMENT'),
                (select count(*) from video_rental_my_page.payments),
                (select count(*) from journal.events where topic = 'video_rental.rentals.video_booked')])""")
        )

    async def one_id(self) -> str:
        return self.video_ids[0]

    def read(self, id: str) -> str:
        return self.head("GET", f"/videos/{id}", "member-0000")

    async def problems(self) -> list[str]:
        row = await self.database.fetchrow("""
            select (select count(*) from video_rental_rentals.rentals where status = 'BOOKED') as "bookings",
              (select count(*) from video_rental_rentals.rentals) as "rentals",
              (select count(*) from payments.payments where status = 'APPROVED') as "approved payments",
              (select count(*) from video_rental_my_page.rentals r
                join video_rental_my_page.payments p using (generation, payment_id)
                where r.status = 'BOOKED' and p.status = 'APPROVED') as "paid bookings on My Page" """)
        ledger = await self._provider.fetchrow("""
            select count(*) filter (where captured = amount and voided = 0 and refunded = 0) as "charges in the ledger",
              sum(captured) / 5000 as "times the price in the ledger" from provider.charges""")
        return _differing(self, dict(row) | dict(ledger)) + self._audit()

    def _audit(self) -> list[str]:
        audit = self._environment.start("audit", ["ops.cli", "audit", "--json", "--wait", "10"], self.env)
        if audit.wait(timeout=AUDITED_WITHIN) == 0:
            return []
        return [f"yeyak: an invariant is broken: read {self._environment.log_of('audit')}"]


async def wait_until_idle(system: System) -> float:
    """Wait until no work is pending; returns the seconds that it took."""
    started = time.monotonic()
    await until(system.is_idle, f"the {system.name} does not become idle", IDLE_WITHIN)
    return time.monotonic() - started


def head(method: str, path: str, *, length: int = 0, token: str = "") -> str:
    """A request line and headers, without the empty line."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if length:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "".join(f"{line}\r\n" for line in lines)


def _booking(video_id: str) -> str:
    card = {"method": "card", "token": "tok_ok", "last4": "4242", "brand": "visa"}
    return json.dumps({"video_id": video_id, "days": 1, "payment": card})


def _differing(system: System, found: dict[str, Any]) -> list[str]:
    return [f"{system.name}: {n} {name}, {system.booked} booked" for name, n in found.items() if n != system.booked]


def _says_ready(log: Path) -> bool:
    return "ready" in log.read_text()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _is_ready(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"http://127.0.0.1:{port}/ready", timeout=2)).status_code == 200
        except httpx.HTTPError:
            return False
