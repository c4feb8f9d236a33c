"""The operators' room: how the system stands, charts, the story of anything, and the dead letters."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from pydantic_core import to_json
from starlette.responses import Response

from contracts.journal import TellStory
from gateway_api.console import broker_figures, dashboard, problems
from gateway_api.console.actions import idempotency_key
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.sequence import diagram, tone, what
from gateway_api.console.site import PageContext, Site
from gateway_api.console.words import Text
from gateway_api.gateway import OPERATOR

API = "/v1/operations"
MOST_LETTERS = 200
HOUR_MINUTES = 60

_ID = re.compile(r"[0-9A-Fa-f-]{36}")


@dataclass(slots=True)
class Group:
    """Dead letters of one context that died of the same."""

    context: str
    topic: str
    error: str
    letters: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ids(self) -> str:
        return ",".join(letter["dead_letter_id"] for letter in self.letters)


class OperationsPages:
    """Pages for operators only."""

    def __init__(self, desk: Site, breakers: Callable[[], dict[str, str]]) -> None:
        self.desk = desk
        self._breakers = breakers
        desk.said |= {"replay": Text("다시 처리", "Replay"), "discard": Text("버리기", "Discard")}
        desk.add("GET", "/operator", self.system, OPERATOR)
        desk.add("GET", "/operator/story", self.story, OPERATOR)
        desk.add("GET", "/operator/dead-letters", self.letters, OPERATOR)
        desk.add("POST", "/operator/dead-letters", self.resolve, OPERATOR)
        desk.add("GET", "/operator/dead-letters/{id}", self.letter, OPERATOR)

    async def system(self, page: PageContext) -> Response:
        """Health at a dashboard, and the last hour."""
        told, seen = await asyncio.gather(
            self.desk.api.get(page.visitor, f"{API}/town?minutes={HOUR_MINUTES}"),
            broker_figures.read(self.desk.settings),
        )
        rows = dashboard.rows(told)
        audit = told.body.get("audit") if told.ok else None
        return self.desk.page(
            page,
            "operator.html",
            problem=None if told.ok else problems.told(told, page.visitor.language),
            measures=dashboard.measures(told, seen, rows),
            rows=rows,
            minutes=told.body.get("minutes", []),
            audit=audit,
            promises=dashboard.promises(audit),
            broker=seen,
            queues=sorted(seen.queues, key=lambda queue: (queue.consumers > 0, -queue.backlog))[:20],
            gateway={name: state for name, state in self._breakers().items() if state != "closed"},
            charts=to_json(dashboard.charts(told, seen)).decode(),
            triggers="every 10s, sse:refresh",
        )

    # -- stories

    async def story(self, page: PageContext) -> Response:
        """What happened to anything that has an id."""
        wanted = page.asked("id").strip()
        if not wanted:
            return self.desk.page(page, "story.html", wanted="", entries=[], drawn=None)
        path = f"{API}/stories/{quote(wanted, safe='')}"
        heard = await self.desk.api.get(page.visitor, path) if _ID.fullmatch(wanted) else ApiResponse(404)
        if not heard.ok:
            told = problems.told(heard, page.visitor.language) if heard.body else None
            told = told or problems.nothing_here(page.visitor.language)
            return self.desk.page(page, "story.html", heard.status, problem=told, wanted=wanted, entries=[], drawn=None)
        entries = [entry for entry in heard.body["entries"] if entry["topic"] != TellStory.topic]
        return self.desk.page(
            page,
            "story.html",
            wanted=wanted,
            entries=[{**entry, "what": what(entry), "tone": tone(entry)} for entry in entries],
            drawn=diagram(entries),
        )

    # -- dead letters

    async def letters(self, page: PageContext) -> Response:
        return await self._letters(page, None, 200)

    async def _letters(self, page: PageContext, refused: ApiResponse | None, status: int) -> Response:
        status_wanted = page.asked("status")
        status_wanted = status_wanted if status_wanted in ("REPLAYED", "DISCARDED") else "DEAD"
        after = page.asked("after")
        query = {"status": status_wanted, "limit": MOST_LETTERS, **({"cursor": after} if after else {})}
        heard = await self.desk.api.get(page.visitor, f"{API}/dead-letters?{urlencode(query)}")
        shown = refused or (None if heard.ok else heard)
        return self.desk.page(
            page,
            "letters.html",
            status,
            groups=grouped(heard.items),
            older=_older(status_wanted, heard),
            first=not after,
            wanted=status_wanted,
            problem=problems.told(shown, page.visitor.language) if shown else None,
        )

    async def letter(self, page: PageContext) -> Response:
        """One with its body, its headers, and what was decided so far."""
        heard = await self.desk.api.get(page.visitor, f"{API}/dead-letters/{page.part('id')}")
        if not heard.ok:
            return self.desk.problem(page, problems.told(heard, page.visitor.language), heard.status)
        return self.desk.page(page, "letter.html", letter=heard.body)

    async def resolve(self, page: PageContext) -> Response:
        """Replay or discard each of the letters that a form names; the first refusal is shown."""
        body = {"action": page.given.get("action", ""), "reason": page.given.get("reason", "").strip()}
        refused: ApiResponse | None = None
        for id in page.given.get("ids", "").split(",")[:MOST_LETTERS]:
            if not _ID.fullmatch(id):
                continue
            key = idempotency_key(page.given.get("nonce", ""), {**body, "id": id})
            heard = await self.desk.api.send(page.visitor, "POST", f"{API}/dead-letters/{id}/resolution", body, key)
            refused = refused or (None if heard.ok else heard)
        if refused is not None:
            return await self._letters(page, refused, refused.status)
        status = "REPLAYED" if body["action"] == "replay" else "DISCARDED"
        return self.desk.go(f"/operator/dead-letters?status={status}&done={body['action']}")


def _older(status: str, heard: ApiResponse) -> str:
    """Where the letters after these are; empty where there are none."""
    cursor = heard.body.get("next_cursor")
    return f"/operator/dead-letters?{urlencode({'status': status, 'after': cursor})}" if cursor else ""


def grouped(letters: list[dict[str, Any]]) -> list[Group]:
    """Dead letters by context, message and the first line of the error; the most first."""
    groups: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        key = (letter["context"], letter["topic"] or "", letter["error"].partition("\n")[0])
        groups.setdefault(key, Group(*key)).letters.append(letter)
    return sorted(groups.values(), key=lambda group: -len(group.letters))
