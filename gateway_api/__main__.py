"""`python -m gateway_api`: the door on its port, until SIGTERM; then it finishes what it began and exits with 0."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError

from gateway_api.app import State, build
from workers.runtime.messaging.bus import Bus
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.observability import tracing
from workers.runtime.observability.logs import configure_logs
from workers.runtime.settings import Settings, settings, unknown_names

NAME = "gateway"
FINISH_SECONDS = 10
KEEP_ALIVE_SECONDS = 75

log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn raises the signal again once it has shut down; a door that closed in good order exits with 0."""

    state: State

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

    def handle_exit(self, sig: int, frame: object) -> None:
        self.state.draining = True
        super().handle_exit(sig, None)


def main() -> int:
    """Serve; 2 when the settings are wrong, uvicorn's 3 when the port cannot be had."""
    try:
        chosen = settings()
        configure_logs(chosen.log_level, sys.stderr)
        bus = Bus(chosen.amqp_url.get_secret_value(), NAME)
        app = build(RpcClient(bus, NAME, chosen), chosen, bus=bus)
    except ValidationError as error:
        named = ", ".join("YEYAK_" + str(detail["loc"][0]).upper() + ": " + detail["msg"] for detail in error.errors())
        print(named, file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for name in unknown_names():
        log.warning("unknown setting", name=name)
    config = uvicorn.Config(
        app,
        host=chosen.gateway_host,
        port=chosen.gateway_port,
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = Server(config)
    server.state = app.state.gateway
    tracing.start()
    # no asyncio.run: it would wait without end for a task that a broken connection left behind
    uvloop.new_event_loop().run_until_complete(server.serve(sockets=list(_doors(config, chosen))))
    tracing.stop()
    return 0


def _doors(config: uvicorn.Config, chosen: Settings) -> Iterator[socket.socket]:
    """The public port, and the one for probes and figures where it is another."""
    yield config.bind_socket()
    if chosen.health_port:
        inside = uvicorn.Config(config.app, host=chosen.health_host, port=chosen.health_port, log_config=None)
        yield inside.bind_socket()


if __name__ == "__main__":
    sys.exit(main())
