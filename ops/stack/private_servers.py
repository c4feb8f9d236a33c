"""The private servers of a system: kept alive, unless a person wants one down."""

import asyncio
import os
from typing import Any

import psutil

from ops.accounts.files import ADMINISTRATOR, AMQP, API, DATABASE, PROVIDER_DATABASE, Addresses, Folder
from ops.stack.local import SERVER_ADDRESSES, Local
from ops.stack.output import say
from ops.stack.servers import PostgresServer, RabbitServer, Server, ServerFailed, start_all, stop_all


class PrivateServers:
    """RabbitMQ and PostgreSQL, or nothing at all when the environment names others."""

    def __init__(self, root: Local) -> None:
        self.all: list[Server] = []
        self._down_on_purpose: set[str] = set()
        self._starting: set[str] = set()
        self._restarts: dict[str, int] = {}
        if not (os.environ.get("YEYAK_AMQP_URL") and os.environ.get("YEYAK_DATABASE_URL")):
            self.rabbit = RabbitServer(root.root, preferred_ports={"amqp": 5672, "console": 15672, "metrics": 15692})
            self.postgres = PostgresServer(root.root, preferred_ports={"sql": 5432})
            self.all = [self.rabbit, self.postgres]

    async def start(self) -> None:
        """All of them; raises ServerFailed."""
        await asyncio.to_thread(start_all, *self.all)

    async def stop(self) -> None:
        await asyncio.to_thread(stop_all, *self.all)

    async def revive(self) -> bool:
        """Start those again that are gone; False when none was."""
        gone = [server for server in self.all if not self._is_fine(server)]
        await asyncio.gather(*(self._revive(server) for server in gone))
        return bool(gone)

    async def command(self, do: str, server: Server) -> None:
        """`stop`, `start` or `restart` one of them; raises ServerFailed."""
        if do in ("stop", "restart"):
            self._down_on_purpose.add(server.name)
            await asyncio.to_thread(server.stop)
        if do in ("start", "restart"):
            await asyncio.to_thread(server.start)
            self._down_on_purpose.discard(server.name)

    def want_all(self) -> None:
        """Those that a person wanted down are started again, too."""
        self._down_on_purpose.clear()

    def named(self, name: str) -> Server | None:
        return next((server for server in self.all if server.name == name), None)

    def environment(self) -> dict[str, str]:
        """What every process of the system gets: the addresses of others' servers; those of ours are its account's."""
        if self.all:
            return {"YEYAK_PAYMENTS_REFUND_LOG": str(self.postgres.root / "refunds.jsonl")}
        return {name: os.environ[name] for name in SERVER_ADDRESSES if os.environ.get(name)}

    @property
    def console_url(self) -> str | None:
        """The broker's console, with the administrator's password."""
        return self.rabbit.api_url if self.all else os.environ.get("YEYAK_RABBITMQ_API")

    def keep_accounts(self, folder: Folder, contexts: list[str]) -> bool:
        """Write everybody's addresses, the passwords as they were; False when nothing has changed."""
        administrators = {
            AMQP: self.rabbit.amqp_url,
            API: self.rabbit.api_url,
            DATABASE: self.postgres.database_url,
            PROVIDER_DATABASE: self.postgres.provider_database_url,
        }
        former = folder.read(ADMINISTRATOR)
        folder.write_administrator(administrators)
        return bool(folder.write(contexts, Addresses(**self._templates()), move=True, former=former))

    def _templates(self) -> dict[str, str]:
        login, sql = "{user}:{password}@127.0.0.1", self.postgres.ports["sql"]
        return {
            "amqp": f"amqp://{login}:{self.rabbit.ports['amqp']}/",
            "api": f"http://{login}:{self.rabbit.ports['console']}",
            "database": f"postgresql://{login}:{sql}/{self.postgres.databases[0]}",
            "provider_database": f"postgresql://{login}:{sql}/{self.postgres.databases[1]}",
        }

    def described(self) -> list[dict[str, Any]]:
        return [
            {
                "name": server.name,
                "pid": server.pid,
                "state": self._state_of(server),
                "restarts": self._restarts.get(server.name, 0),
                "ports": server.ports,
                "url": server.url,
            }
            for server in self.all
        ]

    def _is_fine(self, server: Server) -> bool:
        return server.is_running() or server.name in self._down_on_purpose

    async def _revive(self, server: Server) -> None:
        say(f"{server.name} is gone; starting it again")
        self._restarts[server.name] = self._restarts.get(server.name, 0) + 1
        self._starting.add(server.name)
        try:
            await asyncio.to_thread(server.start)
        except (ServerFailed, OSError, psutil.Error) as failure:
            say(f"{server.name} does not come back yet: {failure}")
        self._starting.discard(server.name)

    def _state_of(self, server: Server) -> str:
        if server.name in self._starting:
            return "starting"
        return "running" if server.pid else "stopped"
