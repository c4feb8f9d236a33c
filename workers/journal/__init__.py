"""The journal: the log of all events, of handled messages and of dead letters, and the status of the system.

yeyak.journal (stream) -> events            each event with its body, in batches, by one reader at a time
RecordHandled          -> handled           reports of the runtimes: handled messages, requests, process status
FileDeadLetter         -> dead_letters      a context has failed to handle a message in all its attempts
yeyak.dead (queue)     -> dead_letters      the broker or a consumer rejected a message: unreadable, or a crash loop
ResolveDeadLetter      -> TakeUpDeadLetter  (the message is in the inbox of its context)
                       -> the message itself, again (it came from a queue)
RecordAudit            -> audits            the report of an audit
TellStory, ShowTown, ReadEvents, FindMark, ListDeadLetters and ShowDeadLetter are queries.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """`worker`, with its handlers, made when it is first asked for: whoever reads the settings needs neither."""
    if name != "worker":
        raise AttributeError(name)
    for handlers in ("dead_letters", "events", "status", "stories"):
        import_module(f"{__name__}.{handlers}")
    return import_module(f"{__name__}.base").journal
