"""Servers as a cluster would have them: empty, with an administrator for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.deployment import rendering
from ops.deployment.contexts import ACCOUNTS
from ops.deployment.manifests import Manifests
from tests.deploy.exercised.pods import Node
from tests.support.servers import Servers

KEY = "a-key-for-tests-that-has-at-least-32-bytes"


def accounts(servers: Servers) -> rendering.Accounts:
    """Everybody's files, with the addresses that hold inside a cluster."""
    rabbit, postgres = urlsplit(servers.rabbit.amqp_url), urlsplit(servers.postgres.database_url)
    files = {
        "yeyak_amqp_url": f"amqp://{rabbit.username}:{rabbit.password}@rabbitmq:5672/",
        "yeyak_database_url": f"postgresql://{postgres.username}:{postgres.password}@postgres-rw:5432/yeyak",
        "yeyak_jwt_key": KEY,
    }
    return {account: {name: files[name] for name in names} for account, names in ACCOUNTS.items()}


def places(servers: Servers) -> Mapping[str, str]:
    """What answers here for the names of a cluster."""
    ports = servers.rabbit.ports
    sql = f"127.0.0.1:{servers.postgres.ports['sql']}"
    return {
        "rabbitmq:5672": f"127.0.0.1:{ports['amqp']}",
        "rabbitmq:15672": f"127.0.0.1:{ports['console']}",
        "postgres-rw:5432": sql,
    }


@pytest.fixture(scope="module")
def node(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The local overlay, ready to be run."""
    root: Path = tmp_path_factory.mktemp("node")
    kubernetes = rendering.copy(root, accounts(servers))
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
