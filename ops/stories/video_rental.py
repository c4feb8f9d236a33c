"""Video rental, played: register, book, decline, silent payment, cancel with refund, pick up, return, My Page."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ops.stories.stage import Answer, Json, Person, Stage, counted

TITLE = "Video rental"
BASE = "/v1/video-rental"


def booking(video: Json, token: str = "tok_visa", days: int = 1) -> Json:
    card = {"method": "card", "token": token, "last4": "4242", "brand": "visa"}
    return {"video_id": video["video_id"], "days": days, "payment": card}


async def play(stage: Stage) -> None:
    kim, minji, jun = stage.staff("kim"), stage.customer("minji"), stage.customer("jun")
    video = await _registered(stage, kim, "Casablanca", copies=2)
    rental = await _booked_and_repeated(stage, minji, video)
    await _declined(stage, jun, video)
    silent = await _silent(stage, jun, video)
    await _lent(stage, kim, minji, video, rental)
    await _cancelled(stage, minji, video)
    await _last_copy(stage, kim)
    if silent:
        await _nothing_kept(stage, jun, silent)
    await _overview(stage, minji, jun)


async def _registered(stage: Stage, staff: Person, title: str, copies: int) -> Json:
    new = {"title": f"{title} {stage.run}", "daily_price": 3000, "copies": copies}
    text = f"staff registers {title}, {copies} cop{'y' if copies == 1 else 'ies'}"
    video = (await stage.step(text, staff, "POST", f"{BASE}/videos", new, expect=201, code="AVAILABLE")).body
    await _free(stage, staff, video, copies, "rentals has heard of it")
    return video


async def _free(stage: Stage, person: Person, video: Json, copies: int, text: str) -> None:
    await stage.until(
        text,
        lambda: person.ask("GET", f"{BASE}/videos/{video['video_id']}"),
        lambda answer: answer.body["available"] == copies,
        within=5,
        shows=lambda answer: f"{answer.body.get('available')} of {answer.body.get('copies')} copies free",
    )


async def _booked_and_repeated(stage: Stage, member: Person, video: Json) -> Json:
    key, body = str(uuid4()), booking(video, days=2)
    path = f"{BASE}/rentals"
    first = await stage.step(
        "a member books for 2 days and pays",
        member,
        "POST",
        path,
        body,
        expect=201,
        code="BOOKED",
        key=key,
        shows=lambda answer: f"BOOKED for {answer.body['price']} won",
        must=lambda answer: None if answer.body["price"] == 6000 else f"the price is {answer.body['price']}",
    )

    def the_same(answer: Answer) -> str | None:
        if answer.headers.get("idempotency-replayed") != "true":
            return "expected Idempotency-Replayed: true"
        return None if answer.body == first.body else "another body than the first time"

    await stage.step(
        "the same request again, same key",
        member,
        "POST",
        path,
        body,
        expect=201,
        key=key,
        must=the_same,
        shows=lambda _: "the first answer again",
    )
    await _on_my_page(stage, "My Page shows the booking", member, first.body, "BOOKED")
    return first.body


async def _on_my_page(stage: Stage, text: str, member: Person, rental: Json, status: str) -> Json:
    def shown(answer: Answer) -> str:
        told = [line["what"] for line in answer.body.get("timeline", [])]
        reason = f" ({answer.body['reason']})" if answer.body.get("reason") else ""
        return f"{answer.code}{reason}, {len(told)} events"

    answer = await stage.until(
        text,
        lambda: member.ask("GET", f"{BASE}/my-page/{rental['rental_id']}"),
        lambda answer: answer.body["status"] == status and answer.body["title"] is not None,
        within=5,
        shows=shown,
    )
    return answer.body


async def _declined(stage: Stage, member: Person, video: Json) -> None:
    answer = await stage.step(
        "another books, the card is declined",
        member,
        "POST",
        f"{BASE}/rentals",
        booking(video, "tok_declined"),
        expect=402,
        code="payment_declined",
    )
    await _on_my_page(stage, "My Page shows it with the reason", member, answer.body, "REJECTED")
    await _free(stage, member, video, 1, "the copy is free again")


async def _silent(stage: Stage, member: Person, video: Json) -> Json | None:
    """The cancelled rental; None where the provider's slowness is short enough to be waited for."""
    if stage.settings.payments_slow_seconds * 1000 <= stage.settings.payments_provider_ms:
        stage.note("the payment provider is silent", "", "left out: here it is never slow", 0)
        return None
    answer = await stage.step(
        "the payment provider is silent",
        member,
        "POST",
        f"{BASE}/rentals",
        booking(video, "tok_slow"),
        expect=503,
        code="payment_unavailable",
        shows=lambda answer: f"{answer.code}, Retry-After {answer.headers.get('retry-after')}",
        must=lambda answer: None if answer.headers.get("retry-after") else "expected Retry-After",
    )
    shown = await _on_my_page(stage, "no booking stands", member, answer.body, "CANCELLED")
    payment = await _payment(stage, "was anything charged?", member, shown["payment_id"])
    if payment["status"] == "VOIDING":
        stage.note("we are still checking, and come back to it", "", "a late charge will be voided", 0)
    await _free(stage, member, video, 1, "the copy is free again")
    return shown


async def _payment(stage: Stage, text: str, member: Person, payment_id: str) -> Json:
    answer = await stage.until(
        text,
        lambda: member.ask("GET", f"/v1/payments/{payment_id}"),
        lambda answer: answer.body["status"] in ("VOIDING", "VOIDED"),
        within=5,
        shows=lambda answer: f"{answer.code}, {_kept(answer.body)} won kept",
    )
    return answer.body


def _kept(payment: Json) -> int:
    return int(payment.get("captured", 0)) - int(payment.get("refunded", 0))


async def _nothing_kept(stage: Stage, member: Person, rental: Json) -> None:
    """The provider may still charge for as long as it is slow; then the charge is voided, within growing delays."""
    answer = await stage.until(
        "the silent payment: nothing is kept",
        lambda: member.ask("GET", f"/v1/payments/{rental['payment_id']}"),
        lambda answer: answer.body["status"] == "VOIDED",
        within=2 * stage.settings.payments_slow_seconds + 20,
        shows=lambda answer: f"{answer.code}, {_kept(answer.body)} won kept",
    )
    stage.must(_kept(answer.body) == 0, "the silent payment", f"{_kept(answer.body)} won are kept")


async def _lent(stage: Stage, staff: Person, member: Person, video: Json, rental: Json) -> None:
    path = f"{BASE}/rentals/{rental['rental_id']}"
    await stage.step(
        "the member picks it up",
        member,
        "POST",
        f"{path}/pickup",
        code="RENTED",
        shows=lambda answer: f"RENTED, due {answer.body['due_at']}",
        must=lambda answer: None if answer.body["due_at"] else "expected due_at",
    )
    await stage.step("too late to cancel", member, "POST", f"{path}/cancellation", {}, expect=409, code="wrong_state")
    await stage.step(
        "staff takes it back",
        staff,
        "POST",
        f"{path}/return",
        code="RETURNED",
        shows=lambda answer: f"RETURNED, late fee {answer.body['late_fee']} won",
        must=lambda answer: None if answer.body["late_fee"] == 0 else "expected no late fee",
    )
    await _free(stage, member, video, 2, "both copies are free")


async def _cancelled(stage: Stage, member: Person, video: Json) -> None:
    rental = await stage.step(
        "the member books again", member, "POST", f"{BASE}/rentals", booking(video), expect=201, code="BOOKED"
    )
    path = f"{BASE}/rentals/{rental.body['rental_id']}"
    await stage.step(
        "and cancels", member, "POST", f"{path}/cancellation", {"reason": "changed my mind"}, code="CANCELLED"
    )

    def refund(answer: Answer) -> Json:
        found: Json = answer.body.get("refund") or {}
        return found

    await stage.until(
        "the money is back",
        lambda: member.ask("GET", f"{BASE}/my-page/{rental.body['rental_id']}"),
        lambda answer: refund(answer).get("status") == "REFUNDED" and refund(answer).get("amount") == 3000,
        within=20,
        shows=lambda answer: f"{answer.code}, refund {refund(answer).get('status')} {refund(answer).get('amount')} won",
    )


async def _last_copy(stage: Stage, staff: Person) -> None:
    video = await _registered(stage, staff, "Oldboy", copies=1)
    members = [stage.customer("first"), stage.customer("second")]
    answers = await asyncio.gather(*(member.ask("POST", f"{BASE}/rentals", booking(video)) for member in members))
    text = "two members, one copy, the same instant"
    came = sorted((answer.status, answer.code) for answer in answers)
    outcome = " and ".join(f"{status} {code}" for status, code in came)
    stage.note(text, "POST", outcome, max(answer.took_ms for answer in answers))
    stage.must(came == [(201, "BOOKED"), (409, "video_not_available")], text, outcome)


async def _overview(stage: Stage, *members: Person) -> None:
    for member in members:
        await stage.step(
            f"My Page of {member.name.partition('-')[0]}",
            member,
            "GET",
            f"{BASE}/my-page",
            shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected rentals",
        )
