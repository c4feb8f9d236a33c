"""The control protocol of supervisor and balancer: one line of JSON each way, over a unix socket in `.local`."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Reply = dict[str, Any]
Env = dict[str, str]
SUPERVISOR, BALANCER = "control.sock", "balancer.sock"


@contextlib.contextmanager
def _short_path(root: Path, name: str) -> Iterator[str]:
    """Yield a path to the socket that is shorter than 107 bytes, the limit of a socket address."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)


@contextlib.asynccontextmanager
async def serve_commands(
    root: Path, handle: Callable[[str, str, Env | None], Awaitable[Reply]], socket_name: str = SUPERVISOR
) -> AsyncIterator[None]:
    """Reply to each `{"command": ..., "name": ..., "env": ...}` with the result of `handle(command, name, env)`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            reply = await handle(str(request.get("command")), str(request.get("name") or ""), request.get("env"))
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, AttributeError):
            pass  # the client is gone, or does not speak this protocol
        finally:
            writer.close()

    with _short_path(root, socket_name) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        server = await asyncio.start_unix_server(serve, path)
        os.chmod(path, 0o600)
    async with server:
        yield


def send_command(
    root: Path,
    command: str,
    name: str = "",
    timeout: float = 60.0,
    env: Env | None = None,
    socket_name: str = SUPERVISOR,
) -> Reply | None:
    """Send one command and return the reply; None when nothing listens there or the reply does not come in time."""
    try:
        with _short_path(root, socket_name) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps({"command": command, "name": name, "env": env}).encode() + b"\n")
            with connection.makefile() as replies:
                reply = json.loads(replies.readline())
    except (OSError, ValueError):
        return None
    return reply if isinstance(reply, dict) else None
