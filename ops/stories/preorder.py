"""The story of phone pre-order: offer, reserve, receipt, a declined and an unanswered payment, cancel, the last one."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ops.stories.runner import Answer, Json, Person, StoryRunner, counted

TITLE = "Phone pre-order"
BASE = "/v1/preorder"
PRICE = 1_350_000
SEOUL = ZoneInfo("Asia/Seoul")


def wish(product: Json, token: str = "tok_visa") -> Json:
    card = {"method": "card", "token": token, "last4": "4242", "brand": "visa"}
    return {"product_id": product["product_id"], "address": "Sejong-daero 110, Seoul", "payment": card}


async def play(runner: StoryRunner) -> None:
    kim, minji, jun = runner.staff("kim"), runner.customer("minji"), runner.customer("jun")
    product = await _offered(runner, kim, "Haneul 9", quota=5)
    reservation = await _reserved(runner, minji, product)
    await _receipt(runner, minji, reservation)
    await runner.step(
        "one to a member", minji, "POST", f"{BASE}/reservations", wish(product), expect=409, code="already_reserved"
    )
    await _declined(runner, jun, product)
    unanswered = await _unanswered(runner, jun, product)
    await _cancelled(runner, minji, reservation)
    await _last_one(runner, kim)
    await runner.step(
        "staff closes the product",
        kim,
        "PATCH",
        f"{BASE}/products/{product['product_id']}",
        {"status": "CLOSED"},
        code="CLOSED",
    )
    if unanswered:
        await _nothing_kept(runner, jun, unanswered)
    await _overview(runner, minji, jun)


async def _offered(runner: StoryRunner, staff: Person, name: str, quota: int) -> Json:
    new = {"name": f"{name} {runner.run}", "price": PRICE, "quota": quota}
    text = f"staff offers {name}, {quota} of it"
    return (await runner.step(text, staff, "POST", f"{BASE}/products", new, expect=201, code="OPEN")).body


async def _reserved(runner: StoryRunner, member: Person, product: Json) -> Json:
    def right(answer: Answer) -> str | None:
        if "address" in answer.body:
            return "the response contains the address"
        return None if answer.body["price"] == PRICE else f"the price is {answer.body['price']}"

    answer = await runner.step(
        "a member reserves and pays",
        member,
        "POST",
        f"{BASE}/reservations",
        wish(product),
        expect=201,
        code="CONFIRMED",
        shows=lambda answer: f"CONFIRMED for {answer.body['price']} won",
        must=right,
    )
    return answer.body


async def _mine(
    runner: StoryRunner, text: str, member: Person, reservation: Json, status: str, within: float = 5
) -> Json:
    answer = await runner.until(
        text,
        lambda: member.send("GET", f"{BASE}/my-reservations/{reservation['reservation_id']}"),
        lambda answer: answer.body["status"] == status and answer.body["product"] is not None,
        within=within,
        shows=lambda answer: f"{answer.code}, {len(answer.body.get('timeline', []))} events",
    )
    return answer.body


async def _receipt(runner: StoryRunner, member: Person, reservation: Json) -> None:
    answer = await runner.until(
        "the receipt says when to expect it",
        lambda: member.send("GET", f"{BASE}/my-reservations/{reservation['reservation_id']}"),
        lambda answer: answer.body["receipt"] is not None,
        within=5,
        shows=lambda answer: f"expected on {(answer.body.get('receipt') or {}).get('expected_delivery')}",
    )
    paid = datetime.fromisoformat(reservation["paid_at"]).astimezone(SEOUL).date()
    expected = (paid + timedelta(days=21)).isoformat()
    came = answer.body["receipt"]["expected_delivery"]
    runner.require(came == expected, "the receipt", f"expected on {came}, not on {expected}")


async def _declined(runner: StoryRunner, member: Person, product: Json) -> None:
    answer = await runner.step(
        "another reserves, the card is declined",
        member,
        "POST",
        f"{BASE}/reservations",
        wish(product, "tok_declined"),
        expect=402,
        code="payment_declined",
    )
    await _mine(runner, "it stays visible, rejected", member, answer.body, "REJECTED")


async def _unanswered(runner: StoryRunner, member: Person, product: Json) -> Json | None:
    """The cancelled reservation; None where the provider's slowness is shorter than the time limit."""
    if runner.settings.payments_slow_seconds * 1000 <= runner.settings.payments_provider_ms:
        runner.report("the payment provider does not answer", "", "skipped: the provider is never slow here", 0)
        return None
    answer = await runner.step(
        "the payment provider does not answer",
        member,
        "POST",
        f"{BASE}/reservations",
        wish(product, "tok_slow"),
        expect=503,
        code="payment_unavailable",
        shows=lambda answer: f"{answer.code}, Retry-After {answer.headers.get('retry-after')}",
    )
    return await _mine(runner, "the reservation is cancelled", member, answer.body, "CANCELLED")


async def _nothing_kept(runner: StoryRunner, member: Person, reservation: Json) -> None:
    """Wait until the charge is voided; the provider may still charge while it is slow, and voids are retried."""
    await runner.until(
        "the unanswered payment: nothing is kept",
        lambda: member.send("GET", f"/v1/payments/{reservation['payment_id']}"),
        lambda answer: answer.body["status"] == "VOIDED" and answer.body["captured"] == answer.body["refunded"],
        within=2 * runner.settings.payments_slow_seconds + 20,
        shows=lambda answer: f"{answer.code}, {answer.body.get('captured')} won kept",
    )


async def _cancelled(runner: StoryRunner, member: Person, reservation: Json) -> None:
    path = f"{BASE}/reservations/{reservation['reservation_id']}/cancellation"
    await runner.step("the member cancels", member, "POST", path, {"reason": "changed my mind"}, code="CANCELLING")
    seen = await _mine(runner, "it is cancelled", member, reservation, "CANCELLED", within=20)

    def parts(answer: Answer) -> str:
        receipt, refund = (answer.body.get(part) or {} for part in ("receipt", "refund"))
        return f"refund {refund.get('status')}, receipt {receipt.get('status')}"

    await runner.until(
        "the money is back, the receipt void",
        lambda: member.send("GET", f"{BASE}/my-reservations/{seen['reservation_id']}"),
        lambda answer: parts(answer) == "refund REFUNDED, receipt VOIDED",
        within=5,
        shows=parts,
    )


async def _last_one(runner: StoryRunner, staff: Person) -> None:
    product = await _offered(runner, staff, "Byeol", quota=1)
    members = [runner.customer("first"), runner.customer("second")]
    answers = await asyncio.gather(*(member.send("POST", f"{BASE}/reservations", wish(product)) for member in members))
    text = "two members, the last one, at once"
    came = sorted((answer.status, answer.code) for answer in answers)
    outcome = " and ".join(f"{status} {code}" for status, code in came)
    runner.report(text, "POST", outcome, max(answer.took_ms for answer in answers))
    runner.require(came == [(201, "CONFIRMED"), (409, "quota_full")], text, outcome)


async def _overview(runner: StoryRunner, *members: Person) -> None:
    for member in members:
        await runner.step(
            f"reservations of {member.name.partition('-')[0]}",
            member,
            "GET",
            f"{BASE}/my-reservations",
            shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected reservations",
        )
