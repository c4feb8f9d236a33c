"""The pages of operators: the status of the system with charts, stories, and dead letters."""

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
from gateway_api.console import broker_figures, dashboard, notices
from gateway_api.console.actions import idempotency_key
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.sequence import diagram, message_label, tone
from gateway_api.console.site import PageContext, Site
from gateway_api.console.words import Text
from gateway_api.gateway import OPERATOR

API = "/v1/operations"
MAX_DEAD_LETTERS = 200
HOUR_MINUTES = 60

_ID = re.compile(r"[0-9A-Fa-f-]{36}")


@dataclass(slots=True)
class DeadLetterGroup:
    """Dead letters of one context, topic and error."""

    context: str
    topic: str
    error: str
    dead_letters: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ids(self) -> str:
        return ",".join(one["dead_letter_id"] for one in self.dead_letters)


class OperationsPages:
    """Pages for operators only."""

    def __init__(self, site: Site, breakers: Callable[[], dict[str, str]]) -> None:
        self.site = site
        self._breakers = breakers
        site.done_labels |= {"replay": Text("다시 처리", "Replay"), "discard": Text("버리기", "Discard")}
        site.add_page("GET", "/operator", self.system, OPERATOR)
        site.add_page("GET", "/operator/story", self.story, OPERATOR)
        site.add_page("GET", "/operator/dead-letters", self.dead_letters, OPERATOR)
        site.add_page("POST", "/operator/dead-letters", self.resolve, OPERATOR)
        site.add_page("GET", "/operator/dead-letters/{id}", self.dead_letter, OPERATOR)

    async def system(self, page: PageContext) -> Response:
        """The status of the system and the figures of the last hour."""
        status, figures = await asyncio.gather(
            self.site.api.get(page.visitor, f"{API}/town?minutes={HOUR_MINUTES}"),
            broker_figures.read(self.site.settings),
        )
        rows = dashboard.rows(status)
        audit = status.body.get("audit") if status.ok else None
        return self.site.page(
            page,
            "operator.html",
            problem=None if status.ok else notices.problem_notice(status, page.visitor.language),
            measures=dashboard.measures(status, figures, rows),
            rows=rows,
            minutes=status.body.get("minutes", []),
            audit=audit,
            invariants=dashboard.invariants(audit),
            broker=figures,
            queues=sorted(figures.queues, key=lambda queue: (queue.consumers > 0, -queue.backlog))[:20],
            gateway={name: state for name, state in self._breakers().items() if state != "closed"},
            charts=to_json(dashboard.charts(status, figures)).decode(),
            triggers="every 10s, sse:refresh",
        )

    # -- stories

    async def story(self, page: PageContext) -> Response:
        """The story of anything that has an id, as a diagram and as a table."""
        wanted = page.query("id").strip()
        if not wanted:
            return self.site.page(page, "story.html", wanted="", entries=[], diagram=None)
        path = f"{API}/stories/{quote(wanted, safe='')}"
        response = await self.site.api.get(page.visitor, path) if _ID.fullmatch(wanted) else ApiResponse(404)
        if not response.ok:
            notice = notices.problem_notice(response, page.visitor.language) if response.body else None
            notice = notice or notices.not_found(page.visitor.language)
            return self.site.page(
                page, "story.html", response.status, problem=notice, wanted=wanted, entries=[], diagram=None
            )
        entries = [entry for entry in response.body["entries"] if entry["topic"] != TellStory.topic]
        return self.site.page(
            page,
            "story.html",
            wanted=wanted,
            entries=[{**entry, "label": message_label(entry), "tone": tone(entry)} for entry in entries],
            diagram=diagram(entries),
        )

    # -- dead letters

    async def dead_letters(self, page: PageContext) -> Response:
        return await self._dead_letters(page, None, 200)

    async def _dead_letters(self, page: PageContext, refused: ApiResponse | None, status: int) -> Response:
        status_wanted = page.query("status")
        status_wanted = status_wanted if status_wanted in ("REPLAYED", "DISCARDED") else "DEAD"
        after = page.query("after")
        query = {"status": status_wanted, "limit": MAX_DEAD_LETTERS, **({"cursor": after} if after else {})}
        response = await self.site.api.get(page.visitor, f"{API}/dead-letters?{urlencode(query)}")
        failed = refused or (None if response.ok else response)
        kept = self.site.drafts.of(page)
        return self.site.page(
            page,
            "dead_letters.html",
            status,
            kept_ids=kept.get("ids", ""),
            kept_reason=kept.get("reason", ""),
            groups=grouped(response.items),
            older_url=_older_url(status_wanted, response),
            first=not after,
            wanted=status_wanted,
            problem=notices.problem_notice(failed, page.visitor.language) if failed else None,
        )

    async def dead_letter(self, page: PageContext) -> Response:
        """One dead letter with its body, its error and its resolutions."""
        response = await self.site.api.get(page.visitor, f"{API}/dead-letters/{page.path_part('id')}")
        if not response.ok:
            return self.site.problem(page, notices.problem_notice(response, page.visitor.language), response.status)
        return self.site.page(page, "dead_letter.html", dead_letter=response.body)

    async def resolve(self, page: PageContext) -> Response:
        """Replay or discard the dead letters that a form names; the first problem is shown."""
        body = {"action": page.form.get("action", ""), "reason": page.form.get("reason", "").strip()}
        refused: ApiResponse | None = None
        for id in page.form.get("ids", "").split(",")[:MAX_DEAD_LETTERS]:
            if not _ID.fullmatch(id):
                continue
            key = idempotency_key(page.form.get("nonce", ""), {**body, "id": id})
            response = await self.site.api.send(page.visitor, "POST", f"{API}/dead-letters/{id}/resolution", body, key)
            refused = refused or (None if response.ok else response)
        if refused is not None:
            return await self._dead_letters(page, refused, refused.status)
        status = "REPLAYED" if body["action"] == "replay" else "DISCARDED"
        return self.site.redirect(f"/operator/dead-letters?status={status}&done={body['action']}")


def _older_url(status: str, response: ApiResponse) -> str:
    """Return the URL of the next page; empty at the end."""
    cursor = response.body.get("next_cursor")
    return f"/operator/dead-letters?{urlencode({'status': status, 'after': cursor})}" if cursor else ""


def grouped(dead_letters: list[dict[str, Any]]) -> list[DeadLetterGroup]:
    """Group dead letters by context, topic and first line of the error, largest group first."""
    groups: dict[tuple[str, str, str], DeadLetterGroup] = {}
    for one in dead_letters:
        key = (one["context"], one["topic"] or "", one["error"].partition("\n")[0])
        groups.setdefault(key, DeadLetterGroup(*key)).dead_letters.append(one)
    return sorted(groups.values(), key=lambda group: -len(group.dead_letters))
