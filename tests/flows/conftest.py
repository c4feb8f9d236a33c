"""What the stories share: people, and the books that must balance when a file of stories is over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contracts.base import Caller
from tests.flows.renting import discrepancies
from tests.support.town import Town, customer


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()


@pytest.fixture(scope="module", autouse=True)
async def books_balance(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """After the last story of a file that was played in `town`: copies, money and My Page agree."""
    town: Town | None = request.getfixturevalue("town") if "town" in _fixtures(request) else None
    yield
    if town is not None:
        assert await discrepancies(town) == []


def _fixtures(request: pytest.FixtureRequest) -> set[str]:
    return {name for item in request.session.items if item.path == request.path for name in item.fixturenames}  # type: ignore[attr-defined]
