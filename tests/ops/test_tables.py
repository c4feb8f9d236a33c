"""Tables fit a terminal, and their ids can be copied."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ops import tables


def test_an_id_is_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    id = str(uuid4())

    tables.print_table(
        ["id", "what", "error"], [[id, "cafe.menu.menu_item_changed@cafe.orders", "not a message: " * 20]]
    )

    printed = capsys.readouterr().out
    assert id in printed
    assert max(map(len, printed.splitlines())) <= tables.WIDTH
