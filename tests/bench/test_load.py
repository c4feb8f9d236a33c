"""The load generator: the requests that it makes, the answers that it parses, the figures that it computes."""

import asyncio
from itertools import islice

import pytest

from bench.booking import Rounds, percentiles
from bench.load import LOST, Connection, requests


def job(**given):
    return {"first": 0, "keys": False, "heads": ["GET /0 HTTP/1.1\r\n"], "bodies": [""]} | given


def test_each_member_books_each_video_once_before_any_pair_comes_again():
    heads, bodies = [f"head {n}\r\n" for n in range(12)], [f"body {n}" for n in range(4)]

    sent = list(islice(requests(job(heads=heads, bodies=bodies)), 48))

    assert len(set(sent)) == 48


def test_neighbouring_requests_book_different_videos():
    bodies = [f"body {n}" for n in range(4)]

    sent = list(islice(requests(job(heads=[f"head {n}\r\n" for n in range(12)], bodies=bodies)), 4))

    assert {request.partition(b"\r\n\r\n")[2].decode() for request in sent} == set(bodies)


def test_a_run_continues_where_the_last_one_ended():
    given = job(heads=["a\r\n", "b\r\n", "c\r\n"], bodies=["1", "2", "3"])

    assert list(islice(requests(given), 9))[4:] == list(islice(requests(given | {"first": 4}), 5))


def test_every_request_has_a_key_of_its_own():
    sent = list(islice(requests(job(keys=True)), 100))

    assert all(b"\r\nIdempotency-Key: " in request for request in sent)
    assert len(set(sent)) == 100


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
async def test_an_answer_is_read_however_it_is_split(size):
    answer = b"HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\nhello world"

    answers = await _answers(answer[at : at + size] for at in range(0, len(answer), size))

    assert answers == [(201, b"hello world")]


async def test_a_lost_connection_counts_as_an_answer():
    assert await _answers([b"HTTP/1.1 201 Created\r\n"]) == [(LOST, b"")]


async def _answers(pieces):
    """Return what a client reads from a server that sends these pieces and closes the connection."""
    answers = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = await Connection.open(server.sockets[0].getsockname()[1])
        answers.append(await client.fetch(b"GET / HTTP/1.1\r\n\r\n"))
        client.close()
    return answers


def test_percentiles_are_milliseconds():
    assert percentiles([n * 1000 for n in range(1, 101)]) == {"p50": 51.0, "p95": 96.0, "p99": 100.0}


def test_cpu_is_reported_per_booking_without_load_generator_and_other_processes():
    rounds = Rounds(rates=[10.0], micros=[1000] * 10, trailing=[0.1])
    rounds.cpu.update({"payments": 0.02, "beam.smp": 0.03, "(load)": 0.01, "(others)": 0.5, "(machine)": 2.0})

    summary = rounds.summary()

    assert summary["cpu_ms"] == {"beam.smp": 3.0, "payments": 2.0}
    assert summary["cpu_ms_all"] == 5.0
    assert summary["cpu_ms_load"] == 1.0
    assert summary["others_percent"] == 25.0
