"""What the supervisor prints for a person."""

import time
from collections.abc import Mapping
from typing import Any


def addresses(state: Mapping[str, Any]) -> str:
    """The addresses of the running system, one on a line."""
    lines = [f"  console           {url}/", f"  gateway           {url}"] if (url := state.get("gateway_url")) else []
    if console := state.get("console_url"):
        scheme, _, rest = console.partition("://")
        login, _, host = rest.rpartition("@")
        user, _, password = login.partition(":")
        lines.append(f"  RabbitMQ console  {scheme}://{host}  user {user}  password {password}")
    lines += [f"  {server['name']:<16}  {server['url']}" for server in state.get("servers", [])]
    lines += [note] if (note := state.get("note")) else []
    return "\n".join(lines)


def print_timestamped(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
