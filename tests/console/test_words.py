"""The texts of the console: both languages, labels of states, formats of time and money."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from zoneinfo import ZoneInfo

import pytest

from contracts.base import REFUSALS
from contracts.payment_discrepancies import DiscrepancyKind
from gateway_api.console import ASSETS, notices, words
from gateway_api.console.actions import Action, as_local, as_utc, idempotency_key
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.payments import ALL, DISCREPANCIES
from gateway_api.console.render import HERE, templates
from gateway_api.console.words import Count
from gateway_api.problem_kinds import is_known
from gateway_api.problems import Problem

HANGUL = re.compile("[가-힣]")
KOREAN = {
    ("video_rental", "STATES"): "결제중 예약 결제거절 예약취소 대여 반납",
    ("ticketing", "TICKET_STATES"): "예약가능 예약됨 만료됨",
    ("bike_sharing", "BIKE_STATES"): "사용가능 사용중 불량",
    ("shop", "STATES"): (
        "주문접수 입금확인대기 입금확인중 입금확인완료 상품준비완료 배송중 수령확인 주문취소 결제취소"
    ),
    ("preorder", "STATES"): "결제중 예약완료 결제거절 취소중 예약취소",
}
"""The labels that the businesses use for their states."""


@pytest.mark.parametrize("table", KOREAN, ids=".".join)
def test_states_have_the_labels_of_the_businesses(table):
    business, name = table

    labels = getattr(import_module(f"gateway_api.console.businesses.{business}"), name)

    assert {state.ko for state in labels.values()} == set(KOREAN[table].split())


def test_payments_and_refunds_have_labels():
    from contracts.payments import PaymentStatus, RefundStatus

    assert set(words.PAYMENTS) == set(PaymentStatus)
    assert set(words.REFUNDS) == set(RefundStatus)


def test_each_kind_of_discrepancy_has_a_label():
    assert set(DISCREPANCIES) == set(DiscrepancyKind)


def _texts():
    for business in ALL:
        yield business.name
        yield business.about
        for listing in business.listings:
            yield listing.name
            yield listing.empty
        actions: list[Action] = [
            *business.general_actions,
            *(one for listing in business.listings for one in listing.actions),
        ]
        for action in actions:
            yield action.label
            if action.note:
                yield action.note
            for field in action.fields:
                yield field.label
                yield from (label for _, label in field.choices)


def test_each_text_exists_in_both_languages():
    for text in _texts():
        assert text.ko
        assert text.en
        assert not HANGUL.search(text.en), text
    for business in ALL:
        for text in business.events.values():
            assert HANGUL.search(text.ko)
            assert not HANGUL.search(text.en)


def test_the_console_names_no_code_that_nobody_declares():
    named = notices.CONSOLE_TEXTS.keys() | notices.LINKS.keys() | notices.RETRY_SAME_KEY

    assert sorted(code for code in named if not is_known(code)) == []


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_refusal_is_shown_with_the_words_of_its_declaration(code, language):
    problem = Problem(code).response(language)
    notice = notices.problem_notice(ApiResponse(problem.status_code, json.loads(problem.body)), language)

    if code not in notices.CONSOLE_TEXTS:
        declared = REFUSALS[code]
        assert (notice.title, notice.detail) == (declared.en if language == "en" else declared.ko)


def test_templates_have_both_languages():
    """Korean text in a template is the first half of a pair, or the name of the system."""
    for path in sorted((HERE / "templates").glob("*.html")):
        source = path.read_text()
        for pair in re.findall(r"""t\((".*?"|'.*?'), (".*?"|'.*?')\)""", source):
            korean, english = map(ast.literal_eval, pair)
            assert HANGUL.search(korean), (path.name, korean)
            assert not HANGUL.search(english), (path.name, english)
        rest = re.sub(r"""t\((".*?"|'.*?'), (".*?"|'.*?')\)""", "", source)
        left = set(re.findall("[가-힣]+", rest))
        assert left <= {"예약", "한국어"}, path.name


def test_every_template_compiles():
    names = {path.name for path in (HERE / "templates").glob("*.html")}

    assert {templates.get_template(name).name for name in names} == names
    assert "base.html" in names


def test_money_and_time_are_formatted_for_seoul():
    assert words.won(1234567, "ko") == "1,234,567원"
    assert words.won(1234567, "en") == "₩1,234,567"
    assert (words.won(-4500, "ko"), words.won(-4500, "en")) == ("-4,500원", "-₩4,500")
    assert [words.count(Count(days, "일", "days"), "en") for days in (1, 2)] == ["1 day", "2 days"]
    assert words.clock("2026-03-01T15:30:00Z", "ko") == "3월 2일 (월) 00:30"
    assert words.clock("2024-12-31T15:00:00Z", "en") == "Wed 1 Jan 2025 00:00"
    assert words.count(Count(None, "개"), "ko") == "지금은 알 수 없음"
    assert ZoneInfo("Asia/Seoul") == words.SEOUL


def test_an_instant_is_shown_in_seoul_time():
    assert as_utc("2026-03-02T00:30") == "2026-03-01T15:30:00Z"
    assert as_local("2026-03-01T15:30:00Z") == "2026-03-02T00:30"
    assert as_utc("tomorrow") == "tomorrow"


def test_an_idempotency_key_depends_on_the_form_and_its_content():
    assert idempotency_key("n", {"a": "1", "b": "2"}) == idempotency_key("n", {"b": "2", "a": "1"})
    assert idempotency_key("n", {"a": "1"}) != idempotency_key("n", {"a": "2"})
    assert idempotency_key("n", {"a": "1"}) != idempotency_key("m", {"a": "1"})


def test_no_asset_of_the_console_refers_to_another_host():
    paths = [path for path in ASSETS.iterdir() if path.is_file()]

    assert "console.js" in {path.name for path in paths}
    for path in paths:
        assert not re.search(r"https?://", path.read_text().replace("http://www.w3.org/2000/svg", "")), path.name
