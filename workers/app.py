"""The FastStream application, and the process that runs it.

faststream run workers.app:app              all contexts, or those in YEYAK_CONTEXTS
faststream docs serve workers.app:app       their AsyncAPI document
python -m workers payments cafe.menu        the same application with health and metrics
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
import uvloop
from faststream import FastStream
from faststream.specification import AsyncAPI

from workers.registry import BOOKINGS, CONTEXTS, worker
from workers.runtime.messaging import accelerator
from workers.runtime.observability import tracing
from workers.runtime.observability.health import serve
from workers.runtime.observability.log_events import UNKNOWN_SETTING, WORKER_READY, WORKER_STOPPED
from workers.runtime.observability.logs import configure_logs
from workers.runtime.processing import failpoints
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.settings import WorkerSettings, worker_settings

log = structlog.get_logger()

CONTEXTS_VARIABLE = "YEYAK_CONTEXTS"
"""The contexts of `workers.app:app`, with commas between them; all when it is not set."""


def create_app(runtimes: list[WorkerRuntime]) -> FastStream:
    """The application of these contexts: one broker each, because each signs in with its own account."""

    async def open_all() -> None:
        for runtime in runtimes:
            await runtime.open()

    async def started() -> None:
        for runtime in runtimes:
            runtime.started()

    async def finish_all() -> None:
        await asyncio.gather(*(runtime.finish() for runtime in runtimes))

    async def close_all() -> None:
        await asyncio.gather(*(runtime.close() for runtime in runtimes))

    return FastStream(
        *(runtime.broker for runtime in runtimes),
        logger=None,
        specification=AsyncAPI(title="Yeyak", version="0.1.0", description="Messages between bounded contexts"),
        on_startup=[open_all],
        after_startup=[started],
        on_shutdown=[finish_all],
        after_shutdown=[close_all],
    )


def runtimes_of(names: list[str], configuration: WorkerSettings) -> list[WorkerRuntime]:
    """The contexts of these names, ready to be started; raises KeyError for a name that is none."""
    return [worker(name).runtime(configuration.of(name)) for name in names]


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for: importing this module reads no settings."""
    if name != "app":
        raise AttributeError(name)
    configuration = worker_settings()
    accelerator.enable_by(configuration)
    named = [part.strip() for part in os.environ.get(CONTEXTS_VARIABLE, "").split(",") if part.strip()]
    app = globals()["app"] = create_app(runtimes_of(named or list(CONTEXTS), configuration))
    return app


@asynccontextmanager
async def running(app: FastStream) -> AsyncIterator[None]:
    """Start an application, and stop it, also when it could not be started."""
    try:
        await app.start()
        yield
    finally:
        await app.stop()


def freeze_what_is_loaded() -> None:
    """Take what modules and libraries hold out of the cyclic collector, which else goes through it again and again."""
    gc.collect()
    gc.freeze()


async def run(names: list[str], configuration: WorkerSettings) -> None:
    """Run contexts until SIGTERM or SIGINT; raises when one cannot be started."""
    accelerator.enable_by(configuration)
    runtimes = runtimes_of(names, configuration)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(runtimes, configuration, stop, BOOKINGS):
        async with running(create_app(runtimes)):
            log.info(WORKER_READY, contexts=names)
            freeze_what_is_loaded()
            await stop.wait()
        log.info(WORKER_STOPPED, contexts=names)


def main() -> None:
    """The entry point; ends with 1 and one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run contexts of the system.")
    parser.add_argument("contexts", nargs="+", choices=[*CONTEXTS, "all"], metavar="CONTEXT", help=", ".join(CONTEXTS))
    wanted = parser.parse_args().contexts
    names = list(CONTEXTS) if "all" in wanted else list(dict.fromkeys(wanted))
    try:
        configuration = worker_settings()
    except ValueError as error:
        sys.exit(f"the settings are wrong: {error}")
    configure_logs(configuration.log_level)
    for name in WorkerSettings.unknown(os.environ):
        log.warning(UNKNOWN_SETTING, name=name)
    failpoints.install(configuration.failpoints)
    tracing.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(run(names, configuration))
    finally:
        tracing.stop()
