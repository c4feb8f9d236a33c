"""The dashboard shows the last audit and the money balance."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_api.console import dashboard
from gateway_api.console.words import Count, Money
from ops.audit import INVARIANTS

AT, NOW = "2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z"


def audit(**changes: Any) -> dict[str, Any]:
    well = {"invariant": "I4", "title": "money balance", "discrepancies": 0, "first": [], "not_checkable": None}
    report = {"invariants": [well], "money_kept": 3000, "money_due": 3000, "took_seconds": 0.2, "at": AT}
    changed = {name: changes.pop(name) for name in list(changes) if name in well}
    return {**report, "invariants": [{**well, **changed}], **changes}


def system(report: dict[str, Any] | None) -> dict[str, Any]:
    return {"standings": [], "minutes": [], "open_letters": 0, "read_to": 0, "as_of": NOW, "audit": report}


def test_every_invariant_has_a_label():
    assert dashboard.INVARIANTS.keys() == INVARIANTS.keys()


@pytest.mark.parametrize(
    ("report", "value", "tone"),
    [
        (None, dashboard.NOT_YET, "wait"),
        (audit(), dashboard.ALL_WELL, "good"),
        (audit(at="2026-03-01T11:30:00Z"), dashboard.ALL_WELL, "wait"),
        (audit(discrepancies=2, first=["a", "b"]), Count(2, "건 어긋남", "discrepancies"), "bad"),
        (audit(not_checkable="the database is away"), Count(1, "가지 점검 못 함", "not checkable"), "wait"),
    ],
    ids=["none yet", "well", "old", "wrong", "not checkable"],
)
def test_the_last_audit_is_shown_as_a_figure(report, value, tone):
    first = dashboard.audit_measures(report, NOW)[0]

    assert (first.value, first.tone) == (value, tone)


@pytest.mark.parametrize(("kept", "balance", "tone"), [(3000, 0, "good"), (4500, 1500, "bad"), (1000, -2000, "bad")])
def test_a_money_difference_is_shown_as_bad(kept, balance, tone):
    _, money = dashboard.audit_measures(audit(money_kept=kept), NOW)

    assert (money.value, money.tone) == (Money(balance), tone)


async def test_the_page_lists_discrepancies_and_escapes_them(browser, rpc):
    report = audit(discrepancies=1, first=["rental <b>1</b> has no charge"], money_kept=0)
    rpc.replies_with("journal.show_town", system(report))
    await browser.sign_in("jung")

    page = await browser.look("/operator")

    assert page.status_code == 200
    assert "What is kept is what things cost" in page.text
    assert "rental &lt;b&gt;1&lt;/b&gt; has no charge" in page.text
    assert "-₩3,000" in page.text


async def test_without_an_audit_none_is_shown(browser, rpc):
    report = system(None)
    del report["audit"]
    rpc.replies_with("journal.show_town", report)
    await browser.sign_in("jung")

    page = await browser.look("/operator")

    assert page.status_code == 200
    assert "none yet" in page.text
