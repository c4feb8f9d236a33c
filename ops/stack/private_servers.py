"""The private servers of a system: restarted when they fail, unless a person stopped them."""

import asyncio
import os
from typing import Any

import psutil

from ops.accounts.files import ADMINISTRATOR, AMQP, API, DATABASE, PROVIDER_DATABASE, Addresses, Folder
from ops.stack.local import SERVER_ADDRESSES, Local
from ops.stack.output import print_timestamped
from ops.stack.servers import PostgresServer, RabbitServer, Server, ServerFailed, stop_all


class PrivateServers:
    """RabbitMQ and PostgreSQL of this checkout; none when the environment names other servers."""

    def __init__(self, root: Local) -> None:
        self.all: list[Server] = []
        self._stopped_on_request: set[str] = set()
        self._starting: set[str] = set()
        self._restarts: dict[str, int] = {}
        self._answering: dict[str, asyncio.Task[None]] = {}
        if not (os.environ.get("YEYAK_AMQP_URL") and os.environ.get("YEYAK_DATABASE_URL")):
            self.rabbit = RabbitServer(root.root, preferred_ports={"amqp": 5672, "console": 15672, "metrics": 15692})
            self.postgres = PostgresServer(root.root, preferred_ports={"sql": 5432})
            self.all = [self.rabbit, self.postgres]

    async def launch(self) -> None:
        """Start all without waiting for them; raises ServerFailed."""
        for server in self.all:
            await asyncio.to_thread(server.launch)
            self._answering[server.name] = asyncio.create_task(asyncio.to_thread(server.wait_ready))

    async def wait_ready(self, name: str = "") -> None:
        """Wait until one server answers, or all; raises ServerFailed."""
        await asyncio.gather(*(task for server, task in self._answering.items() if name in ("", server)))

    async def stop(self) -> None:
        await asyncio.to_thread(stop_all, *self.all)

    async def restart_failed(self) -> bool:
        """Restart the servers that have ended; False when there were none."""
        gone = [server for server in self.all if not self._is_as_requested(server)]
        await asyncio.gather(*(self._restart(server) for server in gone))
        return bool(gone)

    async def run_command(self, command: str, server: Server) -> None:
        """`stop`, `start` or `restart` one server; raises ServerFailed."""
        if command in ("stop", "restart"):
            self._stopped_on_request.add(server.name)
            await asyncio.to_thread(server.stop)
        if command in ("start", "restart"):
            await asyncio.to_thread(server.start)
            self._stopped_on_request.discard(server.name)

    def clear_stop_requests(self) -> None:
        """Let `restart_failed` start the servers, too, that a person stopped."""
        self._stopped_on_request.clear()

    def named(self, name: str) -> Server | None:
        return next((server for server in self.all if server.name == name), None)

    def environment(self) -> dict[str, str]:
        """The environment of every process: addresses of external servers; those of private ones are per account."""
        if self.all:
            return {"YEYAK_PAYMENTS_REFUND_LOG": str(self.postgres.root / "refunds.jsonl")}
        return {name: os.environ[name] for name in SERVER_ADDRESSES if os.environ.get(name)}

    @property
    def console_url(self) -> str | None:
        """The broker's console, with the administrator's password."""
        return self.rabbit.api_url if self.all else os.environ.get("YEYAK_RABBITMQ_API")

    def write_accounts(self, folder: Folder, contexts: list[str]) -> bool:
        """Write the addresses of every account and keep the passwords; False when nothing has changed."""
        administrators = {
            AMQP: self.rabbit.amqp_url,
            API: self.rabbit.api_url,
            DATABASE: self.postgres.database_url,
            PROVIDER_DATABASE: self.postgres.provider_database_url,
        }
        former = folder.read(ADMINISTRATOR)
        folder.write_administrator(administrators)
        return bool(folder.write(contexts, Addresses(**self._address_templates()), move=True, former=former))

    def _address_templates(self) -> dict[str, str]:
        login, sql = "{user}:{password}@127.0.0.1", self.postgres.ports["sql"]
        return {
            "amqp": f"amqp://{login}:{self.rabbit.ports['amqp']}/",
            "api": f"http://{login}:{self.rabbit.ports['console']}",
            "database": f"postgresql://{login}:{sql}/{self.postgres.databases[0]}",
            "provider_database": f"postgresql://{login}:{sql}/{self.postgres.databases[1]}",
        }

    def describe(self) -> list[dict[str, Any]]:
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

    def _is_as_requested(self, server: Server) -> bool:
        return server.is_running() or server.name in self._stopped_on_request

    async def _restart(self, server: Server) -> None:
        print_timestamped(f"{server.name} has ended; starting it again")
        self._restarts[server.name] = self._restarts.get(server.name, 0) + 1
        self._starting.add(server.name)
        try:
            await asyncio.to_thread(server.start)
        except (ServerFailed, OSError, psutil.Error) as failure:
            print_timestamped(f"{server.name} does not start yet: {failure}")
        self._starting.discard(server.name)

    def _state_of(self, server: Server) -> str:
        if server.name in self._starting:
            return "starting"
        return "running" if server.pid else "stopped"
