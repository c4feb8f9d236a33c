"""The request pipeline: the order of its checks, and the bodies and query strings that it accepts."""

import json
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_api import tokens
from workers.runtime.messaging.envelope import RpcReply

RENTALS = "/v1/video-rental/rentals"
VIDEOS = "/v1/video-rental/videos"
CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
SOME_ID = UUID("0afa707b-1493-4eed-a57b-9e56f3c744a5")


def booking(**changes):
    wanted = {"video_id": str(uuid4()), "days": 2, "payment": CARD, **changes}
    return {name: value for name, value in wanted.items() if value is not ...}


def code(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert answer.json()["type"] == f"/problems/{answer.json()['code']}"
    return answer.status_code, answer.json()["code"]


async def test_checks_run_in_a_fixed_order(make_client):
    client = make_client(gateway_rate=0.25, gateway_body_limit=100)
    big, bad = b'{"a": 4242424242424242' + b" " * 100, b'{"a": 4242424242424242'

    assert code(await client.post(RENTALS, content=big)) == (401, "not_signed_in")
    assert code(await client.post(RENTALS, content=big, as_="staff:lee")) == (403, "wrong_role")
    assert code(await client.post(RENTALS, content=big, as_="customer:kim")) == (413, "too_large")
    assert code(await client.post(RENTALS, content=big, as_="customer:kim")) == (429, "too_many_requests")

    client = make_client(gateway_body_limit=100)
    assert code(await client.post(RENTALS, content=bad, as_="customer:kim")) == (400, "bad_json")
    assert code(await client.post(RENTALS, content=bad + b"}", as_="customer:kim")) == (422, "card_number_refused")
    assert code(await client.post(RENTALS, content=b'{"a": 42}', as_="customer:kim")) == (422, "invalid")
    nowhere = f"{VIDEOS}/nothing-like-an-id"
    assert code(await client.patch(nowhere, content=b'{"a": 42}', as_="staff:lee")) == (422, "invalid")
    assert code(await client.patch(nowhere, content=b"{}", as_="staff:lee")) == (404, "not_found")


async def test_a_request_without_a_token_is_challenged(client):
    answer = await client.get(RENTALS)

    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_large_bodies_are_refused_with_and_without_a_length(make_client):
    client = make_client(gateway_body_limit=1000)

    async def chunks():
        for _ in range(50):
            yield b" " * 100

    assert code(await client.post(RENTALS, content=b" " * 1001, as_="customer:kim")) == (413, "too_large")
    assert code(await client.post(RENTALS, content=chunks(), as_="customer:kim")) == (413, "too_large")


async def test_a_body_in_pieces_is_read_whole(client, rpc):
    whole = json.dumps(booking()).encode()

    async def pieces():
        for start in range(0, len(whole), 7):
            yield whole[start : start + 7]

    await client.post(RENTALS, content=pieces(), as_="customer:kim")

    assert rpc.body["days"] == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"days": "\xff"}',
        b'{"days": NaN}',
        b'{"days": Infinity}',
        b'{"days": -Infinity}',
        b'{"days": 01}',
        b"{'days': 1}",
        b'{"days": 1,}',
        b'{"days": 1} {}',
        b'\xef\xbb\xbf{"days": 1}',
        '{"days": 1}'.encode("utf-16"),
        b'{"title": "a\x00b"}',
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)
async def test_invalid_json_is_refused(client, body):
    assert code(await client.post(RENTALS, content=body, as_="customer:kim")) == (400, "bad_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
        (b"1", "body"),
        (b"true", "body"),
        (booking(days=0), "days"),
        (booking(days=366), "days"),
        (booking(days=1.0), "days"),
        (booking(days=1.5), "days"),
        (booking(days=True), "days"),
        (booking(days="1"), "days"),
        (booking(days=None), "days"),
        (booking(days=10**30 + 1), "days"),
        (booking(video_id="nothing"), "video_id"),
        (booking(video_id=7), "video_id"),
        (booking(video_id=...), "video_id"),
        (booking(payment=...), "payment"),
        (booking(payment=[]), "payment"),
        (booking(payment={**CARD, "token": "visa"}), "payment.token"),
        (booking(payment={**CARD, "token": "tok_visa\n"}), "payment.token"),
        (booking(payment={**CARD, "method": "cash"}), "payment.method"),
        (booking(payment={**CARD, "last4": "42 42"}), "payment.last4"),
        (booking(payment={**CARD, "cvc": "123"}), "payment.cvc"),
        (booking(payment={**CARD, "brand": "a\x00"}), "payment.brand"),
        (booking(member_id="lee"), "member_id"),
        (booking(price=0), "price"),
        (booking(status="BOOKED"), "status"),
        (booking(video_id="\ud800"), "video_id"),
    ],
)
async def test_an_invalid_booking_is_refused(client, rpc, body, field):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    answer = await client.post(RENTALS, content=content, as_="customer:kim")

    assert code(answer) == (422, "invalid")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not rpc.requests


async def test_errors_do_not_repeat_what_was_sent(client):
    sent = booking(days="secret-1", video_id="secret-2", payment={**CARD, "token": "secret-3"})

    answer = await client.post(RENTALS, json=sent, as_="customer:kim", headers={"accept-language": "en"})

    assert len(answer.json()["errors"]) == 3
    assert "secret" not in answer.text


async def test_errors_are_in_the_callers_language(client):
    korean = await client.post(RENTALS, json=booking(days=0), as_="customer:kim")
    english = await client.post(RENTALS, json=booking(days=0), as_="customer:kim", headers={"accept-language": "en"})

    assert korean.headers["content-language"] == "ko"
    assert korean.json()["errors"][0]["detail"] == "1 이상이어야 합니다"
    assert english.headers["content-language"] == "en"
    assert english.json()["errors"][0]["detail"] == "must be at least 1"


@pytest.mark.parametrize("body", [b'{"reason": "  "}', b'{"reason": "\\u0000"}', b'{"reason": "' + b"x" * 501 + b'"}'])
async def test_an_invalid_reason_is_refused(client, body):
    answer = await client.post(f"{RENTALS}/{uuid4()}/cancellation", content=body, as_="customer:kim")

    assert code(answer) == (422, "invalid")


@pytest.mark.parametrize("body", [b"", b"{}", b" { } "])
async def test_no_body_is_needed_where_nothing_is_required(client, rpc, body):
    for action in ("pickup", "return", "cancellation"):
        rpc.replies_with(f"video_rental.rentals.{action}", {})
        answer = await client.post(f"{RENTALS}/{uuid4()}/{action}", content=body, as_="customer:kim")
        assert code(answer) == (503, "unavailable")
    assert len(rpc.requests) == 3


@pytest.mark.parametrize("body", [b'{"a": 1}', b"[]", b"null", b'""'])
async def test_an_unexpected_body_is_invalid(client, body):
    answer = await client.post(f"{RENTALS}/{uuid4()}/pickup", content=body, as_="customer:kim")

    assert code(answer) == (422, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        b'{"reason": "4242 4242 4242 4242"}',
        b'{"reason": 4242424242424242}',
        b'{"reason": 4242424242424242.0}',
        b'{"reason": 4.242424242424242e15}',
        b'{"reason": 4.242424242424242E+15}',
        b'{"reason": -4242424242424242}',
        b'{"reason": "\\u0034242424242424242"}',
        b'{"reason": "4242\\u00a04242\\n4242\\t4242"}',
        '{"reason": "\uff14242424242424242"}'.encode(),
        b'{"reason": [[{"a": "4242-4242-4242-4242"}]]}',
        b'{"4242424242424242": 1}',
        b'{"reason": "4242424242424242", "reason": "fine"}',
        b'["4242424242424242"]',
        b'"4242424242424242"',
        b"4242424242424242",
    ],
)
async def test_card_numbers_are_refused_anywhere_in_a_body(client, rpc, body):
    answer = await client.post(f"{RENTALS}/{uuid4()}/cancellation", content=body, as_="customer:kim")

    assert code(answer) == (422, "card_number_refused")
    assert "4242" not in answer.text
    assert not rpc.requests


@pytest.mark.parametrize("key", ["4242424242424242", "ts-1790000000000", "1790000000000000007"])
async def test_a_key_may_have_any_digits(client, key):
    answer = await client.post(RENTALS, json=booking(), as_="customer:kim", headers={"idempotency-key": key})

    assert code(answer) == (503, "unavailable")


async def test_a_member_id_may_have_any_digits(client, rpc):
    await client.get(f"{RENTALS}?member_id=4242424242424242", as_="staff:lee")
    await client.post(RENTALS, json=booking(), as_="customer:4242424242424242")

    assert [request.actor for request in rpc.requests] == ["staff:lee", "customer:4242424242424242"]


async def test_a_card_number_is_refused_in_a_query(client):
    assert (
        code(await client.get(f"{RENTALS}?cursor=4242+4242%204242-4242", as_="customer:kim"))[1]
        == "card_number_refused"
    )


async def test_ids_and_plain_numbers_are_not_taken_for_card_numbers(client, rpc):
    video_id = "42424242-4242-4242-4242-424242424242"

    answer = await client.post(RENTALS, json=booking(video_id=video_id), as_="customer:kim")

    assert code(answer) == (503, "unavailable")
    assert rpc.body["video_id"] == video_id


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=ten",
        "limit=1.0",
        "limit=+5",
        "limit=٣",
        "limit=",
        "limit=5&limit=6",
        "limit=99999999999999999999999",
        "status=LOST",
        "status=",
        "cursor=",
        "cursor=%00",
        "cursor=%ff",
        "colour=red",
        "member_id=" + "x" * 256,
        "&".join(f"a{number}=1" for number in range(100)),
    ],
)
async def test_an_invalid_query_string_is_refused(client, rpc, query):
    answer = await client.get(f"{RENTALS}?{query}", as_="staff:lee")

    assert code(answer) == (422, "invalid")
    assert answer.json()["errors"]
    assert not rpc.requests


async def test_a_query_string_is_invalid_where_none_is_defined(client):
    assert code(await client.get(f"{RENTALS}/{uuid4()}?a=1", as_="staff:lee")) == (422, "invalid")
    assert code(await client.post(f"{RENTALS}/{uuid4()}/pickup?a=1", as_="staff:lee")) == (422, "invalid")


@pytest.mark.parametrize("name", ["7", "nothing", str(SOME_ID)[:-1], "{" + str(SOME_ID) + "}", SOME_ID.hex, "%00"])
async def test_an_invalid_id_is_not_found(client, name):
    assert code(await client.get(f"{RENTALS}/{name}", as_="customer:kim")) == (404, "not_found")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
almost_bookings = st.fixed_dictionaries(
    {},
    optional={
        "video_id": json_values | st.uuids().map(str),
        "days": json_values | st.integers(1, 365),
        "payment": json_values | st.just(CARD),
        "title": json_values,
    },
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | almost_bookings.map(lambda value: json.dumps(value).encode())
    | almost_bookings.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, path=st.sampled_from([RENTALS, f"{RENTALS}/{uuid4()}/cancellation", f"{RENTALS}/{uuid4()}/pickup"]))
async def test_no_body_causes_an_internal_error(client, body, path):
    answer = await client.post(path, content=body, as_="customer:kim")

    assert answer.status_code in (400, 422, 503)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60))
async def test_no_query_string_causes_an_internal_error(client, query):
    answer = await client.get(f"/v1/video-rental/my-page?{query}", as_="customer:kim")

    assert answer.status_code in (403, 422, 503)


async def test_an_internal_error_reveals_nothing_but_its_trace_id(client, rpc, capsys):
    async def broken(request, **limits) -> RpcReply:
        raise RuntimeError("a secret of ours")

    rpc.call = broken
    trace = "0123456789abcdef0123456789abcdef"

    answer = await client.get(RENTALS, as_="customer:kim", headers={"traceparent": f"00-{trace}-0123456789abcdef-01"})

    assert code(answer) == (500, "internal_error")
    assert answer.json()["trace_id"] == trace
    assert "secret" not in answer.text


async def test_a_token_is_not_repeated_in_an_answer(client):
    token = tokens.issue("kim", "customer", key="x" * 40)

    answer = await client.get(RENTALS, headers={"authorization": f"Bearer {token}"})

    assert token not in answer.text
