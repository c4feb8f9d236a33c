"""What a user of FastStream knows works: its command line, its test broker, its middlewares."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from faststream.rabbit import TestRabbitBroker
from faststream.rabbit.opentelemetry import RabbitTelemetryMiddleware
from faststream.rabbit.prometheus import RabbitPrometheusMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from contracts.video_rental.videos import ListVideos, RegisterVideo, VideoStatus
from tests.conftest import MakeSettings
from tests.runtime.harness import DoWork, RecordNote, RuntimeHarness, ShowWork, WorkDone
from tests.runtime.sample_handlers import add_handlers
from tests.support.processes import environment
from tests.support.system import STAFF, System, eventually
from workers.registry import worker as worker_of
from workers.runtime.messaging import envelope
from workers.runtime.messaging.topology import DEAD_QUEUE
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker

FASTSTREAM = Path(sys.executable).with_name("faststream")
VIDEOS = "video_rental.videos"


def registration() -> RegisterVideo:
    return RegisterVideo(title="Casablanca", daily_price=1000, copies=1, status=VideoStatus.AVAILABLE, caller=STAFF)


@pytest.fixture
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """The queues and databases of video rental; no context runs."""
    made = await System(await make_settings(), "video_rental").open()
    yield made
    await made.close()


# -- the command line


@asynccontextmanager
async def faststream(*arguments: str, env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        FASTSTREAM, *arguments, env=os.environ | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_faststream_run_serves_a_context_until_it_is_stopped(system: System) -> None:
    settings = system.settings
    addresses = {
        "YEYAK_AMQP_URL": settings.amqp_url.get_secret_value(),
        "YEYAK_DATABASE_URL": settings.database_url.get_secret_value(),
    }
    env = environment(settings) | addresses | {"YEYAK_CONTEXTS": VIDEOS}
    async with faststream("run", "workers.app:app", env=env) as process:
        registered = await system.until_done(registration(), id=uuid4(), within=60)
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert json.loads(registered.body)["title"] == "Casablanca"
    assert process.returncode == 0, output.decode()


async def test_faststream_docs_writes_the_document_of_the_contexts(tmp_path: Path) -> None:
    document = tmp_path / "asyncapi.json"
    env = {"YEYAK_CONTEXTS": f"{VIDEOS},video_rental.rentals", "PYTHONPATH": os.getcwd()}
    async with faststream("docs", "gen", "workers.app:app", "--out", str(document), env=env) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode == 0, output.decode()
    operations = json.loads(document.read_text())["operations"]
    actions = {
        action: [name for name, one in operations.items() if one["action"] == action] for action in ("send", "receive")
    }
    assert any("register_video" in name for name in actions["receive"])
    assert any("video_registered" in name for name in actions["send"])
    assert any("video_registered" in name for name in actions["receive"])


# -- the test broker


async def test_handlers_run_on_the_test_broker_with_a_real_database(system: System) -> None:
    runtime = worker_of(VIDEOS).runtime(system.settings)
    await runtime.open()
    async with TestRabbitBroker(runtime.broker) as broker:
        reply = await broker.request(
            registration(),
            queue=RegisterVideo.topic,
            exchange=envelope.exchange(RegisterVideo.exchange),
            message_id=str(uuid4()),
            message_type=RegisterVideo.topic,
            headers={"actor": "staff:choi"},
        )
        answer = json.loads(reply.body)
        listed = await broker.request(
            ListVideos(limit=10),
            queue=ListVideos.topic,
            exchange=envelope.exchange(ListVideos.exchange),
            message_id=str(uuid4()),
            message_type=ListVideos.topic,
            headers={"actor": "staff:choi"},
        )
    await runtime.close()

    rows = await system.rows(VIDEOS, "select video_id, title from video_rental_videos.videos")
    assert [(str(row["video_id"]), row["title"]) for row in rows] == [(answer["video_id"], "Casablanca")]
    assert [item["video_id"] for item in json.loads(listed.body)["items"]] == [answer["video_id"]]


# -- middlewares


class WorkerWithMiddleware(Worker):
    """The sample worker with a middleware of FastStream."""

    middleware: Any

    def runtime(self, settings: Settings) -> WorkerRuntime:
        runtime = super().runtime(settings)
        runtime.broker.add_middleware(self.middleware)
        return runtime


async def work_with(harness: RuntimeHarness, middleware: Any) -> None:
    """Run a context with a middleware on the real broker, and have it handle one message of each kind."""
    worker = WorkerWithMiddleware("sample", resolves_dead_letters=False)
    worker.middleware = middleware
    await harness.run(add_handlers(worker))
    await harness.done(DoWork(text="done"))
    await harness.done(ShowWork(text="done"))
    note = await harness.publish(RecordNote(text="noted"))
    await eventually(lambda: harness.effects(note))
    await harness.wait_until_idle()


async def test_the_prometheus_middleware_counts_what_is_received_and_published(harness: RuntimeHarness) -> None:
    registry = CollectorRegistry()

    await work_with(harness, RabbitPrometheusMiddleware(registry=registry, app_name="sample"))

    samples = [sample for metric in registry.collect() for sample in metric.samples]
    received = sum(s.value for s in samples if s.name == "faststream_received_messages_total")
    published = {s.labels["destination"] for s in samples if s.name == "faststream_published_messages_total"}
    assert received == 3
    assert f"{WorkDone.exchange}.{WorkDone.topic}" in published


async def test_the_opentelemetry_middleware_traces_what_is_received(harness: RuntimeHarness) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    await work_with(harness, RabbitTelemetryMiddleware(tracer_provider=provider))

    processed = [span.name for span in exporter.get_finished_spans() if span.name.endswith("process")]
    assert len(processed) == 3, [span.name for span in exporter.get_finished_spans()]
    assert not any(DEAD_QUEUE in name for name in processed)
