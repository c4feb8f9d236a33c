"""Clients that are generated from the document book a video on a running system."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.openapi.conftest import BIN, LiveSystem, node, run
from tests.support.system import STAFF, customer, eventually

CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}


@pytest.fixture(scope="module")
async def package(folder: Path) -> Any:
    """Return a function that imports modules of the generated Python client."""
    (folder / "client.yaml").write_text("post_hooks: []\n")
    command = ("generate", "--path", "openapi.json", "--meta=none", "--output-path", "yeyak_client")
    printed = await run(folder, BIN / "openapi-python-client", *command, "--config=client.yaml", "--fail-on-warning")
    assert "Warning" not in printed
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"yeyak_client.{name}")
    sys.path.remove(str(folder))


async def test_the_python_client_has_every_operation(package: Any, folder: Path) -> None:
    document = json.loads((folder / "openapi.json").read_text())
    wanted = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}

    found = {path.stem for path in (folder / "yeyak_client/api").rglob("*.py")} - {"__init__"}

    assert found == wanted


async def test_the_python_client_books_a_video(package: Any, live: LiveSystem) -> None:
    models, rentals = package("models"), "api.video_rental"
    book, show = package(f"{rentals}.book_video").asyncio_detailed, package(f"{rentals}.show_rental").asyncio
    register = package(f"{rentals}.register_video").asyncio
    kim = package("client").AuthenticatedClient(live.url, token=live.token(customer()))
    staff = package("client").AuthenticatedClient(live.url, token=live.token(STAFF))

    video = await register(client=staff, body=models.NewVideo(title="Casablanca", daily_price=1500, copies=1))
    payment = models.CardPayment.from_dict(CARD)
    wanted = models.Booking(video_id=video.video_id, days=2, payment=payment)

    async def booked() -> Any:
        """Rentals hears of a new video a moment later."""
        answer = await book(client=kim, body=wanted, idempotency_key=str(uuid4()))
        return answer if answer.status_code == 201 else None

    answer = await eventually(booked, within=20)
    refused = await book(client=kim, body=wanted)
    shown = await show(answer.parsed.rental_id, client=kim)

    assert isinstance(answer.parsed, models.Rental)
    assert answer.headers["location"] == f"/v1/video-rental/rentals/{answer.parsed.rental_id}"
    assert (shown.rental_id, shown.price, shown.status) == (answer.parsed.rental_id, 3000, models.RentalStatus.BOOKED)
    assert isinstance(refused.parsed, models.Problem)
    assert (refused.status_code, refused.parsed.code) == (409, "already_booked")


async def test_the_typescript_client_books_a_video(folder: Path, live: LiveSystem) -> None:
    await run(folder, node("openapi-typescript"), "openapi.json", "--output", "api.ts")
    await run(folder, node("tsc"), "--project", "tsconfig.json")

    printed = await run(folder, "node", "built/book.js", live.url, live.token(STAFF), live.token(customer()))

    found = json.loads(printed)
    assert found["location"] == f"/v1/video-rental/rentals/{found['rental_id']}"
    assert (found["price"], found["status"], found["refused"]) == (3000, "BOOKED", "already_booked")
