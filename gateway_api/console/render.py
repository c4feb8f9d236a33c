"""Rendering of pages: autoescaped templates in the visitor's language, and security headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import jinja2
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from gateway_api.console import words
from gateway_api.console.session import Sessions, Visitor
from gateway_api.console.words import CodeText, Count, Money, State, Text, Timestamp
from gateway_api.language import Language

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "no-store", "vary": "Cookie, Accept-Language"}

templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


class Translator:
    """The `t` of templates: texts and values in one language. `t(ko, en)` chooses one of two texts."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, ko: str, en: str) -> str:
        return en if self.language == "en" else ko

    def text(self, text: str | Text | State) -> str:
        """Return a text in this language; a plain string, which people wrote, is returned as it is."""
        return text if isinstance(text, str) else (text.en if self.language == "en" else text.ko)

    def value(self, value: Any) -> Markup:
        """Return the value of a fact as HTML."""
        match value:
            case State():
                return Markup('<span class="state" data-tone="{}">{}</span>').format(value.tone, self.text(value))
            case Money():
                return Markup('<span class="number">{}</span>').format(words.won(value.won, self.language))
            case Timestamp():
                return self.time(value.at)
            case Count():
                return escape(words.count(value, self.language))
            case CodeText():
                return Markup("<code>{}</code>").format(value.text)
            case Text():
                return escape(self.text(value))
            case date():
                return escape(words.day(value, self.language))
        return escape(value)

    def time(self, instant: str, *, seconds: bool = False) -> Markup:
        local_time = words.clock(instant, self.language, seconds=seconds)
        return Markup('<time datetime="{}">{}</time>').format(instant, local_time)

    def countdown(self, instant: str) -> Markup:
        """Return a deadline as HTML; `console.js` adds the time that is left."""
        local_time = words.clock(instant, self.language)
        return Markup('<time datetime="{}" data-until>{}</time>').format(instant, local_time)

    def event(self, what: str, labels: Mapping[str, words.Text]) -> str:
        """Return the label of an event; its name, where it has none."""
        return self.text(labels.get(what, words.Text(what, what)))

    def reason(self, code: str) -> str:
        return self.text(words.reason_text(code))


class Renderer:
    """Renders templates for a visitor."""

    def __init__(self, sessions: Sessions, *, local: bool, issuer: bool) -> None:
        self._sessions = sessions
        self._local = local
        self._issuer = issuer

    def page(
        self, visitor: Visitor, template: str, *, path: str, status: int = 200, since: str = "-0", **variables: Any
    ) -> HTMLResponse:
        t = Translator(visitor.language)
        content = templates.get_template(template).render(
            t=t,
            visitor=visitor,
            path=path,
            since=since,
            local=self._local,
            issuer=self._issuer,
            csrf=self._sessions.csrf(visitor),
            nonce=lambda: uuid4().hex,
            **variables,
        )
        return HTMLResponse(content, status, HEADERS)
