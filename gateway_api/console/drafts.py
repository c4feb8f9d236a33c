"""Forms that were sent after their session had ended: kept in a sealed cookie, and shown again after sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway_api.console.session import LONGEST_COOKIE, Sessions, Visitor

DRAFT: Final = "yeyak_form"
KEEP_SECONDS = 1800
NOT_KEPT: Final = frozenset({"csrf", "nonce", "token", "last4", "brand"})
"""What belongs to one sending of a form, and how it is paid."""


class FormPage(Protocol):
    """A request of a visitor for the page of a form, or with the fields of the form."""

    @property
    def request(self) -> Request: ...

    @property
    def visitor(self) -> Visitor: ...

    @property
    def form(self) -> Mapping[str, str]: ...

    @property
    def path(self) -> str: ...


class Drafts:
    """Keeps one form for each browser; nothing sends it but the person."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._sealer = sessions.sealer("draft")

    def sealed(self, page: FormPage, csrf: str) -> str:
        """Return a submitted form for its cookie; empty for a form of another site, and for one that is too long."""
        is_own = page.request.headers.get("sec-fetch-site") == "same-origin"
        if not is_own and not self._sessions.was_csrf_valid(page.visitor, csrf):
            return ""
        form = {name: value for name, value in page.form.items() if name not in NOT_KEPT}
        member = page.visitor.over.member_id if page.visitor.over else ""
        sealed = self._sealer.seal({"path": page.path, "member": member, "form": form})
        return sealed if len(sealed) <= LONGEST_COOKIE else ""

    def keep(self, response: Response, sealed: str) -> None:
        self._sessions.set_cookie(response, DRAFT, sealed, KEEP_SECONDS)

    def of(self, page: FormPage) -> dict[str, str]:
        """Return the fields that were kept of the form of a page, if this person sent it; empty otherwise."""
        draft = self._sealer.unseal(page.request.cookies.get(DRAFT, ""), KEEP_SECONDS) or {}
        member = page.visitor.caller.member_id if page.visitor.caller else None
        if draft.get("path") != page.path or draft["member"] not in ("", member):
            return {}
        form: dict[str, str] = draft["form"]
        return form

    def forget(self, response: Response) -> None:
        self._sessions.delete_cookie(response, DRAFT)
