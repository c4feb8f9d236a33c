"""Small files: written atomically, secrets, logs."""

import os
import secrets
from pathlib import Path


def write_atomically(file: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step: readers see the old text or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as stream:
        stream.write(text)
        os.fchmod(stream.fileno(), mode)
    draft.replace(file)


def read_or_create_secret(file: Path, n_bytes: int = 24) -> str:
    """Read a secret from `file`; on the first call make a random urlsafe one and write it (mode 600)."""
    if file.exists() and (secret := file.read_text().strip()):
        return secret
    secret = secrets.token_urlsafe(n_bytes)
    write_atomically(file, secret)
    return secret


def rotate(file: Path, limit: int = 10_000_000) -> None:
    """Move a log that is larger than `limit` bytes to `NAME.1`; called when a process starts."""
    if file.exists() and file.stat().st_size > limit:
        file.replace(file.with_name(file.name + ".1"))


def last_line(file: Path) -> str:
    """The last line of a log that is not empty; `""` when there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
