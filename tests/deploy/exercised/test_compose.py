"""The services of compose.yaml: one-shots in their order, then a gateway and workers with their health checks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ops.deployment import compose
from ops.deployment.contexts import name_of
from tests.deploy.exercised.container import Container
from tests.support.servers import Servers
from workers.registry import CONTEXTS

TRIED = ("gateway", "exporter", "payments", "video-rental-rentals", "cafe-report", "journal")
"""The workers that are started; the others differ from them in their context only, which a test checks."""
SERVICES = compose.services()


class Engine:
    """Runs services of compose.yaml as local processes: volumes, variables, health checks."""

    def __init__(self, root: Path, names: Mapping[str, str]) -> None:
        self._root = root
        self._names = names
        self.containers: dict[str, Container] = {}

    def container(self, name: str) -> Container:
        address = f"127.2.0.{len(self.containers) + 1}"
        container = Container(
            name,
            self._root,
            address,
            {**self._names, "127.0.0.1:8": f"{address}:8", "127.0.0.1:9120": f"{address}:9120"},
        )
        for volume in SERVICES[name].get("volumes", []):
            if isinstance(volume, str):
                source, target = volume.split(":")[:2]
                container.mount(target, self.volume(source))
            else:
                container.mount(volume["target"], self.volume(volume["source"]) / volume["volume"]["subpath"])
        self.containers[name] = container
        return container

    def volume(self, name: str) -> Path:
        return self._root / "volumes" / name

    async def completed(self, name: str) -> None:
        """Run a one-shot service; it must end with 0."""
        container, service = self.container(name), SERVICES[name]
        assert await container.run(service["command"], environment(service)) == 0, container.output

    async def started(self, name: str) -> Container:
        container, service = self.container(name), SERVICES[name]
        await container.start(service["command"], environment(service))
        return container


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


async def healthy(container: Container, check: Mapping[str, Any]) -> None:
    """Run the health check periodically until it succeeds; raises TimeoutError after too many failures."""
    tries = int(compose.seconds(check["start_period"]) / compose.seconds(check["start_interval"]))
    probe = Container(f"{container.name}-health", container.root, container.address, container.names)
    for _ in range(tries):
        if await probe.run(check["test"][1:], {}, within=compose.seconds(check["timeout"])) == 0:
            return
        assert container.runs, container.output
        await asyncio.sleep(compose.seconds(check["start_interval"]))
    raise TimeoutError(f"{container.name} is not healthy: {container.output}")


@pytest.fixture(scope="module")
async def engine(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """Servers whose administrators have the passwords that the service `secrets` writes."""
    names = {
        "rabbitmq:5672": f"127.0.0.1:{servers.rabbit.ports['amqp']}",
        "rabbitmq:15672": f"127.0.0.1:{servers.rabbit.ports['console']}",
        "postgres:5432": f"127.0.0.1:{servers.postgres.ports['sql']}",
    }
    engine = Engine(tmp_path_factory.mktemp("engine"), names)
    yield engine
    await asyncio.gather(*(container.kill() for container in engine.containers.values()))


async def test_the_one_shot_services_prepare_files_and_then_the_servers(engine: Engine, servers: Servers) -> None:
    await engine.completed("secrets")
    as_the_servers_are(engine.volume("accounts"), servers)

    for name in ("accounts", "migrate", "topology"):
        await engine.completed(name)

    assert (engine.volume("accounts") / "rabbitmq" / "90-system.conf").stat().st_mode & 0o777 == 0o644
    assert {each.name for each in engine.volume("accounts").iterdir()} >= {*CONTEXTS, "gateway", "operator"}


def as_the_servers_are(accounts: Path, servers: Servers) -> None:
    """Set the passwords that a container would take at its first start; the suite's servers have others."""
    for file in (accounts / "administrator").glob("yeyak_*"):
        open_files = urlsplit(file.read_text())
        if open_files.netloc.endswith(("@rabbitmq:5672", "@rabbitmq:15672", "@postgres:5432")):
            real = {
                "amqp": servers.rabbit.amqp_url,
                "http": servers.rabbit.api_url,
                "postgresql": servers.postgres.admin_url,
            }
            file.write_text(open_files._replace(netloc=urlsplit(real[open_files.scheme]).netloc).geturl())


async def test_services_become_healthy_and_end_within_their_grace_period(engine: Engine) -> None:
    containers = {name: await engine.started(name) for name in TRIED}

    await asyncio.gather(*(healthy(one, SERVICES[name]["healthcheck"]) for name, one in containers.items()))
    open_files = {name: list(one.open_files()) for name, one in containers.items()}
    ends = await asyncio.gather(
        *(one.terminate(compose.seconds(SERVICES[name]["stop_grace_period"])) for name, one in containers.items())
    )

    assert not any(open_files.values()), open_files
    assert [code for code, _ in ends] == [0] * len(TRIED)


def test_the_other_workers_differ_in_their_context_only() -> None:
    tried = SERVICES["journal"]

    for context in CONTEXTS:
        service = dict(SERVICES[name_of(context)])
        if context == "payments":
            assert environment(service).pop("YEYAK_PAYMENTS_REFUND_LOG") == "/var/lib/yeyak/refunds.jsonl"
            continue
        assert {**service, "command": 0, "volumes": 0} == {**tried, "command": 0, "volumes": 0}
        assert service["volumes"] == [
            {**tried["volumes"][0], "volume": {"subpath": context}},
        ]


async def test_the_health_checks_of_the_servers_tell_a_healthy_server_from_a_failed_one(
    engine: Engine, servers: Servers
) -> None:
    broker = servers.rabbit
    path = {"PATH": f"/usr/lib/rabbitmq/bin:{os.environ['PATH']}"}
    broker_environment = path | {"ERL_EPMD_PORT": str(broker.ports["epmd"]), "HOME": str(broker.home / "home")}
    well = {
        "postgres": path | {"PGPORT": str(servers.postgres.ports["sql"])},
        "rabbitmq": broker_environment | {"RABBITMQ_NODENAME": broker.nodename},
    }
    away = {
        "postgres": path | {"PGPORT": "1"},
        "rabbitmq": broker_environment | {"RABBITMQ_NODENAME": "nobody@localhost"},
    }

    for name in well:
        check = SERVICES[name]["healthcheck"]
        ends = []
        for number, variables in enumerate((well[name], away[name])):
            container = Container(f"{name}-health-{number}", engine.volume("health"), "127.0.0.1", {})
            ends.append(await container.run(check["test"][1:], variables, within=30))
        assert ends[0] == 0 != ends[1], name
