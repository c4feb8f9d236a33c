"""Ports on 127.0.0.1 that stay the same across restarts."""

import json
import random
import socket
from collections.abc import Mapping
from pathlib import Path

from ops.stack.files import write_atomically
from ops.stack.waiting import wait_until

# Below the kernel's ephemeral range: no outgoing connection takes such a port while its server restarts.
_OWN_RANGE = range(18_000, 32_000)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None) -> int:
    """Return the preferred port if it is free, otherwise a random free one; raises RuntimeError when none is."""
    if preferred and is_free(preferred):
        return preferred
    for port in random.sample(_OWN_RANGE, 500):
        if is_free(port):
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def read_or_choose_ports(
    file: Path, names: list[str], preferred: Mapping[str, int], patience: float = 5.0
) -> dict[str, int]:
    """Read the ports of `names` from `file`; choose and write down those that are missing or in use.

    Call it only while the server is down: its own listener would count as another one. A killed process may keep its
    port for a moment, so a port that is in use is replaced only after `patience` seconds.
    """
    kept = read_ports(file)
    wait_until(lambda: all(is_free(port) for port in kept.values()), patience, every=0.02)
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name) or free_port(preferred.get(name))
        while not is_free(port) or port in ports.values():
            port = free_port()
        ports[name] = port
    if ports != kept:
        write_atomically(file, json.dumps(ports))
    return ports


def read_ports(file: Path) -> dict[str, int]:
    """Read name -> port; empty when the file is missing or damaged."""
    try:
        ports = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): int(port) for name, port in ports.items()} if isinstance(ports, dict) else {}
