"""Card numbers are masked; every other text is unchanged."""

from __future__ import annotations

import pytest

from workers.journal.masking import mask_cards, printable


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4242424242424242", "*" * 16),
        ('{"card": "4242-4242-4242-4242"}', '{"card": "****-****-****-****"}'),
        ("tel 12 4242 4242 4242 4242", "tel 12 **** **** **** ****"),
        ("5555555555554444 and 4111111111111111", "*" * 16 + " and " + "*" * 16),
        ("연락처 010-1234-5678 06236", "연락처 010-1234-5678 06236"),
        (
            "카드4242.4242.4242.4242번, 4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
            "카드****.****.****.****번, " + " ".join("*" * 16),
        ),
        ("4242 4242 4242 4243", "4242 4242 4242 4243"),
        ("order 1234567890", "order 1234567890"),
        ("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"),
        ("예약 4242 4242 4242 4242 결제", "예약 **** **** **** **** 결제"),
    ],
)
def test_card_numbers_are_masked(text, masked):
    assert mask_cards(text) == masked


def test_bytes_that_are_not_text_are_shown_escaped():
    assert printable(b"a\x00b\xff") == "a\\x00b\\xff"
    assert printable("가".encode()) == "가"
