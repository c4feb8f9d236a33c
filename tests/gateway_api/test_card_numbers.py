"""Card numbers are found in any spelling, and other numbers are not taken for one."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.runtime.messaging.card_numbers import holds_card_number

VISA = "4242424242424242"


@pytest.mark.parametrize(
    "text",
    [
        VISA,
        "4222222222222",
        "378282246310005",
        "6304000000000000000",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4 2 4 2-4242 - 4242  4242",
        f"my card is {VISA}.",
        f"tok_{VISA}",
        f"({VISA})",
        f"-{VISA}",
        "12 4242 4242 4242 4242 34",
        "4242\u00a04242\u20114242\u20134242",
        "4242\n4242\t4242 4242",
        "\uff14\uff12\uff14\uff12 4242 4242 4242",
        "카드 4242 4242 4242 4242 입니다",
        f"550e8400-e29b-41d4-a716-446655440000 {VISA}",
        f"{VISA} 550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_a_card_number_is_found(text):
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242",
        "424242424242",
        "4242424242424243",
        "42424242424242424242",
        f"x{VISA}",
        f"{VISA}x",
        f"9{VISA}9",
        f"가{VISA}",
        "4242x4242x4242x4242",
        "4242.4242.4242.4242",
        "00000000-0000-4000-8000-000000000000",
        "42424242-4242-4242-4242-424242424242",
        "2026-03-01T23:50:00Z",
        "010-1234-5678",
    ],
)
def test_text_without_a_card_number_passes(text):
    assert not holds_card_number(text)


def luhn(digits: str) -> bool:
    turned = [int(digit) for digit in reversed(digits)]
    return sum(turned[::2] + [sum(divmod(digit * 2, 10)) for digit in turned[1::2]]) % 10 == 0


def check_digit(digits: str) -> str:
    return next(digit for digit in "0123456789" if luhn(digits + digit))


gaps = st.text("- ", max_size=3)


@given(
    st.text("0123456789", min_size=12, max_size=18),
    st.lists(gaps, min_size=19, max_size=19),
    st.sampled_from([" ", "", ".", "_"]),
)
def test_every_card_number_is_found_however_it_is_spaced(digits, spaces, around):
    number = digits + check_digit(digits)

    written = "".join(digit + space for digit, space in zip(number, spaces, strict=False)).rstrip("- ")

    assert holds_card_number(around + written + around)


def holds_by_trying_everything(text: str) -> bool:
    return any(
        13 <= len(digits := re.sub("[ -]", "", text[start:end])) <= 19
        and text[start].isdigit()
        and text[end - 1].isdigit()
        and digits.isdigit()
        and luhn(digits)
        and not (start and text[start - 1].isalnum())
        and not (end < len(text) and text[end].isalnum())
        for start in range(len(text))
        for end in range(start + 13, min(len(text), start + 46) + 1)
    )


@given(st.text("0123456789- x", max_size=45))
def test_the_search_agrees_with_an_exhaustive_one(text):
    assert holds_card_number(text) == holds_by_trying_everything(text)


@given(st.uuids())
def test_an_id_is_never_a_card_number(value: UUID):
    assert not holds_card_number(str(value))
    assert not holds_card_number(f"rental {value}, please")
