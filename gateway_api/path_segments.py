"""Slashes inside a segment of a path: `/deposits/a%2Fb` is the deposit of the member `a/b`.

ASGI servers and Starlette decode the path before they match routes, and a decoded slash would end the segment. Here it
is kept apart until the routes have been matched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASH = "\ufdd0"
"""Stands for an encoded slash while routes are matched: a character that Unicode reserves for such internal use."""
_ENCODED = re.compile("%2f", re.IGNORECASE)


class EncodedSlashes:
    """ASGI middleware; without an encoded slash in the path it changes nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"%2f" in (raw := scope.get("raw_path") or b"").lower():
            path = _SLASH.join(unquote(part) for part in _ENCODED.split(raw.decode("latin-1")))
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)


def path_parameters(matched: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that a route has matched, each with its encoded slashes decoded."""
    return {name: value.replace(_SLASH, "/") for name, value in matched.items()}
