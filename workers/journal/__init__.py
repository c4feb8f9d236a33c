"""The journal: what was said, what was done about it, and what nobody could handle.

yeyak.journal (stream) -> events            every event with its body, in batches, by one reader at a time
RecordHandled          -> handled           what the runtimes handled and asked, and how they stand, best effort
FileDeadLetter         -> dead letters      a context gave a message up
yeyak.dead             -> dead letters      nobody could read it, or it crashed whoever tried
ResolveDeadLetter      -> TakeUpDeadLetter  (its context has it)
                       -> the message again (its queue had it)
TellStory, ShowTown, ReadEvents, FindMark, ListDeadLetters, ShowDeadLetter look.
"""

from workers.journal import dead_letters, events, status, stories  # noqa: F401 - they declare the handlers
from workers.journal.declared import journal as worker

__all__ = ["worker"]
