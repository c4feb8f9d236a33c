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


@pytest.fixture(scope="module")
async def books_balance(town: Town) -> AsyncIterator[None]:
    """After the last story of a file: copies, money and My Page agree."""
    yield
    assert await discrepancies(town) == []
