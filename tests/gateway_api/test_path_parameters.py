"""Path parameters that are member names and not UUIDs."""

from __future__ import annotations

from uuid import uuid4

import pytest

PATH = "/v1/bike-sharing/deposits"
TOPIC = "bike_sharing.deposits.show_deposit"


@pytest.mark.parametrize("name", ["kim", "kim.lee@example.org", "김민지", "x" * 128])
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


@pytest.mark.parametrize("name", ["x" * 129, "%00", "a%00b"])
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


async def test_a_card_number_is_refused_as_a_name(client, rpc):
    answer = await client.get(f"{PATH}/4242424242424242", as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (422, "card_number_refused")
    assert "4242424242424242" not in answer.text
    assert not rpc.requests
