"""Empty servers with one administrator each, as a cluster has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.accounts.files import Addresses, Folder
from ops.deployment import rendering
from ops.deployment.contexts import ACCOUNTS
from ops.deployment.manifests import Manifests
from tests.deploy.exercised.pods import Node
from tests.support import servers as support
from tests.support.servers import Servers
from workers.registry import CONTEXTS

KEY = "a-key-for-tests-that-has-at-least-32-bytes"


def accounts(folder: Path) -> rendering.Accounts:
    """The files of every account, as `yeyak accounts write` makes them for a cluster."""
    addresses = Addresses(
        amqp="amqp://{user}:{password}@rabbitmq:5672/",
        database="postgresql://{user}:{password}@postgres-rw:5432/yeyak",
        provider_database="postgresql://{user}:{password}@postgres-rw:5432/yeyak_provider",
        api="http://{user}:{password}@rabbitmq:15672",
    )
    Folder(folder).write(CONTEXTS, addresses)
    return {account: Folder(folder).read(account) for account in ACCOUNTS}


def places(servers: Servers) -> Mapping[str, str]:
    """Return the local address for each name of the cluster."""
    ports = servers.rabbit.ports
    sql = f"127.0.0.1:{servers.postgres.ports['sql']}"
    return {
        "rabbitmq:5672": f"127.0.0.1:{ports['amqp']}",
        "rabbitmq:15672": f"127.0.0.1:{ports['console']}",
        "postgres-rw:5432": sql,
    }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Empty servers for each test file: the account that prepares a database owns its tables."""
    running = support.start(Path(tmp_path_factory.mktemp("servers")))
    try:
        yield running
    finally:
        running.rabbit.destroy()
        running.postgres.destroy()


@pytest.fixture(scope="module")
def node(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A node with the local overlay."""
    root: Path = tmp_path_factory.mktemp("node")
    kubernetes = rendering.copy(root, accounts(root / "accounts"), KEY)
    manifests = {
        (each["kind"], each["metadata"]["name"]): each
        for part in rendering.PARTS
        for each in rendering.render(kubernetes, "local", part)
    }
    rabbit, postgres = urlsplit(servers.rabbit.amqp_url), urlsplit(servers.postgres.database_url)
    made = {
        "rabbitmq-default-user": {"username": rabbit.username or "", "password": rabbit.password or ""},
        "postgres-app": {"username": postgres.username or "", "password": postgres.password or ""},
    }
    return Node(Manifests(list(manifests.values())), root / "pods", places(servers), made)
