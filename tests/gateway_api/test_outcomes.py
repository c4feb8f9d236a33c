"""The HTTP answer to each outcome, and idempotency keys."""

import json
import re
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import gateway_api
from contracts.base import REFUSALS
from contracts.outcomes import Outcome
from gateway_api.problem_kinds import GATEWAY_KINDS, is_known
from workers.runtime.messaging.envelope import RpcReply

BASE = "/v1/video-rental"
BOOK = "video_rental.rentals.book_video"
CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
BOOKING = {"video_id": "9d3c3c1e-7a57-4b2c-8a6e-0d5f6f3c2b11", "days": 2, "payment": CARD}


async def book(client, key: str | None = None, *, as_: str = "customer:kim", headers=None, **changes):
    headers = (headers or {}) | ({"idempotency-key": key} if key is not None else {})
    return await client.post(f"{BASE}/rentals", json=BOOKING | changes, as_=as_, headers=headers)


async def test_a_booking_is_sent_to_its_context_and_its_answer_is_returned_unchanged(client, rpc):
    rental_id = str(uuid4())
    answer = f'{{"rental_id": "{rental_id}",  "status" : "BOOKED"}}'.encode()
    rpc.answers[BOOK] = RpcReply(Outcome.DONE, answer)

    response = await book(client)

    assert response.status_code == 201
    assert response.headers["location"] == f"{BASE}/rentals/{rental_id}"
    assert response.headers["cache-control"] == "no-store"
    assert "idempotency-replayed" not in response.headers
    assert response.content == answer
    assert rpc.body == {
        "video_id": BOOKING["video_id"],
        "days": 2,
        "payment": CARD,
        "expected_price": None,
        "caller": {"member_id": "kim", "role": "customer", "grade": "STANDARD"},
    }
    request = rpc.requests[0]
    assert (request.exchange, request.actor) == ("yeyak.commands", "customer:kim")
    assert request.story_id == request.message_id


async def test_the_time_limit_covers_the_payment(make_client, rpc):
    client = make_client(video_rental_payment_ms=3000)

    await book(client)
    await client.get(f"{BASE}/rentals", as_="customer:kim")
    await client.get(f"{BASE}/my-page/{uuid4()}?min_version=3", as_="customer:kim")

    assert rpc.time_limits == [5.5, 3.5, 4.0]


async def test_a_command_about_a_rental_belongs_to_the_rentals_story(client, rpc):
    rental_id = uuid4()

    await client.post(f"{BASE}/rentals/{rental_id}/pickup", as_="staff:lee")

    assert rpc.requests[0].story_id == rental_id
    assert rpc.requests[0].actor == "staff:lee"


async def test_a_valid_traceparent_is_forwarded_and_an_invalid_one_is_not(client, rpc):
    trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

    await client.get(f"{BASE}/rentals", as_="staff:lee", headers={"traceparent": trace})
    await client.get(f"{BASE}/rentals", as_="staff:lee", headers={"traceparent": "nonsense\t1"})

    assert [request.traceparent for request in rpc.requests] == [trace, None]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("payment_declined", 402),
        ("not_found", 404),
        ("late_fee_owed", 409),
        ("already_booked", 409),
        ("video_not_available", 409),
        ("wrong_state", 409),
        ("some_rule_of_a_later_system", 409),
        ("idempotency_key_reused", 422),
        ("payment_unavailable", 503),
        ("ticket_unavailable", 503),
        ("bike_unavailable", 503),
        ("still_confirming", 503),
        ("still_running", 409),
    ],
)
async def test_each_refusal_has_its_status(client, rpc, code, status):
    rpc.refuses(BOOK, code, current_status="X", rental_id="an id", status=418, detail="no")

    answer = await book(client)

    assert answer.status_code == answer.json()["status"] == status
    assert answer.json()["code"] == code
    assert answer.json()["current_status"] == "X"
    assert answer.json()["rental_id"] == "an id"
    assert answer.json()["detail"] != "no"
    assert (status == 503) <= answer.headers.get("retry-after", "").isdigit()


async def test_a_contexts_validation_errors_do_not_repeat_the_input(client, rpc):
    rpc.refuses(BOOK, "invalid", reason="input_value='secret'", errors=[{"field": "cursor", "message": "secret"}])

    answer = await book(client)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]
    assert "secret" not in answer.text


async def test_a_refusal_may_set_retry_after(client, rpc):
    rpc.refuses(BOOK, "payment_unavailable", retry_after=9)

    assert (await book(client)).headers["retry-after"] == "9"


async def test_an_unavailable_context_is_503_with_retry_after(client, rpc):
    rpc.answers[BOOK] = RpcReply(Outcome.UNAVAILABLE, retry_after=4)

    answer = await book(client)

    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "4")


async def test_an_unknown_outcome_names_the_status_url(client, rpc):
    rpc.answers = dict.fromkeys(
        (BOOK, "video_rental.rentals.pick_up_video", "payments.refund_payment"), RpcReply(Outcome.UNKNOWN)
    )
    rpc.answers["video_rental.videos.register_video"] = rpc.answers["video_rental.videos.change_video"] = RpcReply(
        Outcome.UNKNOWN
    )
    thing = uuid4()

    booked = await book(client)
    picked_up = await client.post(f"{BASE}/rentals/{thing}/pickup", as_="customer:kim")
    registered = await client.post(f"{BASE}/videos", json={"title": "Up", "daily_price": 1000}, as_="staff:lee")
    changed = await client.patch(f"{BASE}/videos/{thing}", json={}, as_="staff:lee")
    refunded = await client.post(
        f"/v1/payments/{thing}/refunds", json={"amount": 1, "reason": "scratched"}, as_="staff:lee"
    )

    ids = [request.message_id for request in rpc.requests]
    assert [answer.status_code for answer in (booked, picked_up, registered, changed, refunded)] == [504] * 5
    assert booked.json()["code"] == "outcome_unknown"
    assert booked.json()["status_url"] == f"{BASE}/my-page/{ids[0]}"
    assert picked_up.json()["status_url"] == f"{BASE}/rentals/{thing}"
    assert registered.json()["status_url"] == f"{BASE}/videos/{ids[2]}"
    assert changed.json()["status_url"] == f"{BASE}/videos/{thing}"
    assert refunded.json()["status_url"] == f"/v1/refunds/{ids[4]}"


async def test_a_query_without_a_reply_is_unavailable(client, rpc):
    rpc.answers["video_rental.rentals.show_rental"] = RpcReply(Outcome.UNKNOWN)

    answer = await client.get(f"{BASE}/rentals/{uuid4()}", as_="customer:kim")

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"].isdigit()


async def test_a_request_that_is_still_running_is_a_conflict(client, rpc):
    rpc.answers[BOOK] = RpcReply(Outcome.STILL_RUNNING)

    answer = await book(client, "key")

    assert (answer.status_code, answer.json()["code"]) == (409, "still_running")


# --- keys


async def test_the_same_key_is_the_same_message(client, rpc):
    for _ in range(3):
        await book(client, "key")

    assert len({request.message_id for request in rpc.requests}) == 1
    assert len({request.digest for request in rpc.requests}) == 1


async def test_without_a_key_every_request_is_another(client, rpc):
    for _ in range(3):
        await book(client)

    assert len({request.message_id for request in rpc.requests}) == 3


async def test_a_key_belongs_to_its_caller_and_route(client, rpc):
    thing = uuid4()
    await book(client, "key")
    await book(client, "key", as_="customer:lee")
    for action in ("pickup", "return"):
        await client.post(f"{BASE}/rentals/{thing}/{action}", as_="customer:kim", headers={"idempotency-key": "key"})
    await client.post(f"{BASE}/rentals/{thing}/return", as_="staff:kim", headers={"idempotency-key": "key"})

    assert len({request.message_id for request in rpc.requests}) == 5


async def test_another_body_or_path_has_another_digest_under_the_same_id(client, rpc):
    await book(client, "key")
    await book(client, "key", days=3)
    for _ in range(2):
        await client.post(f"{BASE}/rentals/{uuid4()}/pickup", as_="customer:kim", headers={"idempotency-key": "key"})

    ids, digests = ([getattr(request, name) for request in rpc.requests] for name in ("message_id", "digest"))
    assert ids[0] == ids[1]
    assert ids[2] == ids[3]
    assert len(set(digests)) == 4


async def test_an_id_is_the_same_in_capitals(client, rpc):
    thing = str(uuid4())
    for name in (thing, thing.upper()):
        await client.post(f"{BASE}/rentals/{name}/pickup", as_="customer:kim", headers={"idempotency-key": "key"})

    assert rpc.requests[0].digest == rpc.requests[1].digest
    assert rpc.requests[0].body == rpc.requests[1].body


async def test_names_in_a_path_that_differ_in_capitals_are_two_requests(client, rpc):
    for name in ("kim", "Kim"):
        path, body = f"/v1/bike-sharing/deposits/{name}/credits", {"amount": 1, "reason": "sorry"}
        await client.post(path, json=body, as_="staff:lee", headers={"idempotency-key": "key"})

    assert rpc.requests[0].message_id == rpc.requests[1].message_id
    assert rpc.requests[0].digest != rpc.requests[1].digest


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "키".encode(), "a\tb"])
async def test_an_invalid_key_is_refused(client, rpc, key):
    answer = await book(client, key)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not rpc.requests


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~;,=", str(UUID(int=5))])
async def test_a_valid_key_is_accepted(client, rpc, key):
    await book(client, key)

    assert rpc.requests


async def test_a_replayed_answer_is_marked(client, rpc):
    rpc.replies_with(BOOK, {"rental_id": str(uuid4())}, replayed=True)
    again = await book(client, "key")
    rpc.refuses(BOOK, "already_booked", replayed=True)
    refused_again = await book(client, "key")

    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.headers["location"]
    assert (refused_again.status_code, refused_again.headers["idempotency-replayed"]) == (409, "true")


@pytest.mark.parametrize("kind", GATEWAY_KINDS.values(), ids=GATEWAY_KINDS)
def test_each_problem_of_the_gateway_has_texts_in_both_languages(kind):
    assert all(kind.ko)
    assert all(kind.en)
    assert not any("가" <= char <= "힣" for text in kind.en for char in text)
    assert any("가" <= char <= "힣" for char in kind.ko.detail)


def test_the_gateway_raises_no_problem_that_nobody_declares():
    sources = Path(gateway_api.__file__).parent.rglob("*.py")
    raised = {code for source in sources for code in re.findall(r'Problem\("(\w+)"', source.read_text())}

    assert len(raised) > 10
    assert {code for code in raised if not is_known(code)} == set()


def test_the_gateway_repeats_no_code_of_a_message():
    assert GATEWAY_KINDS.keys() & REFUSALS.keys() == set()


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_is_answered_with_the_words_of_its_declaration(client, rpc, code):
    declared = REFUSALS[code]
    rpc.refuses(BOOK, code)

    korean, english = [await book(client, headers={"accept-language": language}) for language in ("ko", "en")]

    assert (korean.status_code, korean.json()["code"]) == (declared.status, code)
    assert (korean.json()["title"], korean.json()["detail"]) == declared.ko
    assert (english.json()["title"], english.json()["detail"]) == declared.en
    assert korean.headers.get("retry-after") == (str(declared.retry_after) if declared.retry_after else None)


async def test_the_digest_does_not_depend_on_how_json_is_sent(client, rpc):
    body = json.dumps(BOOKING).encode()
    headers = {"idempotency-key": "key"}
    await client.post(f"{BASE}/rentals", content=body, as_="customer:kim", headers=headers)
    await client.post(f"{BASE}/rentals", content=aiter_of(body), as_="customer:kim", headers=headers)

    assert rpc.requests[0].digest == rpc.requests[1].digest


async def aiter_of(body: bytes):
    for start in range(0, len(body), 11):
        yield body[start : start + 11]
