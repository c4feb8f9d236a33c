"""How the handling of a message ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from contracts.base import Refused
from contracts.outcomes import Outcome
from workers.runtime.processing.tx import encode_refusal


@dataclass(slots=True)
class ProcessingResult:
    """How a handling ended, and the reply that follows from it."""

    outcome: Outcome
    body: bytes = b""
    replayed: bool = False
    """The stored answer of an earlier handling."""
    code: str | None = None
    """Of a refusal."""

    @property
    def label(self) -> str:
        """The outcome as journal and metrics record it: a refusal by its code."""
        return self.code or str(self.outcome)


NO_REPLY = ProcessingResult(Outcome.NO_REPLY)
UNAVAILABLE = ProcessingResult(Outcome.UNAVAILABLE)
STILL_RUNNING = ProcessingResult(Outcome.STILL_RUNNING)
RETRY = ProcessingResult(Outcome.RETRY)


def refused(refusal: Refused) -> ProcessingResult:
    """The result of a refusal."""
    return ProcessingResult(Outcome.REFUSED, encode_refusal(refusal).encode(), code=refusal.code)


def answered(answer: Any) -> ProcessingResult:
    """The result of a step that is done."""
    return ProcessingResult(Outcome.DONE, answer.model_dump_json().encode() if isinstance(answer, BaseModel) else b"{}")
