"""Ticketing with its gateway, and members of both grades."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import MakeSettings
from tests.ticketing.helpers import Person, Ticketing, ticketing_with


@pytest.fixture(scope="module")
async def ticketing(make_settings: MakeSettings) -> AsyncIterator[Ticketing]:
    """Ticketing, shared by the tests of a file."""
    async with ticketing_with(make_settings) as running:
        yield running


@pytest.fixture
def kim(ticketing: Ticketing) -> Person:
    return ticketing.member()


@pytest.fixture
def lee(ticketing: Ticketing) -> Person:
    return ticketing.member()


@pytest.fixture
def vip(ticketing: Ticketing) -> Person:
    return ticketing.member("VIP")
