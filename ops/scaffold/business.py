"""The files of a new system, and of a new context with its view."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jinja2

from ops.scaffold.insertion import Editor, NoPlaceError
from ops.scaffold.names import Names, WrongNameError
from workers.registry import CONTEXTS

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
)
BRACKETS = {"tables": "{", "writers": "{", "claim_kinds": "{"}
"""Arguments of SystemChecks that are dictionaries; the others are lists."""
INVARIANT = re.compile(r"I\d+")


class NewBusiness:
    """The files of a business in a tree; nothing is written before `save`."""

    def __init__(self, root: Path, names: Names) -> None:
        self.root = root
        self.names = names
        self.variables = names.variables()
        self._editors: dict[str, Editor] = {}

    def text(self, template: str, **more: object) -> str:
        return TEMPLATES.get_template(f"{template}.jinja").render(**self.variables, **more)

    def file(self, path: str, template: str, **more: object) -> None:
        """Make a file that does not exist yet; raises WrongNameError if it does."""
        if (self.root / path).exists():
            raise WrongNameError(f"{path} exists")
        self._editors[path] = Editor(self.root / path, self.text(template, **more))

    def edit(self, path: str, template: str = "") -> Editor:
        """A file that is extended; made from its template if it does not exist."""
        if path not in self._editors:
            self._editors[path] = Editor(self.root / path, self.text(template) if template else "")
        return self._editors[path]

    def save(self) -> list[str]:
        """Write everything; returns the paths, relative to the root of the tree."""
        for editor in self._editors.values():
            editor.save()
        return list(self._editors)

    # -- a system

    def write_system(self) -> None:
        """Write what a system needs before its first context: packages, limits and settings, places for refusals."""
        system = self.names.system
        if (self.root / "contracts" / system).exists():
            raise WrongNameError(f"contracts/{system} exists")
        self.file(f"contracts/{system}/__init__.py", "system/contracts")
        self.file(f"contracts/{system}/refusals.py", "system/refusals")
        self.file(f"contracts/{system}/limits.py", "system/limits")
        self.file(f"workers/{system}/settings.py", "system/settings")
        for layer, what in (("storage", "tables and statements"), ("workers", "the handlers"), ("tests", "tests")):
            self.file(f"{layer}/{system}/__init__.py", "system/package", what=what)

    # -- a context

    def write_context(self) -> None:
        """Write a context, its view if it has one, and their parts of the system's modules."""
        names = self.names
        if f"{names.system}.{names.context}" in CONTEXTS:
            raise WrongNameError(f"{names.system}.{names.context} is a context already")
        system, context = names.system, names.context
        for path, template in (
            (f"contracts/{system}/{context}.py", "context/contracts"),
            (f"storage/{system}/{context}.py", "context/storage"),
            (f"storage/migrations/{system}/{context}/0001_start.py", "context/migration"),
            (f"workers/{system}/{context}.py", "context/worker"),
            (f"tests/{system}/test_{context}.py", "context/tests"),
        ):
            self.file(path, template)
        if names.paid:
            self.file(f"tests/{system}/test_crash_walk_{context}.py", "context/crash_walk")
            self._refusal_and_settings()
        if names.view:
            self.file(f"contracts/{system}/{names.view}.py", "view/contracts")
            self.file(f"storage/{system}/{names.view}.py", "view/storage")
            self.file(f"storage/migrations/{system}/{names.view}/0001_start.py", "view/migration")
            self.file(f"workers/{system}/{names.view}.py", "view/worker")
            self.file(f"tests/{system}/test_{names.view}.py", "view/tests")
        self._registry()
        self._gateway()
        self._console()
        self._audit()
        self._story()
        self._routes()

    def _parts(self, part: str) -> Iterator[str]:
        """The rendered parts of a file: of the context, and of its view."""
        yield self.text(f"context/{part}")
        if self.names.view:
            yield self.text(f"view/{part}")

    def _refusal_and_settings(self) -> None:
        v = self.variables
        refusals = self.edit(f"contracts/{v['system']}/refusals.py")
        wanted = "from contracts.base import Refused, Words"
        if wanted not in refusals.text:
            refusals.append(f"\nfrom __future__ import annotations\n\n{wanted}")
        refusals.append(self.text("context/refusal"))
        limits = self.edit(f"contracts/{v['system']}/limits.py", "system/limits")
        if f"{v['system']}_payment_ms" not in limits.text:
            limits.append(f"\n    {v['system']}_payment_ms: int = Field(3000, ge=10)")
        settings = self.edit(f"workers/{v['system']}/settings.py", "system/settings")
        settings.add_imports("from pydantic import Field")
        hours = f"{v['system']}_{v['thing']}_hours: float = Field(24, gt=0)"
        settings.append(f'\n    {hours}\n    """How long a booking of a {v["thing"]} lasts."""')

    def _registry(self) -> None:
        """Insert the entries behind the last one of the system, or before the journal's."""
        registry = self.edit("workers/registry.py")
        entries = [match.start() for match in re.finditer(r"^    Context\(", registry.text, re.MULTILINE)]
        named = {at: registry.text[at : at + 200].partition('"')[2].partition('"')[0] for at in entries}
        own = [at for at in entries if named[at].partition(".")[0] == self.names.system]
        following = [at for at in entries if at > own[-1]] if own else [at for at in entries if named[at] == "journal"]
        if not following:
            raise NoPlaceError(f"{registry.path} has no entry of the journal to write before")
        registry.text = registry.text[: following[0]] + "".join(self._parts("registry")) + registry.text[following[0] :]

    def _contracts(self) -> Iterator[str]:
        """Imports of every message and state that the context and its view declare; ruff removes the unused ones."""
        for module in filter(None, (self.names.context, self.names.view)):
            source = self.edit(f"contracts/{self.names.system}/{module}.py").text
            declared = re.findall(r"^class (\w+)|^(\w+Price) =", source, re.MULTILINE)
            yield f"from contracts.{self.names.system}.{module} import {', '.join(a or b for a, b in declared)}"

    def _gateway(self) -> None:
        routes = self.edit(f"gateway_api/{self.names.system}.py", "system/gateway")
        routes.add_imports(
            "from typing import Annotated",
            "from uuid import UUID",
            "from fastapi import Query",
            "from starlette.responses import Response",
            "from contracts.base import MemberId",
            *self._contracts(),
            "from gateway_api.bodies import CardPayment, Form, MinVersion, NonBlankName, Paging, example, optional",
            "from gateway_api.dependencies import Anyone, Commands, Customer, Queries, ResourceId, Staff",
            "from gateway_api.gateway import VERSION_SECONDS, owned",
            "from gateway_api.routing import sends",
        )
        for part in self._parts("gateway"):
            routes.append(part)

    def _console(self) -> None:
        v = self.variables
        page = self.edit(f"gateway_api/console/businesses/{v['system']}.py", "system/console")
        first = page.is_new
        page.add_imports(
            "from gateway_api.console.actions import Action, FormField, Item, Listing",
            "from gateway_api.console.words import CREATED, MEMBER, PRICE, Fact, Money, State, Timestamp, reason_facts",
            "from gateway_api.gateway import STAFF",
        )
        parts = [self.text("context/console", first=first), *([self.text("view/console")] if v["view"] else [])]
        page.prepend_to("def _samples(", "\n".join(parts))
        page.add_to("EVENTS = {", self.text("context/events"))
        sample = f'        (f"{{API}}/{v["path"]}", {{"name": "{v["Thing"]} 1", "price": 2_000}}),'
        page.add_to("    return (", sample, after="def _samples(")
        shelves = [] if first else [f"{v['context']}_shelf", *([f"{v['context']}_bookings"] if v["paid"] else [])]
        shelves += [f"{v['view']}_shelf"] if v["view"] else []
        if shelves:
            page.add_argument("business = Business(", "more_listings", "(", f"{', '.join(shelves)},")
        page.add_argument("business = Business(", "general_actions", "(", f"register_{v['thing']},")
        if not first:
            page.add_argument("business = Business(", "offers", "(", f'"{v["name"]}",')

    def _audit(self) -> None:
        v = self.variables
        audit = self.edit(f"ops/audit/{v['system']}.py", "system/audit")
        audit.add_imports(
            *self._contracts(),
            "from ops.audit.invariant import Publication, UnfinishedCheck, steps_naming, topics_of, view_comparison",
            *([f"from storage.{v['system']} import {v['view']}"] if v["view"] else []),
            *(["from ops.audit.paid import PaidThing"] if v["paid"] else []),
        )
        if v["paid"]:
            audit.prepend_to("CHECKS = SystemChecks(", self.text("context/audit_paid"))
        for line in "\n".join(self._parts("audit")).splitlines():
            argument, _, item = line.partition(": ")
            if INVARIANT.fullmatch(argument):
                audit.add_check(argument, item)
            elif item:
                audit.add_argument("CHECKS = SystemChecks(", argument, BRACKETS.get(argument, "["), item)

    def _story(self) -> None:
        story = self.edit(f"ops/stories/{self.names.system}.py", "system/story")
        story.add_to("async def play(runner: StoryRunner) -> None:", f"    await _{self.names.context}(runner)")
        story.add_imports("from ops.stories.runner import Json, StoryRunner, counted")
        story.append(self.text("context/story"))

    def _routes(self) -> None:
        v = self.variables
        routes = self.edit(f"tests/{v['system']}/routes.py", "system/tests_routes")
        created = {v["path"]: f"{v['thing']}_id"} | ({f"{v['thing_path']}-bookings": "booking_id"} if v["paid"] else {})
        routes.add_to("] = [", "".join(self._parts("routes")))
        routes.add_to("] = {", "".join(f'    "{path}": "{key}",\n' for path, key in created.items()))
