"""Changes by staff: the fields that change, and the version that they expect, in the body or as `If-Match`."""

from __future__ import annotations

from uuid import uuid4

import pytest

from gateway_api.app import all_routes

CHANGES = {
    f"/v1/video-rental/videos/{uuid4()}": {"title": "a"},
    f"/v1/cafe/menu/{uuid4()}": {"name": "a"},
    f"/v1/shop/products/{uuid4()}": {"name": "a"},
    f"/v1/bike-sharing/bikes/{uuid4()}": {"location": "a"},
    f"/v1/ticketing/tickets/{uuid4()}": {"name": "a"},
    f"/v1/preorder/products/{uuid4()}": {"price": 1},
}
VIDEO = str(uuid4())
RESTOCK = f"/v1/shop/products/{uuid4()}/restock"
POLICY = f"/v1/ticketing/discount-policies/{uuid4()}"
REQUESTS = [("PATCH", path, body) for path, body in CHANGES.items()]
REQUESTS += [("POST", RESTOCK, {"quantity": 1}), ("DELETE", POLICY, {})]
NAMES = [f"{method}-{path.split('/')[2]}" for method, path, _ in REQUESTS]
EACH = pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=NAMES)


@EACH
@pytest.mark.parametrize("header", ['"7"', "7"])
async def test_the_header_is_as_good_as_the_field(client, rpc, method, path, body, header):
    await client.request(method, path, json=body, headers={"if-match": header}, as_="staff:lee")
    by_header = rpc.body["expected_version"]
    await client.request(method, path, json=body | {"expected_version": 7}, as_="staff:lee")

    assert by_header == rpc.body["expected_version"] == 7


@EACH
async def test_without_a_version_any_is_changed(client, rpc, method, path, body):
    for headers in ({}, {"if-match": "*"}):
        await client.request(method, path, json=body, headers=headers, as_="staff:lee")

        assert rpc.body["expected_version"] is None


@EACH
@pytest.mark.parametrize("header", ["", "0", "-1", "1.5", 'W/"7"', '"7", "8"', "seven", '"1000000000"'])
async def test_what_is_no_version_is_invalid(client, rpc, method, path, body, header):
    response = await client.request(method, path, json=body, headers={"if-match": header}, as_="staff:lee")

    assert (response.status_code, response.json()["code"], rpc.requests) == (422, "invalid", [])
    assert response.json()["errors"][0]["field"] == "If-Match"


def test_each_change_of_fields_and_nothing_by_a_customer_takes_a_version():
    taking = {route.operation.path: route for route in all_routes() if "expected_version" in route.form.model_fields}
    patched = {route.operation.path for route in all_routes() if route.operation.method == "PATCH"}

    assert patched < set(taking)
    assert all("customer" not in route.roles for route in taking.values())


async def test_header_and_field_must_agree(client, rpc):
    path, body = next(iter(CHANGES.items()))
    response = await client.patch(
        path, json=body | {"expected_version": 8}, headers={"if-match": '"7"'}, as_="staff:lee"
    )

    assert (response.status_code, rpc.requests) == (422, [])


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({}, {"title": None, "daily_price": None, "copies": None, "status": None}),
        ({"copies": 0}, {"title": None, "daily_price": None, "copies": 0, "status": None}),
        ({"status": "RETIRED"}, {"title": None, "daily_price": None, "copies": None, "status": "RETIRED"}),
    ],
)
async def test_a_change_contains_only_changed_fields(client, rpc, body, sent):
    await client.patch(f"/v1/video-rental/videos/{VIDEO}", json=body, as_="staff:lee")

    assert rpc.body == {"video_id": VIDEO, "expected_version": None, **sent}


@pytest.mark.parametrize(
    "body", [{"title": None}, {"copies": None}, {"status": "LOST"}, {"daily_price": 0}, {"title": " "}]
)
async def test_an_invalid_change_is_refused(client, body):
    answer = await client.patch(f"/v1/video-rental/videos/{VIDEO}", json=body, as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@EACH
async def test_the_same_key_with_another_version_is_another_request(client, rpc, method, path, body):
    for header in ('"7"', "7", '"8"', "*", None):
        headers = {"idempotency-key": "once"} | ({"if-match": header} if header else {})
        await client.request(method, path, json=body, headers=headers, as_="staff:lee")

    assert len({request.message_id for request in rpc.requests}) == 1
    seven, bare, eight, any_version, none = (request.digest for request in rpc.requests)
    assert seven == bare != eight
    assert any_version == none not in (seven, eight)
