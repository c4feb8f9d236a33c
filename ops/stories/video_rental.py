"""The story of video rental: book, a declined and an unanswered payment, pick up, return, cancel with refund."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ops.stories.runner import Answer, Json, Person, StoryRunner, counted

TITLE = "Video rental"
BASE = "/v1/video-rental"


def booking(video: Json, token: str = "tok_visa", days: int = 1) -> Json:
    card = {"method": "card", "token": token, "last4": "4242", "brand": "visa"}
    return {"video_id": video["video_id"], "days": days, "payment": card}


async def play(runner: StoryRunner) -> None:
    kim, minji, jun = runner.staff("kim"), runner.customer("minji"), runner.customer("jun")
    video = await _registered(runner, kim, "Casablanca", copies=2)
    rental = await _booked_and_repeated(runner, minji, video)
    await _declined(runner, jun, video)
    unanswered = await _unanswered(runner, jun, video)
    await _lent(runner, kim, minji, video, rental)
    await _cancelled(runner, minji, video)
    await _last_copy(runner, kim)
    if unanswered:
        await _nothing_kept(runner, jun, unanswered)
    await _overview(runner, minji, jun)


async def _registered(runner: StoryRunner, staff: Person, title: str, copies: int) -> Json:
    new = {"title": f"{title} {runner.run}", "daily_price": 3000, "copies": copies}
    text = f"staff registers {title}, {copies} cop{'y' if copies == 1 else 'ies'}"
    video = (await runner.step(text, staff, "POST", f"{BASE}/videos", new, expect=201, code="AVAILABLE")).body
    await _free(runner, staff, video, copies, "rentals has received it")
    return video


async def _free(runner: StoryRunner, person: Person, video: Json, copies: int, text: str) -> None:
    await runner.until(
        text,
        lambda: person.send("GET", f"{BASE}/videos/{video['video_id']}"),
        lambda answer: answer.body["available"] == copies,
        within=5,
        shows=lambda answer: f"{answer.body.get('available')} of {answer.body.get('copies')} copies free",
    )


async def _booked_and_repeated(runner: StoryRunner, member: Person, video: Json) -> Json:
    key, body = str(uuid4()), booking(video, days=2)
    path = f"{BASE}/rentals"
    first = await runner.step(
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

    await runner.step(
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
    await _on_my_page(runner, "My Page shows the booking", member, first.body, "BOOKED")
    return first.body


async def _on_my_page(runner: StoryRunner, text: str, member: Person, rental: Json, status: str) -> Json:
    def shown(answer: Answer) -> str:
        events = [line["what"] for line in answer.body.get("timeline", [])]
        reason = f" ({answer.body['reason']})" if answer.body.get("reason") else ""
        return f"{answer.code}{reason}, {len(events)} events"

    answer = await runner.until(
        text,
        lambda: member.send("GET", f"{BASE}/my-page/{rental['rental_id']}"),
        lambda answer: answer.body["status"] == status and answer.body["title"] is not None,
        within=5,
        shows=shown,
    )
    return answer.body


async def _declined(runner: StoryRunner, member: Person, video: Json) -> None:
    answer = await runner.step(
        "another books, the card is declined",
        member,
        "POST",
        f"{BASE}/rentals",
        booking(video, "tok_declined"),
        expect=402,
        code="payment_declined",
    )
    await _on_my_page(runner, "My Page shows it with the reason", member, answer.body, "REJECTED")
    await _free(runner, member, video, 1, "the copy is free again")


async def _unanswered(runner: StoryRunner, member: Person, video: Json) -> Json | None:
    """The cancelled rental; None where the provider's slowness is shorter than the time limit."""
    if runner.settings.payments_slow_seconds * 1000 <= runner.settings.payments_provider_ms:
        runner.report("the payment provider does not answer", "", "skipped: the provider is never slow here", 0)
        return None
    answer = await runner.step(
        "the payment provider does not answer",
        member,
        "POST",
        f"{BASE}/rentals",
        booking(video, "tok_slow"),
        expect=503,
        code="payment_unavailable",
        shows=lambda answer: f"{answer.code}, Retry-After {answer.headers.get('retry-after')}",
        must=lambda answer: None if answer.headers.get("retry-after") else "expected Retry-After",
    )
    shown = await _on_my_page(runner, "the booking is cancelled", member, answer.body, "CANCELLED")
    payment = await _payment(runner, "was anything charged?", member, shown["payment_id"])
    if payment["status"] == "VOIDING":
        runner.report("the outcome is still unknown", "", "a late charge will be voided", 0)
    await _free(runner, member, video, 1, "the copy is free again")
    return shown


async def _payment(runner: StoryRunner, text: str, member: Person, payment_id: str) -> Json:
    answer = await runner.until(
        text,
        lambda: member.send("GET", f"/v1/payments/{payment_id}"),
        lambda answer: answer.body["status"] in ("VOIDING", "VOIDED"),
        within=5,
        shows=lambda answer: f"{answer.code}, {_kept(answer.body)} won kept",
    )
    return answer.body


def _kept(payment: Json) -> int:
    return int(payment.get("captured", 0)) - int(payment.get("refunded", 0))


async def _nothing_kept(runner: StoryRunner, member: Person, rental: Json) -> None:
    """Wait until the charge is voided; the provider may still charge while it is slow, and voids are retried."""
    answer = await runner.until(
        "the unanswered payment: nothing is kept",
        lambda: member.send("GET", f"/v1/payments/{rental['payment_id']}"),
        lambda answer: answer.body["status"] == "VOIDED",
        within=2 * runner.settings.payments_slow_seconds + 20,
        shows=lambda answer: f"{answer.code}, {_kept(answer.body)} won kept",
    )
    runner.require(_kept(answer.body) == 0, "the unanswered payment", f"{_kept(answer.body)} won are kept")


async def _lent(runner: StoryRunner, staff: Person, member: Person, video: Json, rental: Json) -> None:
    path = f"{BASE}/rentals/{rental['rental_id']}"
    await runner.step(
        "the member picks it up",
        member,
        "POST",
        f"{path}/pickup",
        code="RENTED",
        shows=lambda answer: f"RENTED, due {answer.body['due_at']}",
        must=lambda answer: None if answer.body["due_at"] else "expected due_at",
    )
    await runner.step("too late to cancel", member, "POST", f"{path}/cancellation", {}, expect=409, code="wrong_state")
    await runner.step(
        "staff takes it back",
        staff,
        "POST",
        f"{path}/return",
        code="RETURNED",
        shows=lambda answer: f"RETURNED, late fee {answer.body['late_fee']} won",
        must=lambda answer: None if answer.body["late_fee"] == 0 else "expected no late fee",
    )
    await _free(runner, member, video, 2, "both copies are free")


async def _cancelled(runner: StoryRunner, member: Person, video: Json) -> None:
    rental = await runner.step(
        "the member books again", member, "POST", f"{BASE}/rentals", booking(video), expect=201, code="BOOKED"
    )
    path = f"{BASE}/rentals/{rental.body['rental_id']}"
    await runner.step(
        "and cancels", member, "POST", f"{path}/cancellation", {"reason": "changed my mind"}, code="CANCELLED"
    )

    def refund(answer: Answer) -> Json:
        found: Json = answer.body.get("refund") or {}
        return found

    await runner.until(
        "the money is back",
        lambda: member.send("GET", f"{BASE}/my-page/{rental.body['rental_id']}"),
        lambda answer: refund(answer).get("status") == "REFUNDED" and refund(answer).get("amount") == 3000,
        within=20,
        shows=lambda answer: f"{answer.code}, refund {refund(answer).get('status')} {refund(answer).get('amount')} won",
    )


async def _last_copy(runner: StoryRunner, staff: Person) -> None:
    video = await _registered(runner, staff, "Oldboy", copies=1)
    members = [runner.customer("first"), runner.customer("second")]
    answers = await asyncio.gather(*(member.send("POST", f"{BASE}/rentals", booking(video)) for member in members))
    text = "two members, one copy, the same instant"
    came = sorted((answer.status, answer.code) for answer in answers)
    outcome = " and ".join(f"{status} {code}" for status, code in came)
    runner.report(text, "POST", outcome, max(answer.took_ms for answer in answers))
    runner.require(came == [(201, "BOOKED"), (409, "video_not_available")], text, outcome)


async def _overview(runner: StoryRunner, *members: Person) -> None:
    for member in members:
        await runner.step(
            f"My Page of {member.name.partition('-')[0]}",
            member,
            "GET",
            f"{BASE}/my-page",
            shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected rentals",
        )
