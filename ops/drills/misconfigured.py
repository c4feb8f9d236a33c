"""Drills of misconfiguration: the process must exit and name the problem."""

from __future__ import annotations

import asyncio
import os
import sys
from uuid import uuid4

from ops.accounts.files import ADMINISTRATOR, Folder
from ops.drills.local_system import DrillFailedError, LocalSystem, Result
from ops.settings import SystemSettings
from ops.stack.local import REPOSITORY, local
from ops.stack.ports import free_port
from workers.registry import worker
from workers.runtime.messaging import topology
from workers.runtime.messaging.exchanges import REPLIES
from workers.runtime.messaging.management import ManagementClient

ENDS_WITHIN = 30.0


async def missing_key(system: LocalSystem) -> Result:
    """A gateway without a key to verify tokens."""
    code, last = await _ends("gateway_api", YEYAK_GATEWAY_PORT=str(free_port()), YEYAK_JWT_KEY=None)
    return Result(code not in (0, None) and "YEYAK_JWT_KEY" in last, f"exit {code}: {last}")


async def wrong_exchange(system: LocalSystem) -> Result:
    """A worker on a broker where an exchange is missing."""
    folder = Folder.named()
    if folder is None:
        raise DrillFailedError("the system has no accounts folder: is it up?")
    settings = SystemSettings.read(**folder.settings_of(ADMINISTRATOR))
    vhost = f"drill-{uuid4().hex[:8]}"
    amqp = settings.amqp_url.get_secret_value() + vhost
    async with ManagementClient(settings, timeout=30.0) as api:
        await api.create_vhost(vhost)
        try:
            await topology.apply(amqp, topology.plan([worker("cafe.menu")]))
            await api.delete_exchange(vhost, REPLIES)
            await api.declare_exchange(vhost, f"{REPLIES}s", "direct")
            database = folder.settings_of("cafe.menu")["database_url"]
            code, last = await _ends("workers", "cafe.menu", YEYAK_AMQP_URL=amqp, YEYAK_DATABASE_URL=database)
        finally:
            await api.delete_vhost(vhost)
    return Result(code not in (0, None) and REPLIES in last, f"exit {code}: {last}")


async def _ends(*argv: str, **env: str | None) -> tuple[int | None, str]:
    """Run a program that should exit: returns its exit code, None when it keeps running, and its last line."""
    environment = {name: value for name, value in (dict(os.environ) | env).items() if value is not None}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *argv,
        env=environment | {"SYSTEM_PROCESS_OF": str(local().root)},
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(ENDS_WITHIN):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        return None, f"it still runs after {ENDS_WITHIN:.0f} s"
    lines = out.decode(errors="replace").strip().splitlines()
    return process.returncode, lines[-1][-160:] if lines else ""
