"""Phone pre-order, played: offer, reserve, receipt, decline, silent payment, cancel, the last one, my reservations."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ops.stories.stage import Answer, Json, Person, Stage, counted

TITLE = "Phone pre-order"
BASE = "/v1/preorder"
PRICE = 1_350_000
SEOUL = ZoneInfo("Asia/Seoul")


def wish(product: Json, token: str = "tok_visa") -> Json:
    card = {"method": "card", "token": token, "last4": "4242", "brand": "visa"}
    return {"product_id": product["product_id"], "address": "Sejong-daero 110, Seoul", "payment": card}


async def play(stage: Stage) -> None:
    kim, minji, jun = stage.staff("kim"), stage.customer("minji"), stage.customer("jun")
    product = await _offered(stage, kim, "Haneul 9", quota=5)
    reservation = await _reserved(stage, minji, product)
    await _receipt(stage, minji, reservation)
    await stage.step(
        "one to a member", minji, "POST", f"{BASE}/reservations", wish(product), expect=409, code="already_reserved"
    )
    await _declined(stage, jun, product)
    silent = await _silent(stage, jun, product)
    await _cancelled(stage, minji, reservation)
    await _last_one(stage, kim)
    await stage.step(
        "staff closes the product",
        kim,
        "PATCH",
        f"{BASE}/products/{product['product_id']}",
        {"status": "CLOSED"},
        code="CLOSED",
    )
    if silent:
        await _nothing_kept(stage, jun, silent)
    await _overview(stage, minji, jun)


async def _offered(stage: Stage, staff: Person, name: str, quota: int) -> Json:
    new = {"name": f"{name} {stage.run}", "price": PRICE, "quota": quota}
    text = f"staff offers {name}, {quota} of it"
    return (await stage.step(text, staff, "POST", f"{BASE}/products", new, expect=201, code="OPEN")).body


async def _reserved(stage: Stage, member: Person, product: Json) -> Json:
    def right(answer: Answer) -> str | None:
        if "address" in answer.body:
            return "the address is told"
        return None if answer.body["price"] == PRICE else f"the price is {answer.body['price']}"

    answer = await stage.step(
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


async def _mine(stage: Stage, text: str, member: Person, reservation: Json, status: str, within: float = 5) -> Json:
    answer = await stage.until(
        text,
        lambda: member.ask("GET", f"{BASE}/my-reservations/{reservation['reservation_id']}"),
        lambda answer: answer.body["status"] == status and answer.body["product"] is not None,
        within=within,
        shows=lambda answer: f"{answer.code}, {len(answer.body.get('timeline', []))} events",
    )
    return answer.body


async def _receipt(stage: Stage, member: Person, reservation: Json) -> None:
    answer = await stage.until(
        "the receipt says when to expect it",
        lambda: member.ask("GET", f"{BASE}/my-reservations/{reservation['reservation_id']}"),
        lambda answer: answer.body["receipt"] is not None,
        within=5,
        shows=lambda answer: f"expected on {(answer.body.get('receipt') or {}).get('expected_delivery')}",
    )
    paid = datetime.fromisoformat(reservation["paid_at"]).astimezone(SEOUL).date()
    expected = (paid + timedelta(days=21)).isoformat()
    came = answer.body["receipt"]["expected_delivery"]
    stage.must(came == expected, "the receipt", f"expected on {came}, not on {expected}")


async def _declined(stage: Stage, member: Person, product: Json) -> None:
    answer = await stage.step(
        "another reserves, the card is declined",
        member,
        "POST",
        f"{BASE}/reservations",
        wish(product, "tok_declined"),
        expect=402,
        code="payment_declined",
    )
    await _mine(stage, "it stays visible, rejected", member, answer.body, "REJECTED")


async def _silent(stage: Stage, member: Person, product: Json) -> Json | None:
    """The cancelled reservation; None where the provider's slowness is short enough to be waited for."""
    if stage.settings.payments_slow_seconds * 1000 <= stage.settings.payments_provider_ms:
        stage.note("the payment provider is silent", "", "left out: here it is never slow", 0)
        return None
    answer = await stage.step(
        "the payment provider is silent",
        member,
        "POST",
        f"{BASE}/reservations",
        wish(product, "tok_slow"),
        expect=503,
        code="payment_unavailable",
        shows=lambda answer: f"{answer.code}, Retry-After {answer.headers.get('retry-after')}",
    )
    return await _mine(stage, "no reservation stands", member, answer.body, "CANCELLED")


async def _nothing_kept(stage: Stage, member: Person, reservation: Json) -> None:
    """The provider may still charge for as long as it is slow; then the charge is voided, within growing delays."""
    await stage.until(
        "the silent payment: nothing is kept",
        lambda: member.ask("GET", f"/v1/payments/{reservation['payment_id']}"),
        lambda answer: answer.body["status"] == "VOIDED" and answer.body["captured"] == answer.body["refunded"],
        within=2 * stage.settings.payments_slow_seconds + 20,
        shows=lambda answer: f"{answer.code}, {answer.body.get('captured')} won kept",
    )


async def _cancelled(stage: Stage, member: Person, reservation: Json) -> None:
    path = f"{BASE}/reservations/{reservation['reservation_id']}/cancellation"
    await stage.step("the member cancels", member, "POST", path, {"reason": "changed my mind"}, code="CANCELLING")
    seen = await _mine(stage, "it is cancelled", member, reservation, "CANCELLED", within=20)

    def parts(answer: Answer) -> str:
        receipt, refund = (answer.body.get(part) or {} for part in ("receipt", "refund"))
        return f"refund {refund.get('status')}, receipt {receipt.get('status')}"

    await stage.until(
        "the money is back, the receipt void",
        lambda: member.ask("GET", f"{BASE}/my-reservations/{seen['reservation_id']}"),
        lambda answer: parts(answer) == "refund REFUNDED, receipt VOIDED",
        within=5,
        shows=parts,
    )


async def _last_one(stage: Stage, staff: Person) -> None:
    product = await _offered(stage, staff, "Byeol", quota=1)
    members = [stage.customer("first"), stage.customer("second")]
    answers = await asyncio.gather(*(member.ask("POST", f"{BASE}/reservations", wish(product)) for member in members))
    text = "two members, the last one, at once"
    came = sorted((answer.status, answer.code) for answer in answers)
    outcome = " and ".join(f"{status} {code}" for status, code in came)
    stage.note(text, "POST", outcome, max(answer.took_ms for answer in answers))
    stage.must(came == [(201, "CONFIRMED"), (409, "quota_full")], text, outcome)


async def _overview(stage: Stage, *members: Person) -> None:
    for member in members:
        await stage.step(
            f"reservations of {member.name.partition('-')[0]}",
            member,
            "GET",
            f"{BASE}/my-reservations",
            shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected reservations",
        )
