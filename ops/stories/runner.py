"""Runs stories over HTTP: sends their requests, checks the responses, and shows each step as a line of a table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx

from contracts.base import Role
from gateway_api.tokens import issue
from ops.settings import SystemSettings

Json = dict[str, Any]
Sign = Callable[[str, Role, str | None], str]
"""Signs a token for a subject, a role and a grade."""
Check = Callable[["Answer"], str | None]

TIMEOUT = 30.0
"""Seconds for one request; the gateway answers earlier."""


PROGRESS_AFTER = 3.0
"""Seconds of waiting after which an intermediate line is shown."""


class StoryFailedError(Exception):
    """A step did not end as expected; the text says which one and how it ended."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    step: str
    http: str
    outcome: str
    took_ms: float


@dataclass(frozen=True)
class Answer:
    """A response of the gateway."""

    status: int
    headers: Mapping[str, str]
    body: Json
    took_ms: float

    @property
    def code(self) -> str:
        """The `code` of a problem, or the `status` of a thing."""
        return str(self.body.get("code" if self.status >= 400 else "status") or "")


def issuer(settings: SystemSettings) -> Sign:
    """Make a function that signs tokens for the gateway; raises ValueError without a local key."""
    if settings.jwt_key is None:
        raise ValueError("there is no key to sign with: start the system (`yeyak up`), or set YEYAK_JWT_KEY")
    key = settings.jwt_key.get_secret_value()

    def sign(subject: str, role: Role, grade: str | None) -> str:
        return issue(
            subject,
            role,
            grade,
            key=key,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            lifetime=timedelta(hours=1),
        )

    return sign


class Person:
    """A user of the gateway, with a token."""

    def __init__(self, runner: StoryRunner, name: str, role: Role, grade: str | None = None) -> None:
        self.name = name
        self._stage = runner
        self._headers = {"authorization": f"Bearer {runner.sign(name, role, grade)}", "accept-language": "en"}

    async def send(self, method: str, path: str, body: Json | None = None, *, key: str | None = None) -> Answer:
        """Send one request and return the response, whatever its status; raises StoryFailedError without one."""
        headers = self._headers | ({"idempotency-key": key} if key else {})
        started = time.perf_counter()
        try:
            response = await self._stage.http.request(method, path, json=body, headers=headers)
            content = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise StoryFailedError(f"{method} {path} was not answered: {error or type(error).__name__}") from error
        return Answer(response.status_code, response.headers, content, (time.perf_counter() - started) * 1000)


class StoryRunner:
    """Runs the steps of a story, checks them, and shows each as a line."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: SystemSettings,
        sign: Sign,
        show: Callable[[Line], None],
    ) -> None:
        self.http = http
        self.settings = settings
        self.sign = sign
        self.run = uuid4().hex[:6]
        """A suffix that makes the names of this run unique."""
        self._show = show

    def staff(self, name: str) -> Person:
        return Person(self, f"{name}-{self.run}", "staff")

    def customer(self, name: str, grade: str | None = None) -> Person:
        return Person(self, f"{name}-{self.run}", "customer", grade)

    async def step(
        self,
        text: str,
        person: Person,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        expect: int = 200,
        code: str | None = None,
        key: str | None = None,
        shows: Callable[[Answer], str] = lambda answer: answer.code,
        must: Check | None = None,
    ) -> Answer:
        """Send one request that must end with a status and, if given, a `code`; raises StoryFailedError."""
        answer = await person.send(method, path, body, key=key)
        self.check(text, method, answer, expect=expect, code=code, must=must)
        self.report(text, f"{method} {answer.status}", shows(answer), answer.took_ms)
        return answer

    def check(
        self, text: str, method: str, answer: Answer, *, expect: int, code: str | None = None, must: Check | None = None
    ) -> None:
        """Check a response; a wrong one is shown as a line and raises StoryFailedError."""
        problem = None
        if answer.status != expect:
            problem = f"expected {expect}"
        elif code is not None and answer.code != code:
            problem = f"expected {code}"
        elif must is not None:
            problem = must(answer)
        if problem:
            self.report(text, f"{method} {answer.status}", f"{answer.code} ({problem})", answer.took_ms)
            raise StoryFailedError(f"{text}: {answer.status} {answer.code}, {problem}")

    async def until(
        self,
        text: str,
        read: Callable[[], Awaitable[Answer]],
        reached: Callable[[Answer], bool],
        *,
        within: float,
        shows: Callable[[Answer], str] = lambda answer: answer.code,
    ) -> Answer:
        """Repeat a read until `reached` is true; raises StoryFailedError after `within` seconds."""
        started = time.perf_counter()
        reported = False
        while True:
            answer = await read()
            took = time.perf_counter() - started
            if answer.status == 200 and reached(answer):
                self.report(text, f"GET {answer.status}", shows(answer), took * 1000)
                return answer
            if took > within:
                self.report(text, f"GET {answer.status}", f"{shows(answer)} (still)", took * 1000)
                raise StoryFailedError(f"{text}: not within {within:.0f} s, it is {answer.status} {shows(answer)}")
            if took > PROGRESS_AFTER and not reported:
                reported = True
                self.report(text, "", f"not yet: {shows(answer)}", 0)
            await asyncio.sleep(min(0.25, 0.02 + took / 10))

    def report(self, text: str, http: str, outcome: str, took_ms: float) -> None:
        self._show(Line(text, http, outcome, took_ms))

    def require(self, is_so: bool, text: str, otherwise: str) -> None:
        """Raise StoryFailedError unless a condition is true."""
        if not is_so:
            raise StoryFailedError(f"{text}: {otherwise}")


def counted(words: Iterable[object]) -> str:
    """Count equal words: `2 x BOOKED, CANCELLED`."""
    seen: dict[str, int] = {}
    for word in words:
        seen[str(word)] = seen.get(str(word), 0) + 1
    return ", ".join(word if count == 1 else f"{count} x {word}" for word, count in seen.items())
