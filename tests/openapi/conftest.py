"""The document in a folder with the tools that read it, and the whole system with its gateway on a port."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from contracts.base import Caller
from gateway_api import tokens
from gateway_api.app import build
from ops.settings import SystemSettings
from ops.stack.local import REPOSITORY
from tests.conftest import MakeSettings
from tests.support.system import System
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.rpc import RpcClient

HERE = Path(__file__).parent
BIN = REPOSITORY / ".venv/bin"
NODE_MODULES = REPOSITORY / ".local/tools/openapi/node_modules"
KEY = "a-key-for-tests-that-has-at-least-32-bytes"
PATIENT: dict[str, Any] = {
    "jwt_key": SecretStr(KEY),
    "gateway_rate": 0,
    "gateway_failures": 0,
    "payments_provider_ms": 1500,
    "video_rental_payment_ms": 3000,
    "preorder_payment_ms": 3000,
    "bike_sharing_payment_ms": 3000,
    "cafe_price_ms": 3000,
}
"""Long enough for a busy machine."""


@dataclass(frozen=True)
class LiveSystem:
    """A system with its gateway on a port."""

    system: System
    url: str

    def token(self, caller: Caller) -> str:
        return tokens.issue(caller.member_id, caller.role, key=KEY)


async def run(folder: Path, *command: str | Path, within: float = 300, **environment: str) -> str:
    """Run a command in a folder; returns what it prints, raises AssertionError with it when the command fails."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed = (await asyncio.wait_for(process.communicate(), within))[0].decode(errors="replace")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0, f"{command[0]} exited with {process.returncode}\n{printed[-20_000:]}"
    return printed


def node(tool: str) -> Path:
    """Return an installed command of a Node.js package."""
    return NODE_MODULES / ".bin" / tool


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `openapi.json`, `asyncapi.json`, the files of the tools, and their packages."""
    folder = tmp_path_factory.mktemp("openapi")
    app = build(None, SystemSettings(jwt_key=SecretStr(KEY)))  # type: ignore[arg-type] # no request is sent
    (folder / "openapi.json").write_text(json.dumps(app.openapi(), ensure_ascii=False))
    for name in (".spectral.yaml", ".redocly.lint-ignore.yaml", "asyncapi.mjs", "book.ts", "tsconfig.json"):
        shutil.copy(HERE / name, folder)
    shutil.copy(REPOSITORY / "gateway_api/static/asyncapi.json", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return folder


@pytest.fixture(scope="module")
async def live(make_settings: MakeSettings) -> AsyncIterator[LiveSystem]:
    """All contexts, and the gateway as a server."""
    system = await System(await make_settings(**PATIENT)).open()
    await system.start(*system.names)
    broker = Broker(system.settings.amqp_url.get_secret_value(), "gateway")
    app = build(RpcClient(broker, system.settings), system.settings, broker=broker)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started or not app.state.gateway.readiness()["broker"]:
            await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield LiveSystem(system, f"http://127.0.0.1:{port}")
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await serving
    await system.close()
