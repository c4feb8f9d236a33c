"""The contexts that share a process: a file names them, and the process reads it again at SIGHUP."""

import json
import signal
from collections.abc import Iterable
from functools import partial

from ops.stack.child_process import ChildProcess
from ops.stack.files import write_atomically
from ops.stack.local import Local
from ops.stack.monitor import get
from ops.stack.waiting import until

CHANGED_WITHIN = 40.0
"""Seconds: a context finishes what it has begun before it stops."""


class NotChanged(Exception):
    """A shared process did not do as its file says; the text is one sentence that names its log."""


class SharedContexts:
    """The names in the file; `names` stays one list, which the descriptions of the processes refer to."""

    def __init__(self, here: Local, names: Iterable[str]) -> None:
        self.names = list(names)
        self.all = tuple(self.names)
        self._here = here
        self._write()

    async def leave(self, name: str, sharing: Iterable[ChildProcess]) -> None:
        """Stop a context in its processes; returns when it has ended there. Raises NotChanged."""
        self.names.remove(name)
        await self._tell(sharing)

    async def join(self, name: str, sharing: Iterable[ChildProcess]) -> None:
        """Run a context in these processes again; returns when they have begun to. Raises NotChanged."""
        self.names[:] = [one for one in self.all if one in self.names or one == name]
        await self._tell(sharing)

    def _write(self) -> None:
        write_atomically(self._here.shared_contexts, "".join(f"{name}\n" for name in self.names))

    async def _tell(self, sharing: Iterable[ChildProcess]) -> None:
        self._write()
        for child in sharing:
            if not await until(partial(self._is_done, child), CHANGED_WITHIN, every=0.2):
                log = self._here.log_of(child.spec.name)
                raise NotChanged(f"{child.spec.name} has not stopped or started a context in time: read {log}")

    async def _is_done(self, child: ChildProcess) -> bool:
        """Whether it runs what the file names; if not, send SIGHUP. One that starts reads it anyway."""
        if child.pid is None:
            return True
        _, body = await get(child.spec.ready_url)
        if not body:
            return False
        if set(json.loads(body)["contexts"]) == set(self.names):
            return True
        child.signal(signal.SIGHUP)
        return False
