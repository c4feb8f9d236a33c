"""The kinds of problems: those of the gateway itself, and the refusals that messages declare."""

from __future__ import annotations

from typing import NamedTuple

from contracts.base import REFUSALS, Refused, Words
from gateway_api.language import Language


class ProblemKind(NamedTuple):
    """A `code` of the API: its status, its texts in both languages, and `Retry-After` where a reply has none."""

    code: str
    status: int
    ko: Words
    en: Words
    retry_after: int | None = None
    """Whole seconds."""

    def text(self, language: Language) -> Words:
        """Return title and detail in one language."""
        return self.en if language == "en" else self.ko


GATEWAY_KINDS = {
    kind.code: kind
    for kind in (
        ProblemKind(
            "not_signed_in",
            401,
            Words("로그인이 필요합니다", "유효한 토큰을 Authorization: Bearer 헤더로 보내 주세요."),
            Words("Not signed in", "Send a valid token in the Authorization: Bearer header."),
        ),
        ProblemKind(
            "too_many_requests",
            429,
            Words("요청이 너무 많습니다", "Retry-After에 적힌 시간 뒤에 다시 시도해 주세요."),
            Words("Too many requests", "Try again after the time in Retry-After."),
        ),
        ProblemKind(
            "too_large",
            413,
            Words("요청 본문이 너무 큽니다", "본문의 크기를 줄여 주세요."),
            Words("Body too large", "Send a smaller body."),
        ),
        ProblemKind(
            "bad_json",
            400,
            Words("JSON이 아닙니다", "본문은 UTF-8로 쓴 올바른 JSON이어야 합니다."),
            Words("Not JSON", "The body must be valid JSON in UTF-8."),
        ),
        ProblemKind(
            "bad_signature",
            400,
            Words("서명이 맞지 않습니다", "결제사의 웹훅 시크릿으로 서명한 본문만 받습니다."),
            Words("Bad signature", "Only bodies signed with the webhook secret of the payment provider are taken."),
        ),
        ProblemKind(
            "card_number_refused",
            422,
            Words(
                "카드 번호는 받지 않습니다", "카드 번호 대신 결제 토큰을 보내 주세요. 보낸 내용은 저장하지 않았습니다."
            ),
            Words(
                "Card numbers are not accepted", "Send a payment token instead of a card number. Nothing was stored."
            ),
        ),
        ProblemKind(
            "bad_request",
            400,
            Words("HTTP 요청이 아닙니다", "HTTP/1.1 형식에 맞는 요청을 보내 주세요."),
            Words("Not an HTTP request", "Send a request that is valid HTTP/1.1."),
        ),
        ProblemKind(
            "uri_too_long",
            414,
            Words("주소가 너무 깁니다", "경로와 질의를 줄여 주세요."),
            Words("Address too long", "Shorten the path or the query."),
        ),
        ProblemKind(
            "headers_too_large",
            431,
            Words("요청 헤더가 너무 큽니다", "헤더의 수나 크기를 줄여 주세요."),
            Words("Headers too large", "Send fewer or smaller headers."),
        ),
        ProblemKind(
            "request_timeout",
            408,
            Words("요청이 제때 오지 않았습니다", "이 요청으로 바뀐 것은 없습니다. 쉬지 말고 다시 보내 주세요."),
            Words("The request took too long", "This request changed nothing. Send it again without pauses."),
        ),
        ProblemKind(
            "method_not_allowed",
            405,
            Words("허용되지 않는 메서드입니다", "Allow 헤더에 적힌 메서드만 쓸 수 있습니다."),
            Words("Method not allowed", "Use one of the methods in the Allow header."),
        ),
        ProblemKind(
            "unavailable",
            503,
            Words("잠시 이용할 수 없습니다", "이 요청으로 바뀐 것은 없습니다. 잠시 후 다시 시도해 주세요."),
            Words(
                "Not available now",
                "This request changed nothing. Try again shortly, after the time in Retry-After.",
            ),
            retry_after=1,
        ),
        ProblemKind(
            "outcome_unknown",
            504,
            Words("결과를 아직 알 수 없습니다", "status_url에서 확인하거나 같은 Idempotency-Key로 다시 보내 주세요."),
            Words("Outcome not known yet", "Look at status_url, or repeat with the same Idempotency-Key."),
        ),
        ProblemKind(
            "internal_error",
            500,
            Words("서버에 문제가 생겼습니다", "trace_id를 알려 주시면 원인을 찾을 수 있습니다."),
            Words("Something went wrong", "Tell us the trace_id and we can find the cause."),
        ),
    )
}
"""The problems that no message declares. The gateway raises some declared ones too, e.g. `invalid` and `wrong_role`."""


def kind_of(code: str) -> ProblemKind:
    """Return the kind of a code; of a code that nobody declares, a conflict in general words."""
    if code in GATEWAY_KINDS:
        return GATEWAY_KINDS[code]
    declared = REFUSALS.get(code, Refused)
    return ProblemKind(code, declared.status, declared.ko, declared.en, declared.retry_after)


def is_known(code: str) -> bool:
    """Whether the gateway or a message declares a code."""
    return code in GATEWAY_KINDS or code in REFUSALS
