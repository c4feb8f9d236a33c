"""`python -m gateway_api`: serve until SIGTERM; then finish the open requests and exit with 0."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError

from gateway_api.app import GatewayState, build
from gateway_api.metrics import NAME
from gateway_api.server import protocol_of
from gateway_api.settings import GatewaySettings, gateway_settings
from workers.runtime.collector import settle_collector
from workers.runtime.messaging import accelerator
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.observability import tracing
from workers.runtime.observability.logs import configure_logs

SHUTDOWN_SECONDS = 10
"""How long open requests have after SIGTERM."""
UNACKNOWLEDGED_SECONDS = 60
"""How long the peer of a connection may leave what was sent unacknowledged; it is gone, or does not read."""
SEND_BUFFER_BYTES = 128 * 1024
"""What the system keeps for a client that does not read; left to itself it keeps megabytes."""
RESERVED_FILES = 100
"""Files that the process needs beside the connections of its clients."""

log = structlog.get_logger()


class GatewayServer(uvicorn.Server):
    """Exits with 0 after a signal: uvicorn's own server raises the signal again once it has shut down."""

    state: GatewayState

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        settle_collector()

    def handle_exit(self, sig: int, frame: object) -> None:
        self.state.draining = True
        super().handle_exit(sig, None)


def main() -> int:
    """Run the gateway; returns 2 for wrong settings. uvicorn exits with 3 when it cannot bind the port."""
    try:
        configuration = gateway_settings()
        configure_logs(configuration.log_level, sys.stderr)
        accelerator.enable_by(configuration)
        broker = Broker(configuration.amqp_url.get_secret_value(), NAME)
        app = build(RpcClient(broker, configuration), configuration, broker=broker)
        protocol = protocol_of(configuration)
    except ValidationError as error:
        problems = ", ".join(
            "YEYAK_" + str(detail["loc"][0]).upper() + ": " + detail["msg"] for detail in error.errors()
        )
        print(problems, file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for name in GatewaySettings.unknown(os.environ):
        log.warning("unknown_setting", name=name)
    config = uvicorn.Config(
        app,
        host=configuration.gateway_host,
        port=configuration.gateway_port,
        http=protocol,
        ws="none",
        access_log=False,
        log_config=None,
        log_level="error",  # a client's malformed request is no line in the log, it is counted
        server_header=False,
        proxy_headers=bool(configuration.gateway_trusted_proxies),
        forwarded_allow_ips=configuration.gateway_trusted_proxies,
        timeout_keep_alive=configuration.gateway_keep_alive_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    _allow_files(configuration.gateway_connections)
    server = GatewayServer(config)
    server.state = app.state.gateway
    tracing.start()
    # not asyncio.run: it waits for every task, and a broken connection may leave one that never ends
    uvloop.new_event_loop().run_until_complete(server.serve(sockets=list(_sockets(config, configuration))))
    tracing.stop()
    return 0


def _allow_files(connections: int) -> None:
    """Let the process open a file for each connection; warns when the system's hard limit is lower."""
    wanted = connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        log.warning("few_open_files", allowed=hard, wanted=wanted)
        wanted = hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _sockets(config: uvicorn.Config, configuration: GatewaySettings) -> Iterator[socket.socket]:
    """Bind the public port, and the port of probes and metrics where that is another one."""
    public = config.bind_socket()
    public.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_SECONDS * 1000)
    public.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    yield public
    if configuration.health_port:
        private = uvicorn.Config(
            config.app, host=configuration.health_host, port=configuration.health_port, log_config=None
        )
        yield private.bind_socket()


if __name__ == "__main__":
    sys.exit(main())
