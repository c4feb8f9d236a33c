"""The output of `siege` is parsed and counted."""

from pathlib import Path

import pytest

from ops.drills import siege
from ops.drills.siege import LoadResult, SiegeRequest, split_evenly

PRINTED = b"""\
** SIEGE 4.0.7
** Preparing 5 concurrent users for battle.
The server is now under siege...
HTTP/1.1 200     0.07 secs:    1114 bytes ==> GET  /v1/cafe/menu
HTTP/1.1 201     0.40 secs:     300 bytes ==> POST http://127.0.0.1:8088/v1/cafe/orders
HTTP/1.1 401     0.01 secs:     110 bytes ==> GET  /v1/cafe/menu
HTTP/1.1 503     0.02 secs:     193 bytes ==> GET  /v1/cafe/menu
[error] socket: read error Connection reset by peer sock.c:539: Connection reset by peer
"""


def test_only_2xx_count_as_good():
    load = LoadResult(seconds=2.0)

    load.add(PRINTED)
    load.add(b"HTTP/1.1 200     0.03 secs:    1114 bytes ==> GET  /v1/cafe/menu\n")

    assert (load.total, load.good, load.without_response) == (6, 3, 1)
    assert (load.availability, load.rate) == (50.0, 1.5)
    assert load.slowest(200, share=1.0) == 0.07
    assert str(load) == "3 x 2xx of 6 (50.00 %), 1 x 401, 1 x 503, 1 x no answer"


def test_no_answer_means_no_availability():
    assert LoadResult().availability == 0.0


def test_a_request_with_a_body_is_a_post():
    assert SiegeRequest("http://here/menu").line() == "http://here/menu"
    assert SiegeRequest("http://here/orders", {"quantity": 1}).line() == 'http://here/orders POST {"quantity": 1}'


def test_every_client_is_started():
    assert split_evenly(255, 20) == [13] * 15 + [12] * 5
    assert split_evenly(100, 20) == [5] * 20


async def test_the_output_of_a_siege_that_hangs_at_its_end_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "printed").write_bytes(PRINTED)
    (tmp_path / "siege").write_text(f"#!/bin/sh\ncat {tmp_path}/printed\nexec sleep 600\n")
    (tmp_path / "siege").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(siege, "GRACE_SECONDS", 1.0)

    load = await siege.load([SiegeRequest("http://here/menu")], ["kim", "lee"], clients=10, seconds=0.5)

    assert (load.total, load.good, load.seconds) == (10, 4, 0.5)
