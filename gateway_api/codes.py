"""Every problem `code` of the API: its status, and its text in both languages."""

from __future__ import annotations

from typing import NamedTuple

from gateway_api.language import Language


class ProblemText(NamedTuple):
    title: str
    detail: str


class ProblemDefinition(NamedTuple):
    status: int
    ko: ProblemText
    en: ProblemText


def _code(status: int, title_ko: str, detail_ko: str, title_en: str, detail_en: str) -> ProblemDefinition:
    return ProblemDefinition(status, ProblemText(title_ko, detail_ko), ProblemText(title_en, detail_en))


CODES: dict[str, ProblemDefinition] = {
    # checks of the gateway, in their order
    "not_signed_in": _code(
        401,
        "로그인이 필요합니다",
        "유효한 토큰을 Authorization: Bearer 헤더로 보내 주세요.",
        "Not signed in",
        "Send a valid token in the Authorization: Bearer header.",
    ),
    "wrong_role": _code(
        403,
        "권한이 없습니다",
        "이 요청은 다른 권한을 가진 사람만 할 수 있습니다.",
        "Not allowed",
        "This request needs another role.",
    ),
    "too_many_requests": _code(
        429,
        "요청이 너무 많습니다",
        "Retry-After에 적힌 시간 뒤에 다시 시도해 주세요.",
        "Too many requests",
        "Try again after the time in Retry-After.",
    ),
    "too_large": _code(
        413,
        "요청 본문이 너무 큽니다",
        "본문의 크기를 줄여 주세요.",
        "Body too large",
        "Send a smaller body.",
    ),
    "bad_json": _code(
        400,
        "JSON이 아닙니다",
        "본문은 UTF-8로 쓴 올바른 JSON이어야 합니다.",
        "Not JSON",
        "The body must be valid JSON in UTF-8.",
    ),
    "card_number_refused": _code(
        422,
        "카드 번호는 받지 않습니다",
        "카드 번호 대신 결제 토큰을 보내 주세요. 보낸 내용은 저장하지 않았습니다.",
        "Card numbers are not accepted",
        "Send a payment token instead of a card number. Nothing was stored.",
    ),
    "invalid": _code(
        422,
        "요청이 올바르지 않습니다",
        "errors에 적힌 항목을 고쳐 주세요.",
        "Invalid request",
        "Correct what is listed in errors.",
    ),
    "not_found": _code(
        404,
        "찾을 수 없습니다",
        "이 주소에는 볼 수 있는 것이 없습니다.",
        "Not found",
        "There is nothing here that you may see.",
    ),
    # the HTTP server, before any route
    "bad_request": _code(
        400,
        "HTTP 요청이 아닙니다",
        "HTTP/1.1 형식에 맞는 요청을 보내 주세요.",
        "Not an HTTP request",
        "Send a request that is valid HTTP/1.1.",
    ),
    "uri_too_long": _code(
        414,
        "주소가 너무 깁니다",
        "경로와 질의를 줄여 주세요.",
        "Address too long",
        "Shorten the path or the query.",
    ),
    "headers_too_large": _code(
        431,
        "요청 헤더가 너무 큽니다",
        "헤더의 수나 크기를 줄여 주세요.",
        "Headers too large",
        "Send fewer or smaller headers.",
    ),
    "request_timeout": _code(
        408,
        "요청이 제때 오지 않았습니다",
        "이 요청으로 바뀐 것은 없습니다. 요청 전체를 한 번에 다시 보내 주세요.",
        "The request took too long",
        "This request changed nothing. Send the whole of it again without pauses.",
    ),
    "method_not_allowed": _code(
        405,
        "허용되지 않는 메서드입니다",
        "Allow 헤더에 적힌 메서드만 쓸 수 있습니다.",
        "Method not allowed",
        "Use one of the methods in the Allow header.",
    ),
    # idempotency
    "idempotency_key_reused": _code(
        422,
        "이미 다른 요청에 쓰인 키입니다",
        "다른 내용에는 새 Idempotency-Key를 쓰세요.",
        "Idempotency key used before",
        "This key belongs to another request; use a new one.",
    ),
    "still_running": _code(
        409,
        "같은 요청을 처리하고 있습니다",
        "잠시 뒤 같은 Idempotency-Key로 다시 보내면 결과를 알 수 있습니다.",
        "The same request is being processed",
        "Repeat it shortly with the same Idempotency-Key to get its outcome.",
    ),
    # no answer, or not in time
    "unavailable": _code(
        503,
        "잠시 이용할 수 없습니다",
        "이 요청으로 바뀐 것은 없습니다. 잠시 후 다시 시도해 주세요.",
        "Not available now",
        "This request changed nothing. Try again shortly, after the time in Retry-After.",
    ),
    "outcome_unknown": _code(
        504,
        "결과를 아직 알 수 없습니다",
        "status_url에서 확인하거나 같은 Idempotency-Key로 다시 보내 주세요.",
        "Outcome not known yet",
        "Look at status_url, or repeat with the same Idempotency-Key.",
    ),
    "payment_unavailable": _code(
        503,
        "결제를 할 수 없습니다",
        "결제 응답이 없어 취소했고 받은 돈은 없습니다. 새 Idempotency-Key로 다시 시도해 주세요.",
        "Payment not available",
        "Payment did not answer; this was cancelled and no money is kept. Try again with a new Idempotency-Key.",
    ),
    "ticket_unavailable": _code(
        503,
        "티켓을 확인할 수 없습니다",
        "예약하지 않았습니다. 새 Idempotency-Key로 다시 시도해 주세요.",
        "Tickets not available",
        "Nothing was reserved. Try again with a new Idempotency-Key.",
    ),
    "bike_unavailable": _code(
        503,
        "자전거를 확인할 수 없습니다",
        "대여를 시작하지 않았습니다. 새 Idempotency-Key로 다시 시도해 주세요.",
        "Bikes not available",
        "No ride was started. Try again with a new Idempotency-Key.",
    ),
    "still_confirming": _code(
        503,
        "아직 확인하고 있습니다",
        "처리가 계속되고 있습니다. 다시 보내도 괜찮습니다.",
        "Still being confirmed",
        "It goes on by itself; repeating is harmless.",
    ),
    # business refusals
    "payment_declined": _code(
        402,
        "결제가 거절되었습니다",
        "다른 결제 수단을 써 주세요.",
        "Payment declined",
        "Use another means of payment.",
    ),
    "wrong_state": _code(
        409,
        "지금 상태에서는 할 수 없습니다",
        "current_status를 확인해 주세요.",
        "Not possible in this state",
        "See current_status.",
    ),
    "late_fee_owed": _code(
        409,
        "내지 않은 연체료가 있습니다",
        "연체료를 낸 뒤에 예약할 수 있습니다.",
        "A late fee is owed",
        "Pay the late fee before booking again.",
    ),
    "already_booked": _code(
        409,
        "이미 예약한 비디오입니다",
        "같은 비디오는 한 번에 하나만 예약할 수 있습니다.",
        "Already booked",
        "You already have a booking of this video.",
    ),
    "video_not_available": _code(
        409,
        "지금 빌릴 수 없는 비디오입니다",
        "남은 비디오가 없거나 더 이상 빌려주지 않습니다.",
        "Video not available",
        "No copy is free, or the video is no longer lent.",
    ),
    "sold_out": _code(
        409,
        "품절되었습니다",
        "다른 메뉴를 골라 주세요.",
        "Sold out",
        "Choose something else.",
    ),
    "not_for_sale": _code(
        409,
        "아직 판매하지 않는 메뉴입니다",
        "가격이 정해지면 주문할 수 있습니다.",
        "Not for sale yet",
        "It can be ordered once it has a price.",
    ),
    "price_changed": _code(
        409,
        "가격이 바뀌었습니다",
        "주문하지 않았습니다. 지금 가격은 price에 있습니다.",
        "The price has changed",
        "Nothing was ordered. The price now is in price.",
    ),
    "stale_version": _code(
        409,
        "그 사이에 다른 사람이 바꿨습니다",
        "바꾸지 않았습니다. 지금 버전은 version에 있습니다. 다시 읽고 시도해 주세요.",
        "Changed by somebody else since",
        "Nothing was changed. The version now is in version: look again, then try again.",
    ),
    "ride_open": _code(
        409,
        "이미 타고 있는 자전거가 있습니다",
        "타고 있는 자전거를 반납한 뒤에 다시 빌릴 수 있습니다.",
        "A ride is open",
        "Return the bike that you have before taking another.",
    ),
    "debt_owed": _code(
        409,
        "내지 않은 이용료가 있습니다",
        "예치금을 충전해 밀린 이용료를 낸 뒤에 빌릴 수 있습니다.",
        "A fee is owed",
        "Top up your deposit to pay what is owed before riding again.",
    ),
    "deposit_too_low": _code(
        409,
        "예치금이 부족합니다",
        "예치금을 충전한 뒤에 빌릴 수 있습니다.",
        "Deposit too low",
        "Top up your deposit before riding.",
    ),
    "bike_broken": _code(
        409,
        "고장 난 자전거입니다",
        "다른 자전거를 골라 주세요.",
        "Bike broken",
        "Choose another bike.",
    ),
    "bike_not_available": _code(
        409,
        "다른 사람이 타고 있는 자전거입니다",
        "다른 자전거를 골라 주세요.",
        "Bike not available",
        "Somebody else has this bike; choose another.",
    ),
    "code_taken": _code(
        409,
        "이미 쓰이는 코드입니다",
        "다른 코드를 써 주세요.",
        "Code taken",
        "Another bike has this code.",
    ),
    "not_priced_yet": _code(
        409,
        "아직 가격이 정해지지 않았습니다",
        "잠시 뒤에 다시 시도해 주세요.",
        "Not priced yet",
        "Its price is not known yet; try again shortly.",
    ),
    "ticket_expired": _code(
        409,
        "만료된 티켓입니다",
        "이용 기간이 끝난 티켓은 예약할 수 없습니다.",
        "Ticket expired",
        "The time of this ticket is over.",
    ),
    "ticket_not_available": _code(
        409,
        "예약할 수 없는 티켓입니다",
        "다른 회원이 먼저 예약했습니다.",
        "Ticket not available",
        "Somebody else has reserved this ticket.",
    ),
    "closed": _code(
        409,
        "예약을 받지 않는 상품입니다",
        "이 상품은 지금 사전예약을 받지 않습니다.",
        "Closed",
        "This product is not open for reservations.",
    ),
    "already_reserved": _code(
        409,
        "이미 예약한 상품입니다",
        "같은 상품은 한 번에 하나만 예약할 수 있습니다.",
        "Already reserved",
        "You already have an active reservation of this product.",
    ),
    "quota_full": _code(
        409,
        "예약이 모두 찼습니다",
        "준비된 수량이 모두 예약되었습니다.",
        "Fully reserved",
        "Every one that is on offer is reserved.",
    ),
    "cancelled": _code(
        409,
        "결제하는 동안 취소되었습니다",
        "취소되어 예약하지 않았고 받은 돈은 돌려드립니다.",
        "Cancelled meanwhile",
        "This was cancelled before the payment came; no money is kept.",
    ),
    "refund_too_large": _code(
        409,
        "환불할 수 있는 금액을 넘었습니다",
        "남은 금액까지만 환불할 수 있습니다.",
        "Refund too large",
        "No more than what is left can be refunded.",
    ),
    "not_replayable": _code(
        409,
        "다시 처리할 수 없는 메시지입니다",
        "읽을 수 없는 메시지는 버리는 것만 가능합니다.",
        "Cannot be replayed",
        "A message that cannot be read can only be discarded.",
    ),
    "product_not_on_sale": _code(
        409,
        "판매하지 않는 상품입니다",
        "더 이상 주문할 수 없는 상품입니다.",
        "Product not on sale",
        "This product can no longer be ordered.",
    ),
    "amount_mismatch": _code(
        409,
        "입금액이 주문 금액과 다릅니다",
        "바뀐 것은 없습니다. expected에 적힌 금액을 확인해 주세요.",
        "Amount does not match",
        "Nothing was changed. See expected for the order's total.",
    ),
    "out_of_stock": _code(
        409,
        "재고가 부족합니다",
        "결제가 취소되었고 입금액을 돌려주어야 합니다. 재고가 들어오면 주문을 되살릴 수 있습니다.",
        "Out of stock",
        "The payment is cancelled and the money owed back. The order can be revived once there is stock.",
    ),
    "deadline_passed": _code(
        409,
        "입금 기한이 지난 주문입니다",
        "입금액을 돌려주거나 주문을 되살려 주세요 (revival).",
        "Deadline passed",
        "Give the money back, or revive the order (revival).",
    ),
    "internal_error": _code(
        500,
        "서버에 문제가 생겼습니다",
        "trace_id를 알려 주시면 원인을 찾을 수 있습니다.",
        "Something went wrong",
        "Tell us the trace_id and we can find the cause.",
    ),
}

OTHER_REFUSAL = _code(
    409,
    "지금은 할 수 없습니다",
    "업무 규칙에 따라 거절되었습니다.",
    "Not possible now",
    "A rule of the business refuses this.",
)
"""The definition of a refusal whose code is not in the table."""

RETRY_AFTER = {
    "unavailable": 1,
    "still_running": 1,
    "still_confirming": 1,
    "payment_unavailable": 5,
    "ticket_unavailable": 5,
    "bike_unavailable": 5,
}
"""`Retry-After` in whole seconds, where the reply has none."""


def text_of(code: str, language: Language) -> ProblemText:
    """Return title and detail of a code in one language."""
    definition = CODES.get(code, OTHER_REFUSAL)
    return definition.en if language == "en" else definition.ko
