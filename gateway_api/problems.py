"""Problem details (RFC 9457): the responses of the API that are errors or refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from gateway_api.language import Language
from gateway_api.problem_kinds import kind_of

_RESERVED = {"type", "title", "status", "detail", "code"}


class Problem(Exception):
    """Raised to end a request with a code; `details` become further JSON fields."""

    def __init__(self, code: str, *, headers: Mapping[str, str] | None = None, **details: Any) -> None:
        super().__init__(code)
        self.kind = kind_of(code)
        self.code = code
        self.headers = dict(headers or {})
        self.details = details

    @property
    def status(self) -> int:
        return self.kind.status

    def response(self, language: Language) -> Response:
        """Return the response with title and detail in one language."""
        text = self.kind.text(language)
        content: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": text.title,
            "status": self.status,
            "detail": text.detail,
            "code": self.code,
        }
        content |= {key: value for key, value in self.details.items() if key not in _RESERVED}
        headers = {"content-language": language, "vary": "Accept-Language", "cache-control": "no-store", **self.headers}
        if self.kind.retry_after is not None:
            headers.setdefault("retry-after", str(self.kind.retry_after))
        return Response(to_json(content), self.status, headers, "application/problem+json")
