"""Sample data is created once, by any caller."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.sample import seed


class SampleGateway:
    """A gateway that answers each path as the test says, and records the requests."""

    def __init__(self, **answers: ApiResponse) -> None:
        self.answers = answers
        self.sent: list[tuple[str, str]] = []

    async def __call__(self, path: str, body: dict[str, Any], key: str) -> ApiResponse:
        self.sent.append((path, key))
        return self.answers.get(path.rpartition("/")[2], ApiResponse(201))


async def test_each_request_has_a_key_of_its_own():
    gateway = SampleGateway()

    assert await seed(gateway) == 0
    assert len({key for _, key in gateway.sent}) == len(gateway.sent)


async def test_sample_data_that_exists_is_not_created_again():
    gateway = SampleGateway(bikes=ApiResponse(409, {"code": "code_taken"}))

    assert await seed(gateway) == 0
    assert len(gateway.sent) == 1


@pytest.mark.parametrize(("code", "refused"), [("idempotency_key_reused", 0), ("unavailable", 3)])
async def test_refusals_are_counted_except_for_data_of_an_earlier_day(code, refused):
    assert await seed(SampleGateway(videos=ApiResponse(422, {"code": code}))) == refused
