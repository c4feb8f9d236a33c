"""The supervisor's ear: one line of JSON in, one line of JSON out, over a unix socket in `.local`."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
_SOCKET = "control.sock"


@contextlib.contextmanager
def _short_path(root: Path) -> Iterator[str]:
    """A socket's address holds 107 bytes, a checkout's path may be longer: go through an open folder."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{_SOCKET}"
    finally:
        os.close(folder)


@contextlib.asynccontextmanager
async def listening(root: Path, obey: Callable[[str, str], Awaitable[Answer]]) -> AsyncIterator[None]:
    """Answer `{"do": ..., "name": ...}` with what `obey(do, name)` returns."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            answer = await obey(str(request.get("do")), str(request.get("name") or ""))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, AttributeError):
            pass  # the asker is gone, or is none of ours
        finally:
            writer.close()

    with _short_path(root) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        server = await asyncio.start_unix_server(serve, path)
        os.chmod(path, 0o600)
    async with server:
        yield


def tell(root: Path, do: str, name: str = "", timeout: float = 60.0) -> Answer | None:
    """The supervisor's answer; None when nobody listens there."""
    try:
        with _short_path(root) as path, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout)
            line.connect(path)
            line.sendall(json.dumps({"do": do, "name": name}).encode() + b"\n")
            with line.makefile() as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
