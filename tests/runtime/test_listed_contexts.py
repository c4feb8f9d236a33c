"""A process runs the contexts that a file names, and follows the file while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.video_rental.videos import RegisterVideo, VideoStatus
from ops.stack.monitor import get
from ops.stack.waiting import until
from tests.conftest import MakeSettings
from tests.support.processes import environment, free_port
from tests.support.system import STAFF, System

VIDEOS, RENTALS, PAGE = "video_rental.videos", "video_rental.rentals", "video_rental.my_page"


@pytest.fixture
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """The queues and databases of video rental; no context runs."""
    made = await System(await make_settings(), "video_rental").open()
    yield made
    await made.close()


async def test_a_context_is_stopped_and_started_while_the_others_run(system: System, tmp_path: Path) -> None:
    listed, port = tmp_path / "contexts", free_port()
    addresses = {
        "YEYAK_AMQP_URL": system.settings.amqp_url.get_secret_value(),
        "YEYAK_DATABASE_URL": system.settings.database_url.get_secret_value(),
        "YEYAK_HEALTH_PORT": str(port),
    }

    async def runs(*names: str) -> bool:
        status, body = await get(f"http://127.0.0.1:{port}/ready")
        return status == 200 and set(json.loads(body)["contexts"]) == set(names)

    async def becomes(*names: str) -> bool:
        listed.write_text("\n".join(names))
        process.send_signal(signal.SIGHUP)
        return await until(lambda: runs(*names), 30)

    listed.write_text(f"{VIDEOS}\n{RENTALS}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "--listed", str(listed)),
        env=os.environ | environment(system.settings) | addresses,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert await until(lambda: runs(VIDEOS, RENTALS), 60)
        assert await becomes(VIDEOS, PAGE)
        video = RegisterVideo(title="Laura", daily_price=1000, copies=1, status=VideoStatus.AVAILABLE, caller=STAFF)
        registered = await system.until_done(video, id=uuid4(), within=30)
        assert await becomes(RENTALS)
        assert await becomes(RENTALS, VIDEOS)
        again = await system.until_done(video.model_copy(update={"title": "Vertigo"}), id=uuid4(), within=30)
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert json.loads(registered.body)["title"] == "Laura"
    assert json.loads(again.body)["title"] == "Vertigo"
    assert process.returncode == 0, output.decode()


@pytest.mark.parametrize("arguments", [(), ("cafe.bar",), ("payments", "--listed", "file")])
async def test_arguments_that_name_nothing_or_too_much_are_refused(arguments: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )

    output, _ = await process.communicate()

    assert process.returncode == 2
    assert b"context" in output
