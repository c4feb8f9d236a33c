"""A private RabbitMQ and PostgreSQL under one root folder.

    rabbit, postgres = RabbitServer(root), PostgresServer(root)
    start_all(rabbit, postgres)
    ...
    stop_all(rabbit, postgres)

Everything is synchronous. A server found running under the same root is used as it is, whoever started it there;
a server of any other root is never seen. Each root keeps its ports, passwords and data over restarts.
"""

from concurrent.futures import ThreadPoolExecutor

from ops.stack.servers.postgres import PostgresServer
from ops.stack.servers.rabbitmq import RabbitServer
from ops.stack.servers.server import Server, ServerFailed


def start_all(*servers: Server, timeout: float = 60.0) -> None:
    """All at the same time, from one thread (which `die_with_parent` relies on)."""
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_ready(timeout)


def stop_all(*servers: Server) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: server.stop(), servers))


__all__ = ["PostgresServer", "RabbitServer", "Server", "ServerFailed", "start_all", "stop_all"]
