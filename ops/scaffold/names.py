"""The names of a new context, as templates use them."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import Any

from contracts.systems import SYSTEMS

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
RESERVED = {"booking", "bookings", "limits", "refusals", "runtime", "settings", "store", "worker", "workers"}
"""Names that the written modules use for something else."""


class WrongNameError(Exception):
    """A name cannot be used; the text says why."""


def class_name(name: str) -> str:
    """`my_lockers` as `MyLockers`."""
    return "".join(map(str.capitalize, name.split("_")))


def singular(name: str) -> str:
    """`batteries` as `battery`, `boxes` as `box`, `units` as `unit`; any other name gets `_item` behind it."""
    for end, instead in (("ies", "y"), ("xes", "x"), ("ses", "s"), ("ches", "ch"), ("s", "")):
        if name.endswith(end) and not name.endswith("ss"):
            return name.removesuffix(end) + instead
    return f"{name}_item"


@dataclass(frozen=True)
class Names:
    """What is to be written: a system, and in it a context with its view."""

    system: str
    context: str = ""
    view: str = ""
    paid: bool = False
    ko: str = ""
    """What people call it in Korean."""

    def __post_init__(self) -> None:
        for name in filter(None, (self.system, self.context, self.view)):
            if not NAME.fullmatch(name):
                raise WrongNameError(f"{name} is no name: small letters, digits and single underscores")
            if name in RESERVED or keyword.iskeyword(name):
                raise WrongNameError(f"{name} is no name: it means something else in the files that are written")
        if self.context and self.context == self.view:
            raise WrongNameError(f"the view needs another name than {self.context}")

    def variables(self) -> dict[str, Any]:
        """Everything that a template may name."""
        thing = singular(self.context) if self.context else ""
        things = self.context if self.context.removesuffix("s") != self.context else f"{thing}s"
        title = self.system.replace("_", " ")
        return {
            "system": self.system,
            "System": class_name(self.system),
            "title": title,
            "Title": title.capitalize(),
            "slug": self.system.replace("_", "-"),
            "position": len(SYSTEMS) + 1,
            "ko": self.ko or "새 가게",
            "context": self.context,
            "name": f"{self.system}.{self.context}",
            "schema": f"{self.system}_{self.context}",
            "thing": thing,
            "things": things,
            "Thing": class_name(thing),
            "Things": class_name(things),
            "THING": thing.upper(),
            "path": things.replace("_", "-"),
            "thing_path": thing.replace("_", "-"),
            "paid": self.paid,
            "view": self.view,
            "View": class_name(self.view),
            "view_name": f"{self.system}.{self.view}",
            "view_schema": f"{self.system}_{self.view}",
            "view_path": self.view.replace("_", "-"),
            "view_title": self.view.replace("_", " ").capitalize(),
            "State": f"{class_name(thing)}{'Booking' if self.paid else 'State'}",
            "Item": f"{class_name(self.view)}Item" if self.paid else f"{class_name(thing)}State",
            "key": "booking_id" if self.paid else f"{thing}_id",
            "table": "bookings" if self.paid else things,
            "FirstEvent": f"{class_name(thing)}{'BookingStarted' if self.paid else 'Registered'}",
        }
