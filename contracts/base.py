"""The base classes of messages: commands, events and queries, and how each is delivered.

A `Command` is handled by one context and changes its state; an `Event` reports a change to any number of subscribers; a
`Query` is answered by one context and changes nothing.

Events and commands without an answer (`Command[None]`) are delivered as durable messages: published from the outbox
after the commit, and redelivered until they are handled. Queries and commands with an answer are delivered as requests:
the sender waits for the reply within a time limit, and a missing reply means that the outcome is unknown.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contracts.schema_names import qualified

Won = Annotated[int, Field(ge=0, le=10**12)]
"""An amount of money in whole won."""
LONGEST_MEMBER_ID = 255
"""What OpenID Connect allows for a subject, in ASCII characters."""
MemberId = Annotated[str, Field(min_length=1, max_length=LONGEST_MEMBER_ID)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]

Role = Literal["customer", "staff", "operator"]
DeliveryKind = Literal["durable", "request"]
Answer = TypeVar("Answer")


class Shape(BaseModel):
    """An immutable value object that is sent in messages; unknown fields are ignored when it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Caller(Shape):
    """The authenticated sender of a request, from the claims of its token."""

    member_id: MemberId
    role: Role
    grade: Literal["STANDARD", "VIP"] = "STANDARD"

    @property
    def is_staff(self) -> bool:
        return self.role != "customer"

    def may_see(self, owner: str) -> bool:
        """Whether the caller may see something of `owner`: staff may see everything, a customer only their own."""
        return self.is_staff or self.member_id == owner


class Message(Shape):
    """A message between contexts; a concrete class states its wire name as `topic`."""

    topic: ClassVar[str]
    exchange: ClassVar[str]
    answer: ClassVar[Any] = None
    """The type of the answer; None for a durable message."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for base in cls.__mro__:
            arguments = getattr(base, "__pydantic_generic_metadata__", {}).get("args")
            if arguments:
                cls.answer = None if arguments[0] in (None, type(None)) else arguments[0]
                break
        if "topic" in cls.__dict__ and CATALOGUE.setdefault(cls.topic, cls).__name__ != cls.__name__:
            raise TypeError(f"two messages have the topic {cls.topic}")

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of the body, with names that are unique in the whole system."""
        return qualified(cls, super().model_json_schema(*args, **kwargs))

    @classmethod
    def owner(cls) -> str:
        """The context that handles this command, answers this query or publishes this event."""
        return cls.topic.rpartition(".")[0]

    @classmethod
    def delivery(cls) -> DeliveryKind:
        """`request` for a message with an answer, else `durable`."""
        return "durable" if cls.answer is None else "request"


CATALOGUE: dict[str, type[Message]] = {}
"""All message classes by topic."""


class Command(Message, Generic[Answer]):
    """A message that exactly one context handles, and that changes its state."""

    exchange = "yeyak.commands"


class Query(Message, Generic[Answer]):
    """A message that exactly one context answers, and that changes nothing."""

    exchange = "yeyak.queries"


class Event(Message):
    """A change that has happened, with the whole public state of its aggregate after the change."""

    exchange = "yeyak.events"
    about: ClassVar[str | None] = None
    """The field that names the context which the event concerns; its value follows the topic in the routing key."""

    version: int
    """The version of the aggregate's published state: 1, 2, 3 ..."""

    @classmethod
    def of(cls, state: Shape, **more: Any) -> Self:
        """The event with the fields of `state` (which is validated already) and of `more`; validates nothing."""
        return cls.model_construct(**{**state.__dict__, **more})  # type: ignore[return-value]


class Refused(Exception):
    """A business rule rejected a message. A handler raises it to roll back, or returns it to commit what it wrote."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details
        """Details for the caller, e.g. `current_status`, `allowed_actions`, `reason`, an id."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and (self.code, self.details) == (other.code, other.details)

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        return f"Refused({self.code!r}{''.join(f', {key}={value!r}' for key, value in self.details.items())})"


Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """One page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = None


class TimelineEntry(Shape):
    """One change in a timeline: its time (RFC 3339), the event's name, and the status after it."""

    at: str
    what: str
    status: str
    reason: str | None = None
