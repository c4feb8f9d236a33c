"""Which texts the door accepts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_api import texts

HOSTILE = [
    "a\x1b[2Jb",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "a\u202eb",
    "a\u2066b",
    "a\u200eb",
    "a\u200bb",
    "B1\ufe0f",
    "B\u200d1",
    "a\u00adb",
    "a\ufeffb",
    "a\u2028b",
    "a\ue000b",
    "a\uffffb",
    "a\u0378b",
    "강\u3164남",
    "a\U000e0041b",
    "a\ud800b",
    "a" + "\u0301\u0316" * 16,
]
INVISIBLE = ["\u200b", "\u3164", "\u2800", "\u3000\u00a0", "\ufe0f", "\u0301", "\u200d", "\u115f\u1160", "\n\t"]
ORDINARY = [
    "라떼",
    "강남역 2번 출구 (지하 1층)",
    "Café №5, 50 % – “신메뉴”",
    "漢字 カタカナ",
    "مرحبا",
    "می\u200cخواهم",
    "क्\u200dष",
    "☕️ 커피",
    "👩\u200d👩\u200d👧 👍🏽 🇰🇷 1️⃣",
    "❤️\u200d🔥",
    "\U0001fae8 \U0001fabf",
    "ㄱㄴㄷ ᄒᆞᆫ",
    "a\u00a0b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_nobody_can_read_is_not_readable(text):
    assert not texts.is_readable(text)


@pytest.mark.parametrize("text", INVISIBLE)
def test_a_text_without_anything_to_see_is_not_accepted(text):
    assert not texts.is_visible(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_is_accepted(text):
    assert texts.is_readable(text)
    assert texts.is_visible(text)
    assert texts.is_readable(unicodedata.normalize("NFD", text))


@given(st.text(max_size=400))
def test_the_normal_form_is_one(text):
    assert texts.normalized(unicodedata.normalize("NFD", text)) == texts.normalized(text)


@given(st.text(st.characters(categories=["Cc", "Cs", "Co", "Zl", "Zp"], exclude_characters="\n\r\t"), min_size=1))
def test_no_text_holds_a_control_character_wherever_it_stands(characters):
    for text in (characters, f"라떼{characters}", f"{characters}라떼", f"a{characters}b"):
        assert not texts.is_readable(text)
