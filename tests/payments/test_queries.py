"""Queries: a customer sees their own payments and refunds, staff see all."""

from __future__ import annotations

import json

import pytest

from contracts.base import Caller, Query
from contracts.payments import ListPayments, ListRefunds, PaymentStatus, ShowPayment, ShowRefund
from tests.payments.conftest import KIM, STAFF, Payments, request, rest_of

LEE = Caller(member_id="lee", role="customer")


async def query(payments: Payments, message: Query) -> dict:
    result = await payments.handle(message)
    return {"code": result.code} if result.code else json.loads(result.body)


@pytest.mark.parametrize(("caller", "sees"), [(KIM, True), (STAFF, True), (LEE, False)])
async def test_a_payment_is_seen_by_its_payer_and_by_staff(payments: Payments, caller: Caller, sees: bool) -> None:
    command = request()
    await payments.answer(command)

    seen = await query(payments, ShowPayment(payment_id=command.payment_id, caller=caller))

    assert seen.get("code", "seen") == ("seen" if sees else "not_found")


@pytest.mark.parametrize(("caller", "sees"), [(KIM, True), (STAFF, True), (LEE, False)])
async def test_a_refund_is_seen_by_its_payer_and_by_staff(payments: Payments, caller: Caller, sees: bool) -> None:
    command = request()
    await payments.answer(command)
    refund = rest_of(command)
    await payments.handle(refund)

    seen = await query(payments, ShowRefund(refund_id=refund.refund_id, caller=caller))

    assert seen.get("amount") == (9000 if sees else None)


async def test_pages_neither_skip_nor_repeat(payments: Payments) -> None:
    commands = [request(amount=1000 + n) for n in range(7)]
    for command in commands:
        await payments.answer(command)

    pages, cursor = [], None
    while True:
        page = await query(payments, ListPayments(payer="kim", limit=3, cursor=cursor))
        pages.append([item["amount"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert pages == [[1006, 1005, 1004], [1003, 1002, 1001], [1000]]


async def test_a_list_is_filtered(payments: Payments) -> None:
    await payments.answer(request())
    await payments.answer(request("tok_declined"))

    declined = await query(payments, ListPayments(status=PaymentStatus.DECLINED))
    others = await query(payments, ListPayments(payer="lee"))

    assert [item["status"] for item in declined["items"]] == ["DECLINED"]
    assert others["items"] == []


async def test_a_refund_of_nothing_is_not_listed(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    await payments.handle(rest_of(command))
    await payments.handle(rest_of(command))

    page = await query(payments, ListRefunds(payment_id=command.payment_id))

    assert [item["amount"] for item in page["items"]] == [9000]


async def test_a_cursor_of_something_else_is_refused(payments: Payments) -> None:
    assert await query(payments, ListRefunds(cursor="bm9wZQ")) == {"code": "invalid"}
