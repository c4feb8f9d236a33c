"""`python -m tests.contracts.record` writes the samples and snapshots that are missing.

A sample is never changed: a message that was once sent must stay readable. A snapshot follows additive changes; a
breaking one is refused. Only when nobody has ever sent a message may its files be deleted and recorded anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contracts.base import Message
from tests.contracts import examples
from tests.contracts.catalogue import SAMPLES, SCHEMAS, Json, messages, snapshot_of
from tests.contracts.compare import broken


def read(folder: Path, topic: str) -> Json | None:
    """Return the recorded JSON of a topic; None when there is none."""
    path = folder / f"{topic}.json"
    recorded: Json | None = json.loads(path.read_text()) if path.exists() else None
    return recorded


def write(folder: Path, topic: str, content: Json) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{topic}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sample_of(message: type[Message]) -> Json:
    """Return made-up bodies of a message, and of its answer if it has one."""
    snapshot = snapshot_of(message)
    schemas = {"bodies": snapshot["body"], "answers": snapshot["answer"]}
    return {name: [examples.full(schema), examples.bare(schema)] if schema else [] for name, schema in schemas.items()}


def record(known: dict[str, type[Message]], samples: Path, schemas: Path) -> tuple[list[str], list[str]]:
    """Write the missing files; return the written ones and the breaking changes."""
    written, wrong = [], []
    for topic, message in known.items():
        old, new = read(schemas, topic), snapshot_of(message)
        breaks = broken(old, new) if old else []
        if breaks:
            wrong += [f"{topic}: {problem}" for problem in breaks]
        elif old != new:
            write(schemas, topic, new)
            written.append(f"{topic}: the snapshot is {'new' if old is None else 'followed up'}")
        if read(samples, topic) is None:
            write(samples, topic, sample_of(message))
            written.append(f"{topic}: a sample is recorded")
    return written, wrong


if __name__ == "__main__":
    done, breaking = record(messages(), SAMPLES, SCHEMAS)
    print(*done, *(f"BREAKS {problem}" for problem in breaking), sep="\n")
    sys.exit(1 if breaking else 0)
