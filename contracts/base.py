"""The base classes of messages: commands, events and queries, and how each is delivered.

A `Command` is handled by one context and changes its state; an `Event` reports a change to any number of subscribers; a
`Query` is answered by one context and changes nothing.

Events and commands without an answer (`Command[None]`) are delivered as durable messages: published from the outbox
after the commit, and redelivered until they are handled. Queries and commands with an answer are delivered as requests:
the sender waits for the reply within a time limit, and a missing reply means that the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Collection
from inspect import get_annotations
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field

from contracts.schema_names import qualified

Won = Annotated[int, Field(ge=0, le=10**12)]
"""An amount of money in whole won."""
LONGEST_MEMBER_ID = 255
"""What OpenID Connect allows for a subject, in ASCII characters."""
MemberId = Annotated[str, Field(min_length=1, max_length=LONGEST_MEMBER_ID)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]

ExpectedVersion = Annotated[int, Field(ge=1, lt=2**31)]
"""The version that a thing must still have to be changed."""

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


class Words(NamedTuple):
    """What a person reads about a refusal, in one language."""

    title: str
    detail: str


@dataclass_transform(kw_only_default=True)
class Refused(Exception):
    """A business rule rejected a message. A handler raises it to roll back, or returns it to commit what it wrote.

    A subclass declares one refusal: its code, its words, and its details as annotated fields; a field with a default
    may be left out. A subclass without a code of its own refines the refusal that it derives from: the same code and
    words with more details. `Refused` itself holds a code that is not declared here, e.g. of a newer peer.
    """

    code: str = "refused"
    status: ClassVar[int] = 409
    """The status of the HTTP response."""
    retry_after: ClassVar[int | None] = None
    """Whole seconds after which to try again; each refusal with the status 503 has it."""
    ko: ClassVar[Words] = Words("지금은 할 수 없습니다", "업무 규칙에 따라 거절되었습니다.")
    en: ClassVar[Words] = Words("Not possible now", "A rule of the business refuses this.")
    required_details: ClassVar[frozenset[str]] = frozenset()
    optional_details: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, code: str | None = None, /, **details: Any) -> None:
        kind = type(self)
        if kind is not Refused:
            if code is not None or wrong_details(kind, details):
                needed, allowed = sorted(kind.required_details), sorted(kind.optional_details)
                raise TypeError(f"{kind.__name__} takes {needed}, and may take {allowed}: not {sorted(details)}")
        elif code is None:
            raise TypeError("a refusal without a declaration is given its code")
        super().__init__(code or kind.code)
        self._fill(code or kind.code, details)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        names = {name for kind in cls.__mro__ if kind not in Refused.__mro__ for name in get_annotations(kind)}
        if reserved := {name for name in names if name in RESERVED_DETAILS or hasattr(Refused, name)}:
            raise TypeError(f"{cls.__name__} declares details with reserved names: {sorted(reserved)}")
        cls.optional_details = frozenset(name for name in names if hasattr(cls, name))
        cls.required_details = frozenset(names) - cls.optional_details
        if "code" in cls.__dict__:
            _register(cls)

    @classmethod
    def of(cls, code: str, details: dict[str, Any]) -> Refused:
        """A refusal as it was received: whatever details its sender knows."""
        kind = REFUSALS.get(code, Refused)
        refusal = kind.__new__(kind, code)
        refusal._fill(code, details)
        return refusal

    def _fill(self, code: str, details: dict[str, Any]) -> None:
        self.code = code
        self.details = details
        """Details for the caller, e.g. `current_status`, `allowed_actions`, `reason`, an id."""
        declared = self.required_details | self.optional_details
        self.__dict__.update({name: value for name, value in details.items() if name in declared})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and (self.code, self.details) == (other.code, other.details)

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        return f"Refused({self.code!r}{''.join(f', {key}={value!r}' for key, value in self.details.items())})"


REFUSALS: dict[str, type[Refused]] = {}
"""The declaration of each code; of a refusal that others refine, the general one."""
RESERVED_DETAILS = frozenset({"type", "title", "detail"})
"""Members of a problem (RFC 9457) besides those that Refused has."""


def wrong_details(kind: type[Refused], details: Collection[str]) -> bool:
    """Whether a required detail is missing or an undeclared one is given."""
    given = frozenset(details)
    return not kind.required_details <= given or not given <= kind.required_details | kind.optional_details


def _register(kind: type[Refused]) -> None:
    if not {"ko", "en"} <= kind.__dict__.keys():
        raise TypeError(f"{kind.__name__} has no words in both languages")
    if kind.status == 503 and kind.retry_after is None:
        raise TypeError(f"{kind.__name__} has the status 503 and no `retry_after`")
    if REFUSALS.setdefault(kind.code, kind) is not kind:
        raise TypeError(f"{kind.__name__} has the code of another refusal: {kind.code}")


class Message(Shape):
    """A message between contexts; a concrete class states its wire name as `topic`."""

    topic: ClassVar[str]
    exchange: ClassVar[str]
    answer: ClassVar[Any] = None
    """The type of the answer; None for a durable message."""
    refusals: ClassVar[tuple[type[Refused], ...]] = ()
    """The refusals of its handler; each request states them. See `contracts.refusals.refusals_of` for all of them."""

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
