"""One process of workers: from its arguments to its clean end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvloop

from workers.runtime.observability import tracing
from workers.runtime.observability.health import serve
from workers.runtime.observability.logs import configure_logs
from workers.runtime.processing import failpoints
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.settings import Settings, settings, unknown_names

log = structlog.get_logger()


@asynccontextmanager
async def running(contexts: list[WorkerRuntime]) -> AsyncIterator[None]:
    """Start contexts, and stop what was started."""
    started: list[WorkerRuntime] = []
    try:
        for context in contexts:
            started.append(context)
            await context.start()
        yield
    finally:
        await asyncio.gather(*(context.stop() for context in started))


async def run(names: list[str], configuration: Settings) -> None:
    """Run contexts until SIGTERM or SIGINT; raises when one cannot be started."""
    from workers.registry import BOOKINGS, worker

    contexts = [worker(name).runtime(configuration.of(name)) for name in names]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(contexts, configuration, stop, BOOKINGS):
        async with running(contexts):
            log.info("ready", contexts=names)
            await stop.wait()
        log.info("stopped", contexts=names)


def main() -> None:
    """The entry point; ends with 1 and one sentence when it cannot start."""
    from workers.registry import CONTEXTS

    parser = argparse.ArgumentParser(prog="python -m workers", description="Run contexts of the system.")
    parser.add_argument("contexts", nargs="+", choices=[*CONTEXTS, "all"], metavar="CONTEXT", help=", ".join(CONTEXTS))
    wanted = parser.parse_args().contexts
    names = list(CONTEXTS) if "all" in wanted else list(dict.fromkeys(wanted))
    try:
        configuration = settings()
    except ValueError as error:
        sys.exit(f"the settings are wrong: {error}")
    configure_logs(configuration.log_level)
    for name in unknown_names():
        log.warning("no setting has this name", name=name)
    failpoints.install(configuration.failpoints)
    tracing.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(run(names, configuration))
    finally:
        tracing.stop()
