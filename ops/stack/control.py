"""The ears of supervisor and balancer: one line of JSON in, one out, over a unix socket in `.local`."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
Env = dict[str, str]
SUPERVISOR, BALANCER = "control.sock", "balancer.sock"


@contextlib.contextmanager
def _short_path(root: Path, name: str) -> Iterator[str]:
    """A socket's address holds 107 bytes, a checkout's path may be longer: go through an open folder."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)


@contextlib.asynccontextmanager
async def listening(
    root: Path, obey: Callable[[str, str, Env | None], Awaitable[Answer]], of: str = SUPERVISOR
) -> AsyncIterator[None]:
    """Answer `{"do": ..., "name": ..., "env": ...}` with what `obey(do, name, env)` returns."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            answer = await obey(str(request.get("do")), str(request.get("name") or ""), request.get("env"))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, AttributeError):
            pass  # the rpc is gone, or is none of ours
        finally:
            writer.close()

    with _short_path(root, of) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        server = await asyncio.start_unix_server(serve, path)
        os.chmod(path, 0o600)
    async with server:
        yield


def tell(
    root: Path, do: str, name: str = "", timeout: float = 60.0, env: Env | None = None, of: str = SUPERVISOR
) -> Answer | None:
    """The supervisor's answer; None when nobody listens there."""
    try:
        with _short_path(root, of) as path, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout)
            line.connect(path)
            line.sendall(json.dumps({"do": do, "name": name, "env": env}).encode() + b"\n")
            with line.makefile() as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
