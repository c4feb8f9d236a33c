"""RabbitMQ 4 out of the Debian 13 that `ops/debian13.sh` keeps in a folder: for suites run with `--broker 4`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

from ops.stack.servers import RabbitServer

SYSTEM = Path(__file__).parents[2] / ".local" / "debian13"


class Rabbit4Server(RabbitServer):
    """Its files lie inside the folder, where both sides know them by the same name."""

    @classmethod
    def home_for(cls) -> Path:
        """A new place for a server."""
        assert (SYSTEM / ".made").exists(), "there is no Debian 13: `ops/debian13.sh` makes it"
        home = SYSTEM / "srv" / uuid4().hex[:12]
        home.mkdir()
        return home

    def _run(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return super()._run(["chroot", str(SYSTEM), *command], environment)

    def _configuration(self, ports: dict[str, int]) -> str:
        """Set the memory limit: the folder has no /proc to read it from."""
        memory = "vm_memory_calculation_strategy = allocated\ntotal_memory_available_override_value = 4GB\n"
        return super()._configuration(ports) + memory
