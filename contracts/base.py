"""The three kinds of message, and the two ways they travel.

A `Command` is an order that one context obeys, an `Event` a fact for any number of listeners, a `Query` a look.
Events and commands without an answer (`Command[None]`) are *told*: sent after commit, for as long as it takes.
Questions and commands with an answer are *asked*: somebody waits, and losing one is an unknown outcome.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Won = Annotated[int, Field(ge=0, le=10**12)]
"""Whole won."""
MemberId = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]

Role = Literal["customer", "staff", "operator"]
DeliveryKind = Literal["durable", "request"]
Answer = TypeVar("Answer")


class Shape(BaseModel):
    """A value on the wire; readers ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Caller(Shape):
    """Who stands at the door, as the token says."""

    member_id: MemberId
    role: Role
    grade: Literal["STANDARD", "VIP"] = "STANDARD"

    @property
    def is_staff(self) -> bool:
        return self.role != "customer"

    def may_see(self, owner: str) -> bool:
        """A customer sees only what is theirs."""
        return self.is_staff or self.member_id == owner


class Message(Shape):
    """Anything that travels between contexts; a concrete one writes its wire name down as `topic`."""

    topic: ClassVar[str]
    exchange: ClassVar[str]
    answer: ClassVar[Any] = None
    """The shape of the answer; None for what is told."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for base in cls.__mro__:
            arguments = getattr(base, "__pydantic_generic_metadata__", {}).get("args")
            if arguments:
                cls.answer = None if arguments[0] in (None, type(None)) else arguments[0]
                break
        if "topic" in cls.__dict__ and CATALOGUE.setdefault(cls.topic, cls).__name__ != cls.__name__:
            raise TypeError(f"two messages are called {cls.topic}")

    @classmethod
    def owner(cls) -> str:
        """The context that obeys, answers or says this message."""
        return cls.topic.rpartition(".")[0]

    @classmethod
    def delivery(cls) -> DeliveryKind:
        return "durable" if cls.answer is None else "request"


CATALOGUE: dict[str, type[Message]] = {}
"""Every message by its wire name."""


class Command(Message, Generic[Answer]):
    """An order; exactly one context obeys."""

    exchange = "yeyak.commands"


class Query(Message, Generic[Answer]):
    """A look; exactly one context answers, nothing changes."""

    exchange = "yeyak.queries"


class Event(Message):
    """A fact in the past tense, with the whole public state of what it happened to."""

    exchange = "yeyak.events"
    about: ClassVar[str | None] = None
    """The field with the name of the context that this is about; it follows the topic in the routing key."""

    version: int
    """Counts the states of one aggregate that were told: 1, 2, 3 ..."""

    @classmethod
    def of(cls, state: Shape, **more: Any) -> Self:
        """The event that tells `state`, a validated shape with this event's fields."""
        return cls.model_construct(**{**state.__dict__, **more})  # type: ignore[return-value]


class Refused(Exception):
    """No, with a reason: `raise` it to undo the step, `return` it to keep what was written."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details
        """What helps the caller: `current_status`, `allowed_actions`, `reason`, an id."""

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
    """One thing that happened."""

    at: str
    what: str
    status: str
    reason: str | None = None
