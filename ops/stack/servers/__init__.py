"""A private RabbitMQ and PostgreSQL under one root folder.

    rabbit, postgres = RabbitServer(root), PostgresServer(root)
    start_all(rabbit, postgres)
    ...
    stop_all(rabbit, postgres)

Everything is synchronous. A server that already runs under the same root is used as it is; servers of other roots are
never touched. Each root keeps its ports, passwords and data across restarts.
"""

from concurrent.futures import ThreadPoolExecutor

from ops.stack.progress import PATIENCE
from ops.stack.servers.postgres import PostgresServer
from ops.stack.servers.rabbitmq import RabbitServer
from ops.stack.servers.server import Server, ServerFailed


def start_all(*servers: Server, patience: float = PATIENCE) -> None:
    """Start all servers at the same time, from one thread (`die_with_parent` relies on that); raises ServerFailed."""
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_ready(patience)


def stop_all(*servers: Server) -> None:
    """Stop all servers at the same time."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: server.stop(), servers))


__all__ = ["PostgresServer", "RabbitServer", "Server", "ServerFailed", "start_all", "stop_all"]
