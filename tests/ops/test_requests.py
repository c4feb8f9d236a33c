"""The actor of an operator's requests."""

from __future__ import annotations

import os
import pwd

import pytest

from ops.requests import operator

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")
NOBODYS = 10_001


def test_a_user_without_a_name_is_called_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: NOBODYS)
    with pytest.raises(KeyError):
        pwd.getpwuid(NOBODYS)

    assert operator().member_id == "uid-10001"
