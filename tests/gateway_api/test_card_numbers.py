"""Card numbers are found however they are spaced, and no other number is taken for one."""

import random
import re
import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.runtime.messaging.card_numbers import find_card_numbers, holds_card_number

VISA = "4242424242424242"

_TEST_CARDS = """
4242424242424242 4000056655665556 4111111111111111 4012888888881881 4000000000000002 4917610000000000 4222222222222
4917610000000000003 5555555555554444 5105105105105100 5200828282828210 5454545454545454 2223003122003222
2221000000000009 2222400070000005 2720990000000007 378282246310005 371449635398431 378734493671000 6011111111111117
6011000990139424 6011981111111113 6011000400000000 6555900000604105 3056930009020004 36227206271667 30569309025904
38520000023237 36006666333344 3566002020360505 3530111333300000 6200000000000005 6200000000000047
6205500000000000004 6212345678901265 6212345678901232 6212345678900000003 6250941006528599 6282000123842342
6221558812340000 6223164991230014 6216261000000000018 6226388000000095 8171999900000018 6759649826438453
6799990100000000019 6304000000000000 5000550000000029 586824160825533338 6771798021000008 6771798025000004
5641820000000005 5019555544445555 6062826786276634 9792030394440796 2200000000000053 6362970000457013
"""
TEST_CARDS = _TEST_CARDS.split()
"""Published test numbers of Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay, Maestro ..."""


def luhn(digits: str) -> bool:
    turned = [int(digit) for digit in reversed(digits)]
    return sum(turned[::2] + [sum(divmod(digit * 2, 10)) for digit in turned[1::2]]) % 10 == 0


def completed(digits: str) -> str:
    """The digits with the last one replaced by the check digit."""
    return next(digits[:-1] + digit for digit in "0123456789" if luhn(digits[:-1] + digit))


def grouped(number: str, *sizes: int, by: str = " ") -> str:
    parts, rest = [], number
    for size in sizes * len(number):
        parts.append(rest[:size])
        rest = rest[size:]
    return by.join(filter(None, parts))


def foreign(number: str, zero: str) -> str:
    return number.translate({ord("0") + value: ord(zero) + value for value in range(10)})


GAPS = [
    " ",
    "-",
    ".",
    "\u00a0",
    "\u2009",
    "\u3000",
    "\u2013",
    "\u2011",
    "\uff0d",
    " - ",
    "  ",
    "\t",
    "\n",
    "\u200b",
    "·",
    "_",
]
SPELLINGS = [
    *[lambda number, gap=gap: grouped(number, 4, by=gap) for gap in GAPS],
    *[lambda number, gap=gap: gap.join(number) for gap in GAPS],
    lambda number: number,
    lambda number: grouped(number, 2),
    lambda number: grouped(number, 8 if len(number) > 13 else 4),
    lambda number: foreign(grouped(number, 4), "\uff10"),
    lambda number: foreign(number, "\u0660"),
    lambda number: foreign(number, "\U0001d7ce"),
    lambda number: f"카드번호는{number}입니다",
    lambda number: f"tok_{number}",
    lambda number: f'{{"card": "{number}"}}',
    lambda number: f"12 {grouped(number, 4)} 34",
    lambda number: f"서울시 강남구 테헤란로 152 (06236) 010-1234-5678 {grouped(number, 4, by='-')}",
]


@pytest.mark.parametrize("number", TEST_CARDS)
def test_every_published_test_card_is_found_however_it_is_spaced(number):
    missed = [spelt(number) for spelt in SPELLINGS if not holds_card_number(spelt(number))]

    assert not missed


@pytest.mark.parametrize(
    "text",
    [
        "3782 822463 10005",
        "3782-822463-10005",
        "3622 720627 1667",
        "4222 222 222 222",
        "621626 1000000000018",
        "4242-4242 4242.4242",
        "4 2 4 2-4242 - 4242  4242",
        f"550e8400-e29b-41d4-a716-446655440000 {VISA}",
        f"{VISA} 550e8400-e29b-41d4-a716-446655440000",
        "9410 1234 5678 9010".replace("9010", completed("9410123456789010")[-4:]),
    ],
)
def test_a_card_number_in_its_networks_grouping_is_found(text):
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242",
        "4242424242424243",
        "4242 4242 4242 4243",
        "42424242424242424242",
        f"x{VISA}",
        f"{VISA}x",
        f"9{VISA}9",
        "4242x4242x4242x4242",
        "4242, 4242, 4242, 4242",
        "00000000-0000-4000-8000-000000000000",
        "42424242-4242-4242-4242-424242424242",
        "서울시 강남구 테헤란로 152 연락처 010-1234-5678 06236",
        "강남대로 43 010-1234-5678",
        "+82 10-1234-5678 / 02-3456-7890",
        "계좌 3333-01-1234567 김민지",
        "계좌 1002-123-456789",
        "주민등록번호 900101-1234567",
        "2026-03-01T23:50:00.123456Z",
        "ts-1790000000000",
        "1790000000000000",
        "2127038239283740672",
        "20261130123456789",
        "192.168.100.200 5,100,000 37.5666791 126.9782914",
    ],
)
def test_other_numbers_pass(text):
    assert not holds_card_number(text)


def addresses(random_: random.Random):
    """Addresses as Korean customers write them, with telephone numbers and postcodes in every order."""
    cities = [
        "서울시 강남구 테헤란로",
        "부산광역시 해운대구 센텀중앙로",
        "경기도 성남시 분당구 판교역로",
        "제주시 첨단로",
    ]
    while True:
        number = random_.choice([str(random_.randint(1, 999)), f"{random_.randint(1, 999)}-{random_.randint(1, 99)}"])
        flat = random_.choice(
            [
                f"{random_.randint(101, 130)}동 {random_.randint(101, 2505)}호",
                f"{random_.randint(101, 130)}-{random_.randint(101, 2505)}",
                f"{random_.randint(1, 30)}층 {random_.randint(101, 999)}호",
                "",
            ]
        )
        middle, last = random_.randint(1000, 9999), random_.randint(0, 9999)
        phone = random_.choice(
            [
                f"010-{middle}-{last:04}",
                f"010{middle}{last:04}",
                f"010 {middle} {last:04}",
                f"+82 10-{middle}-{last:04}",
                f"02-{middle}-{last:04}",
                f"031-{middle % 1000}-{last:04}",
                f"0505-{middle}-{last:04}",
                f"1588-{last:04}",
            ]
        )
        postcode = random_.choice(["{:05}", "({:05})", "우편번호 {:05}", "[{:05}]"]).format(
            random_.randint(1000, 63999)
        )
        parts = [f"{random_.choice(cities)} {number} {flat}".strip(), random_.choice(["", "연락처 "]) + phone, postcode]
        random_.shuffle(parts)
        yield random_.choice([" ", ", "]).join(parts)


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_ordinary_addresses_pass(seed):
    written = addresses(random.Random(seed))

    assert not [text for text in (next(written) for _ in range(2000)) if holds_card_number(text)]


@pytest.mark.parametrize("seed", range(3))
def test_ids_and_times_pass(seed):
    random_ = random.Random(seed)
    now = 1_790_000_000_000
    for _ in range(1000):
        moment = now + random_.randrange(10**11)
        snowflake = ((moment - 1_288_834_974_657) << 22) + random_.randrange(2**22)
        order = f"2026{random_.randint(1, 12):02}{random_.randint(1, 28):02}{random_.randrange(10**8):08}"
        for text in (
            f"ts-{moment}",
            f"{moment}",
            f"{moment}{random_.randrange(1000):03}",
            f"{snowflake}",
            order,
        ):
            assert not holds_card_number(text), text


@given(st.uuids())
def test_an_id_is_never_a_card_number(value: UUID):
    assert not holds_card_number(str(value))
    assert not holds_card_number(f"rental {value}, please")


@given(st.integers(0, 10**15 - 1), st.sampled_from(GAPS), st.sampled_from(["", " ", ".", "(", "가"]))
def test_every_visa_number_is_found_in_groups_of_four(account, gap, around):
    number = completed(f"4{account:015}")

    assert holds_card_number(f"{around}{grouped(number, 4, by=gap)}{around}")


@given(st.lists(st.text("0123456789 .-가x", max_size=30) | st.just(VISA), max_size=6).map(" ".join))
def test_what_is_found_is_a_whole_number_with_its_check_digit(text):
    for start, end in find_card_numbers(text):
        digits = re.sub(r"\D", "", text[start:end])
        assert 12 <= len(digits) <= 19
        assert luhn(digits) or digits.startswith(("62", "81"))
        assert not re.match("[0-9A-Za-z]", text[end : end + 1])
        assert not re.match("[0-9A-Za-z]", text[start - 1 : start])


def test_several_card_numbers_are_found_one_after_another():
    text = f"4111 4242 4242 4242 4242, {VISA} 그리고 3782 822463 10005"

    assert [text[start:end] for start, end in find_card_numbers(text)] == [
        "4242 4242 4242 4242",
        VISA,
        "3782 822463 10005",
    ]


REPEATED = [
    "1 ",
    "4 ",
    "44 ",
    "4111 ",
    "4111 4111 411 ",
    "4111111111111112,",
    "4111 4111 4111x",
    "42 12 12 12 12 12 1, ",
    "41 11 11 11 1x ",
    "3411 411111 ",
    "4----",
    "4" + " " * 9,
    "4",
    "\uff14\uff11\uff11\uff11 ",
    "4\u200b",
    "강",
]


@pytest.mark.parametrize("piece", REPEATED)
def test_the_search_is_linear_in_the_text(piece):
    def seconds(length: int) -> float:
        text, taken = piece * (length // len(piece)), []
        for _ in range(5):
            begun = time.process_time()
            holds_card_number(text)
            taken.append(time.process_time() - begun)
        return min(taken)

    assert seconds(2**19) < 32 * seconds(2**16) + 0.02  # eight times the text; a square would be 64 times
