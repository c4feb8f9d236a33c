"""A customer sees their own payments and refunds, staff sees all."""

from __future__ import annotations

import json

import pytest

from contracts.base import Caller, Query
from contracts.payments import ListPayments, ListRefunds, PaymentStatus, ShowPayment, ShowRefund
from tests.payments.conftest import KIM, STAFF, Site, request, rest_of

LEE = Caller(member_id="lee", role="customer")


async def looked(desk: Site, query: Query) -> dict:
    verdict = await desk.handle(query)
    return {"code": verdict.code} if verdict.code else json.loads(verdict.body)


@pytest.mark.parametrize(("caller", "sees"), [(KIM, True), (STAFF, True), (LEE, False)])
async def test_a_payment_is_seen_by_its_payer_and_by_staff(desk: Site, caller: Caller, sees: bool) -> None:
    wish = request()
    await desk.asked(wish)

    seen = await looked(desk, ShowPayment(payment_id=wish.payment_id, caller=caller))

    assert seen.get("code", "seen") == ("seen" if sees else "not_found")


@pytest.mark.parametrize(("caller", "sees"), [(KIM, True), (STAFF, True), (LEE, False)])
async def test_a_refund_is_seen_by_its_payer_and_by_staff(desk: Site, caller: Caller, sees: bool) -> None:
    wish = request()
    await desk.asked(wish)
    refund = rest_of(wish)
    await desk.tell(refund)

    seen = await looked(desk, ShowRefund(refund_id=refund.refund_id, caller=caller))

    assert seen.get("amount") == (9000 if sees else None)


async def test_pages_neither_skip_nor_repeat(desk: Site) -> None:
    wishes = [request(amount=1000 + n) for n in range(7)]
    for wish in wishes:
        await desk.asked(wish)

    pages, cursor = [], None
    while True:
        page = await looked(desk, ListPayments(payer="kim", limit=3, cursor=cursor))
        pages.append([item["amount"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert pages == [[1006, 1005, 1004], [1003, 1002, 1001], [1000]]


async def test_a_list_is_filtered(desk: Site) -> None:
    await desk.asked(request())
    await desk.asked(request("tok_declined"))

    declined = await looked(desk, ListPayments(status=PaymentStatus.DECLINED))
    others = await looked(desk, ListPayments(payer="lee"))

    assert [item["status"] for item in declined["items"]] == ["DECLINED"]
    assert others["items"] == []


async def test_a_refund_of_nothing_is_not_listed(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    await desk.tell(rest_of(wish))
    await desk.tell(rest_of(wish))

    page = await looked(desk, ListRefunds(payment_id=wish.payment_id))

    assert [item["amount"] for item in page["items"]] == [9000]


async def test_a_cursor_of_something_else_is_refused(desk: Site) -> None:
    assert await looked(desk, ListRefunds(cursor="bm9wZQ")) == {"code": "invalid"}
