"""The OpenAPI document: every operation with its name, its shapes, its statuses and its problems."""

import re
from collections import Counter

import pytest

from gateway_api.app import all_routes, build
from gateway_api.bodies import accepts_empty
from gateway_api.openapi import problem_codes


@pytest.fixture(scope="module")
def document():
    from ops.settings import SystemSettings

    settings = SystemSettings(jwt_key="a-key-for-tests-that-has-at-least-32-bytes")
    return build(None, settings).openapi()


def operations(document):
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_the_document_has_the_routes_of_the_api_and_nothing_else(document):
    assert set(operations(document)) == {(route.operation.method, route.path) for route in all_routes()}


def test_every_operation_has_a_name_of_its_own(document):
    names = Counter(operation["operationId"] for operation in operations(document).values())

    assert [name for name, count in names.items() if count > 1] == []
    assert all(re.fullmatch(r"[a-z][a-z_]+", name) for name in names)


def test_schemas_have_short_names(document):
    names = document["components"]["schemas"]

    assert [name for name in names if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []
    assert {"Rental", "RentalPage", "CafeOrder", "CafeOrderPage", "ShopOrder", "Problem"} <= names.keys()


@pytest.mark.parametrize("route", all_routes(), ids=lambda route: route.name)
def test_an_operation_is_described_as_it_answers(document, route):
    operation = operations(document)[route.operation.method, route.path]
    answered = {str(route.operation.success), *(str(status) for status, _ in problem_codes(route.operation))}
    success = operation["responses"][str(route.operation.success)]

    assert operation["responses"].keys() == answered
    assert ("Location" in success.get("headers", {})) == bool(route.operation.creates)
    assert ("content" in success) == (route.operation.success != 204)
    assert operation["security"] == [{"token": []}]
    for status, code in problem_codes(route.operation):
        content = operation["responses"][str(status)]["content"]["application/problem+json"]
        example = content["examples"][code]
        example = document["components"]["examples"][code] if "$ref" in example else example
        assert (example["value"]["status"], example["value"]["code"]) == (status, code)


@pytest.mark.parametrize("route", all_routes(), ids=lambda route: route.name)
def test_the_idempotency_key_belongs_to_what_changes_something(document, route):
    operation = operations(document)[route.operation.method, route.path]
    headers = [part["name"] for part in operation.get("parameters", []) if part["in"] == "header"]

    versions = ["If-Match"] if "expected_version" in route.form.model_fields else []
    assert sorted(headers) == (["Idempotency-Key", *versions] if route.operation.method != "GET" else [])


def test_no_parameter_of_a_query_is_null(document):
    for operation in operations(document).values():
        for parameter in operation.get("parameters", []):
            assert "null" not in str(parameter["schema"]), (operation["operationId"], parameter["name"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/video-rental/rentals"),
        ("POST", "/v1/video-rental/rentals/{rental_id}/late-fee-payment"),
        ("POST", "/v1/bike-sharing/deposits/top-ups"),
        ("POST", "/v1/preorder/reservations"),
    ],
)
def test_what_is_paid_may_be_declined(document, method, path):
    assert "payment_declined" in document["paths"][path][method.lower()]["responses"]["402"]["description"]


FORMS = [route for route in all_routes() if route.body_field is not None]


@pytest.mark.parametrize("route", FORMS, ids=lambda route: route.name)
def test_every_body_has_a_valid_example(document, route):
    body = operations(document)[route.operation.method, route.path]["requestBody"]
    schema = document["components"]["schemas"][body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]

    assert body["required"] is not accepts_empty(route.form)
    for example in schema["examples"]:
        assert route.form.model_validate(example, strict=False)
