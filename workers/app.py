"""The FastStream application, and the process that runs it.

faststream run workers.app:app              all contexts, or those in YEYAK_CONTEXTS
faststream docs serve workers.app:app       their AsyncAPI document
python -m workers payments cafe.menu        the same application with health and metrics
python -m workers --listed FILE             the contexts that a file names, a line each; read again at SIGHUP
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog
import uvloop
from faststream import FastStream
from faststream.specification import AsyncAPI

from workers.registry import BOOKINGS, CONTEXTS, worker
from workers.runtime.collector import settle_collector
from workers.runtime.messaging import accelerator
from workers.runtime.observability import instrumentation, tracing
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


class RunningContexts:
    """The contexts of this process, each an application of its own, so that one is stopped while the others run."""

    def __init__(self, names: list[str], configuration: WorkerSettings) -> None:
        self.runtimes = runtimes_of(names, configuration)
        self._applications: dict[str, FastStream] = {}

    @property
    def names(self) -> list[str]:
        return [runtime.name for runtime in self.runtimes]

    async def start(self) -> None:
        """Start those that do not run; raises when one cannot be started."""
        idle = [runtime for runtime in self.runtimes if runtime.name not in self._applications]
        await asyncio.gather(*map(self._start, idle))

    async def become(self, names: list[str]) -> None:
        """Run these contexts and no others; those that start read their settings anew, with the passwords in them."""
        await asyncio.gather(*(self._stop(name) for name in self.names if name not in names))
        added = runtimes_of([name for name in names if name not in self.names], WorkerSettings.read())
        for runtime in added:
            instrumentation.instrument(runtime, BOOKINGS)
        self.runtimes += added
        await self.start()

    async def _start(self, runtime: WorkerRuntime) -> None:
        application = self._applications[runtime.name] = create_app([runtime])
        await application.start()

    async def _stop(self, name: str) -> None:
        if application := self._applications.pop(name, None):
            await application.stop()
        self.runtimes[:] = [runtime for runtime in self.runtimes if runtime.name != name]


async def run(names: list[str], configuration: WorkerSettings, listed: Path | None = None) -> None:
    """Run contexts until SIGTERM or SIGINT; raises when one cannot be started.

    With a file that lists them, SIGHUP has it read again.
    """
    accelerator.enable_by(configuration)
    contexts = RunningContexts(names, configuration)
    stop, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if listed:
        loop.add_signal_handler(signal.SIGHUP, changed.set)
        changed.set()  # it may have changed since it was read
    async with serve(contexts.runtimes, configuration, stop, BOOKINGS):
        try:
            await contexts.start()
            log.info(WORKER_READY, contexts=contexts.names)
            settle_collector()
            while listed and await _first(stop, changed) is changed:
                changed.clear()
                if (wanted := read_names(listed)) != contexts.names:
                    await contexts.become(wanted)
                    log.info(WORKER_READY, contexts=contexts.names)
            await stop.wait()
        finally:
            await contexts.become([])
        log.info(WORKER_STOPPED, contexts=names)


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """Wait until one of the events is set; the first of those that are."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
    return next(event for event in events if event.is_set())


def read_names(file: Path) -> list[str]:
    """The contexts that a file names, a line each."""
    return file.read_text().split()


def _context(name: str) -> str:
    if name not in (*CONTEXTS, "all"):
        raise argparse.ArgumentTypeError(f"there is no context {name}; there are {', '.join(CONTEXTS)}, and all")
    return name


def main() -> None:
    """The entry point; ends with 1 and one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run contexts of the system.")
    parser.add_argument("contexts", nargs="*", type=_context, metavar="CONTEXT", help=", ".join(CONTEXTS))
    parser.add_argument("--listed", type=Path, metavar="FILE", help="a file that names the contexts, read at SIGHUP")
    arguments = parser.parse_args()
    wanted, listed = arguments.contexts, arguments.listed
    if bool(wanted) == bool(listed):
        parser.error("name contexts, or a file that lists them")
    if listed:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `run` handles it, and reads the file once more
        wanted = read_names(listed)
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
            uvloop.run(run(names, configuration, listed))
    finally:
        tracing.stop()
