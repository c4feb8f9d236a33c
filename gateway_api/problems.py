"""Problem details (RFC 9457): the responses of the API that are errors or refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from gateway_api.codes import CODES, OTHER_REFUSAL, RETRY_AFTER, text_of
from gateway_api.language import Language

_RESERVED = {"type", "title", "status", "detail", "code"}


class Problem(Exception):
    """Raised to end a request with `code`, one of `CODES`; `details` become further JSON fields."""

    def __init__(self, code: str, *, headers: Mapping[str, str] | None = None, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.headers = dict(headers or {})
        self.details = details

    @property
    def status(self) -> int:
        return CODES.get(self.code, OTHER_REFUSAL).status

    def response(self, language: Language) -> Response:
        """Return the response with title and detail in one language."""
        text = text_of(self.code, language)
        content: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": text.title,
            "status": self.status,
            "detail": text.detail,
            "code": self.code,
        }
        content |= {key: value for key, value in self.details.items() if key not in _RESERVED}
        headers = {"content-language": language, "vary": "Accept-Language", "cache-control": "no-store", **self.headers}
        if self.code in RETRY_AFTER:
            headers.setdefault("retry-after", str(RETRY_AFTER[self.code]))
        return Response(to_json(content), self.status, headers, "application/problem+json")
