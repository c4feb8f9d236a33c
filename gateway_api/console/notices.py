"""Notices: problems of the API and of forms in words for people, with a link to what helps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from contracts.payments import RefundThroughBusiness
from contracts.refusals import (
    DeclinedPayment,
    IdempotencyKeyReused,
    InvalidMessage,
    NotFound,
    PaymentUnavailable,
    StillConfirming,
    StillRunning,
    WrongRole,
)
from gateway_api.console.businesses import BUSINESSES
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.words import Text
from gateway_api.language import Language
from gateway_api.problem_kinds import kind_of


class ProblemNotice(NamedTuple):
    """A problem as a page shows it; `fields` holds the texts of wrong fields by name, `link` may lead to what helps."""

    title: str
    detail: str
    code: str
    fields: dict[str, str]
    link: str = ""
    link_text: Text = Text("", "")


CONSOLE_TEXTS: dict[str, tuple[Text, Text]] = {
    "not_signed_in": (
        Text("다시 로그인해 주세요", "Please sign in again"),
        Text("로그인한 시간이 지났습니다.", "Your session is over."),
    ),
    InvalidMessage.code: (
        Text("입력을 확인해 주세요", "Please check what you entered"),
        Text("아래에 표시된 항목을 고쳐 주세요.", "Correct what is marked below."),
    ),
    "too_many_requests": (
        Text("요청이 너무 많습니다", "Too many requests"),
        Text("잠시 후 다시 시도해 주세요.", "Please try again shortly."),
    ),
    "unavailable": (
        Text("잠시 후 다시 시도해 주세요", "Please try again shortly"),
        Text("지금은 응답이 없어 아무것도 바뀌지 않았습니다.", "There is no answer now; nothing was changed."),
    ),
    "outcome_unknown": (
        Text("결과를 아직 확인하고 있습니다", "We are still checking the outcome"),
        Text(
            "같은 단추를 다시 눌러도 한 번만 처리됩니다. 내 내역에서도 볼 수 있습니다.",
            "Pressing the same button again is safe: it is done once. Your things show the outcome too.",
        ),
    ),
    StillRunning.code: (
        Text("아직 처리하고 있습니다", "Still at work"),
        Text("같은 단추를 다시 누르면 결과를 알 수 있습니다.", "Press the same button again to see the outcome."),
    ),
    StillConfirming.code: (
        Text("입금과 재고를 아직 확인하고 있습니다", "We are still checking deposit and stock"),
        Text("저절로 이어서 처리됩니다.", "It goes on by itself."),
    ),
    PaymentUnavailable.code: (
        Text("결제 응답이 없어 취소했습니다", "The payment did not answer, so this was cancelled"),
        Text(
            "받은 돈은 없고, 나중에 결제되더라도 돌려드립니다. 잠시 후 다시 시도해 주세요.",
            "No money is kept, and a charge that turns up later is undone. Please try again shortly.",
        ),
    ),
    RefundThroughBusiness.code: (
        Text("업무에서 취소해야 합니다", "To be cancelled in its business"),
        Text(
            "이 결제로 산 것이 아직 유효합니다. 아래에서 취소하거나 돌려받으면 돈도 돌아갑니다.",
            "What this pays for is still valid. Cancel or take it back there, and the money follows.",
        ),
    ),
    IdempotencyKeyReused.code: (
        Text("이미 보낸 신청입니다", "This form was sent before"),
        Text("내용을 확인하고 다시 보내 주세요.", "Check it and send it again."),
    ),
    "internal_error": (
        Text("문제가 생겼습니다", "Something went wrong"),
        Text("잠시 후 다시 시도해 주세요.", "Please try again shortly."),
    ),
    **{code: text for business in BUSINESSES for code, text in business.notices.items()},
}
"""Title and detail by code, where those of the API are about headers and keys."""

NOT_SHOWN = Text("지금은 응답이 없어 보여 드릴 수 없습니다.", "There is no answer now, so this cannot be shown.")

LINKS: dict[str, tuple[str, Text]] = {
    "outcome_unknown": ("/mine", Text("내 내역 보기", "See my things")),
    DeclinedPayment.code: ("/mine", Text("내 내역 보기", "See my things")),
    PaymentUnavailable.code: ("/mine", Text("내 내역 보기", "See my things")),
    "not_signed_in": ("/sign-in", Text("로그인", "Sign in")),
    **{code: link for business in BUSINESSES for code, link in business.links.items()},
}

RETRY_SAME_KEY = {"outcome_unknown", "unavailable", "too_many_requests", StillRunning.code, StillConfirming.code}
"""Codes after which the form is sent again with the same idempotency key."""


WHERE_CANCELLED = Text("취소하는 화면 열기", "Open where it is cancelled")


def _pages_of_actions() -> Iterator[tuple[str, str]]:
    """The paths of the API that staff reach in the console, with `{id}`, and the page of each."""
    for business in BUSINESSES:
        for listing in business.listings:
            for action in listing.actions:
                if "staff" in action.roles and not action.id_field:
                    yield action.path, f"/{business.slug}/{listing.slug}/{{id}}/{action.slug}"
            if "staff" in listing.roles and listing.item:
                yield listing.item.removesuffix("/{id}"), f"/{business.slug}/{listing.slug}"


PAGES = [(re.compile(re.escape(path).replace(r"\{id\}", "([^/]+)")), page) for path, page in _pages_of_actions()]


def page_of(href: str) -> str:
    """The page where staff take the action at a path of the API, or see what members have asked for; "" if none."""
    for path, page in PAGES:
        if found := path.fullmatch(href):
            return page.replace("{id}", "".join(found.groups()))
    return ""


def problem_notice(response: ApiResponse, language: Language) -> ProblemNotice:
    """Return the notice of a response that is a problem."""
    text = CONSOLE_TEXTS.get(response.code or "internal_error")
    title = text[0].of(language) if text else str(response.body.get("title", response.status))
    detail = text[1].of(language) if text else str(response.body.get("detail", ""))
    if response.is_read and response.code == "unavailable":
        detail = NOT_SHOWN.of(language)
    errors: list[dict[str, Any]] = response.body.get("errors", [])
    fields = {str(error["field"]).removeprefix("payment."): str(error["detail"]) for error in errors}
    link, link_text = LINKS.get(response.code, ("", Text("", "")))
    if response.code == RefundThroughBusiness.code:
        link, link_text = page_of(response.body.get("href", "")), WHERE_CANCELLED
    if price := response.body.get("price"):
        detail = f"{detail} (₩{price:,})"
    if expected := response.body.get("expected"):
        detail = f"{detail} (₩{expected:,})"
    return ProblemNotice(title, detail, response.code, fields, link, link_text)


def form_expired(language: Language) -> ProblemNotice:
    """The form has no valid CSRF token of this browser's session."""
    return ProblemNotice(
        Text("화면이 오래되었습니다", "This page is too old").of(language),
        Text("새로고침하고 다시 시도해 주세요.", "Reload it and try again.").of(language),
        "csrf",
        {},
    )


def form_unreadable(language: Language, *, too_large: bool) -> ProblemNotice:
    """The form cannot be decoded, or is over the size limit."""
    if too_large:
        title = Text("입력이 너무 깁니다", "That is too much")
        detail = Text("돌아가서 줄인 뒤 다시 보내 주세요.", "Go back, shorten it, and send it again.")
    else:
        title = Text("읽을 수 없는 입력입니다", "This cannot be read")
        detail = Text("돌아가서 다시 보내 주세요.", "Go back and send it again.")
    return ProblemNotice(title.of(language), detail.of(language), "not_read", {})


def session_expired(language: Language, sign_in: str, *, is_kept: bool) -> ProblemNotice:
    """The form was sent after its session had ended; it may be kept until the person has signed in."""
    title, detail = CONSOLE_TEXTS["not_signed_in"]
    not_done = Text("보낸 내용은 처리되지 않았습니다.", "What you sent was not done.")
    kept = Text(" 로그인하면 입력한 내용이 다시 보입니다.", " After sign-in the form shows what you entered.")
    return ProblemNotice(
        title.of(language),
        f"{detail.of(language)} {not_done.of(language)}{kept.of(language) if is_kept else ''}",
        "not_signed_in",
        {},
        sign_in,
        Text("로그인하고 이어서 하기", "Sign in and go on"),
    )


def not_signed_out(language: Language) -> ProblemNotice:
    """The other gateways could not be told that the session ends."""
    return ProblemNotice(
        Text("아직 로그아웃하지 못했습니다", "You are still signed in").of(language),
        Text("잠시 후 다시 로그아웃해 주세요.", "Please sign out again shortly.").of(language),
        "not_signed_out",
        {},
    )


def form_kept(language: Language) -> ProblemNotice:
    """The form shows what was sent before its session had ended."""
    return ProblemNotice(
        Text("아직 보내지 않았습니다", "This was not sent yet").of(language),
        Text("내용을 확인하고 다시 보내 주세요.", "Check it and send it again.").of(language),
        "form_kept",
        {},
    )


def partly_seeded(language: Language) -> ProblemNotice:
    """Some sample data was refused; repeating it registers what is missing."""
    return ProblemNotice(
        Text("예시 데이터를 다 넣지 못했습니다", "Not all sample data is in").of(language),
        Text("잠시 후 다시 누르면 빠진 것만 넣습니다.", "Press again shortly: only what is missing is added.").of(
            language
        ),
        "partly_seeded",
        {},
        "/staff",
        Text("할 일로 돌아가기", "Back to work"),
    )


def wrong_role(language: Language) -> ProblemNotice:
    return ProblemNotice(
        Text(WrongRole.ko.title, WrongRole.en.title).of(language),
        Text("이 화면은 다른 권한을 가진 사람만 볼 수 있습니다.", "This page is for people with another role.").of(
            language
        ),
        WrongRole.code,
        {},
    )


def not_found(language: Language) -> ProblemNotice:
    return ProblemNotice(*kind_of(NotFound.code).text(language), NotFound.code, {})
