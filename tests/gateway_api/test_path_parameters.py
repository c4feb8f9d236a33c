"""Path parameters that are member names and not UUIDs."""

from __future__ import annotations

import unicodedata
from uuid import uuid4

import pytest

PATH = "/v1/bike-sharing/deposits"
TOPIC = "bike_sharing.deposits.show_deposit"


@pytest.mark.parametrize(
    "name", ["kim", "kim.lee@example.org", "김민지", "x" * 255, "4242424242424242", "1790000000000000007"]
)
async def test_a_name_reaches_the_context_and_the_request_starts_a_story(client, rpc, name):
    rpc.replies_with(TOPIC, {"member_id": name})

    answer = await client.get(f"{PATH}/{name}", as_="staff:lee")

    assert answer.status_code == 200
    assert rpc.body["member_id"] == name
    assert rpc.requests[-1].story_id == rpc.requests[-1].message_id


async def test_a_name_that_is_an_id_is_its_own_story(client, rpc):
    member_id = uuid4()
    rpc.replies_with(TOPIC, {})

    await client.get(f"{PATH}/{member_id}", as_="staff:lee")

    assert rpc.requests[-1].story_id == member_id


@pytest.mark.parametrize("name", ["x" * 256, "%00", "a%00b", "%1b", "a%E2%80%AEb", "%E2%80%8B", "%ED%A0%80%00"])
async def test_an_impossible_name_is_not_found(client, rpc, name):
    answer = await client.get(f"{PATH}/{name}", as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert not rpc.requests


async def test_a_customer_may_use_me_as_their_name(client, rpc):
    rpc.replies_with("bike_sharing.deposits.list_entries", {"items": []})

    await client.get(f"{PATH}/me/entries", as_="customer:kim")
    mine = rpc.body["member_id"]
    await client.get(f"{PATH}/me/entries", as_="staff:lee")

    assert (mine, rpc.body["member_id"]) == ("kim", "me")


@pytest.mark.parametrize("spelt", ["a%2Fb", "a%2fb", "%61%2fb"])
async def test_an_encoded_slash_belongs_to_the_name(client, rpc, spelt):
    rpc.replies_with("bike_sharing.deposits.list_entries", {"items": []})
    rpc.replies_with("bike_sharing.deposits.credit_deposit", {"top_up_id": str(uuid4())})
    rpc.replies_with(TOPIC, {"member_id": "a/b"})

    for method, path, body in [
        ("GET", f"{PATH}/{spelt}", None),
        ("GET", f"{PATH}/{spelt}/entries", None),
        ("POST", f"{PATH}/{spelt}/credits", {"amount": 1, "reason": "sorry"}),
    ]:
        answer = await client.request(method, path, json=body, as_="staff:lee")
        assert answer.status_code in (200, 201)
        assert rpc.body["member_id"] == "a/b"


async def test_a_name_may_look_like_another_route(client, rpc):
    rpc.replies_with(TOPIC, {"member_id": "kim/entries"})

    await client.get(f"{PATH}/kim%2Fentries", as_="staff:lee")
    options = await client.request("OPTIONS", f"{PATH}/a%2Fb/entries")

    assert (rpc.requests[-1].topic, rpc.body["member_id"]) == (TOPIC, "kim/entries")
    assert options.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_an_encoded_percent_sign_is_not_decoded_twice(client, rpc):
    await client.get(f"{PATH}/a%252Fb", as_="staff:lee")

    assert rpc.body["member_id"] == "a%2Fb"


@pytest.mark.parametrize("path", [f"{PATH}/a/b", "/v1/bike-sharing/rides/a%2Fb", "/v1/bike-sharing%2Fdeposits"])
async def test_a_slash_elsewhere_is_not_found(client, rpc, path):
    answer = await client.get(path, as_="staff:lee", headers={"accept": "text/html"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert not rpc.requests


async def test_composed_and_decomposed_names_are_one(client, rpc):
    await client.get(f"{PATH}/{unicodedata.normalize('NFD', '강남')}", as_="staff:lee")

    assert rpc.body["member_id"] == "강남"
