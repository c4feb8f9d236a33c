"""A system in which ticketing is at work, shared by the stories of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import MakeSettings
from tests.ticketing.words import Box, Person, box_with


@pytest.fixture(scope="module")
async def box(make_settings: MakeSettings) -> AsyncIterator[Box]:
    async with box_with(make_settings) as running:
        yield running


@pytest.fixture
def kim(box: Box) -> Person:
    return box.member()


@pytest.fixture
def lee(box: Box) -> Person:
    return box.member()


@pytest.fixture
def vip(box: Box) -> Person:
    return box.member("VIP")
