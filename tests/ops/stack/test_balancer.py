"""The balancer in front of several gateways."""

import asyncio
import contextlib
from pathlib import Path

import httpx

from gateway_api.problems import Problem
from ops.stack import control
from ops.stack.balancer import Balancer, Client
from ops.stack.waiting import until


class Gateway:
    """A gateway that answers with its name; `/slow` answers when a test allows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.slow = 0
        self.status = 200
        self.may_answer = asyncio.Event()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> "Gateway":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            if b"/slow" in request:
                self.slow += 1
                await self.may_answer.wait()
            body = self.name.encode()
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def system(root: Path):
    gateways = [await Gateway("first").open(), await Gateway("second").open()]
    balancer = Balancer([gateway.port for gateway in gateways])
    balancer.start_probing()
    server = await asyncio.get_running_loop().create_server(lambda: Client(balancer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = httpx.AsyncClient(base_url=url, trust_env=False, headers={"connection": "close"})
    async with server, control.serve_commands(root, balancer.handle_command, control.BALANCER), client as http:
        yield gateways, http
    balancer.stop()
    for gateway in gateways:
        await gateway.close()


async def who(http: httpx.AsyncClient, times: int = 8) -> set[str]:
    answers = await asyncio.gather(*(http.get("/") for _ in range(times)))
    return {answer.text if answer.status_code == 200 else str(answer.status_code) for answer in answers}


async def sees(http: httpx.AsyncClient, names: set[str]) -> None:
    async def seen() -> bool:
        return await who(http) == names

    assert await until(seen, 5.0), names


async def test_requests_are_shared_by_every_ready_gateway(tmp_path):
    async with system(tmp_path) as (gateways, http):
        await sees(http, {"first", "second"})

        gateways[0].status = 503

        await sees(http, {"second"})
        gateways[0].status = 200
        await sees(http, {"first", "second"})


async def test_no_request_is_sent_to_a_gateway_that_refuses_connections(tmp_path):
    async with system(tmp_path) as (gateways, http):
        await sees(http, {"first", "second"})

        await gateways[1].close()

        assert await who(http) == {"first"}


async def test_without_a_gateway_the_balancer_answers_503(tmp_path):
    async with system(tmp_path) as (gateways, http):
        for gateway in gateways:
            await gateway.close()

        answer = await http.get("/")

    assert answer.status_code == 503
    assert answer.content == Problem("unavailable").response("ko").body
    assert answer.headers.items() >= {"retry-after": "1", "content-type": "application/problem+json"}.items()


async def test_draining_a_gateway_finishes_its_open_requests(tmp_path):
    async with system(tmp_path) as (gateways, http):
        await sees(http, {"first", "second"})
        slow = [asyncio.create_task(http.get("/slow")) for _ in range(4)]
        await until(lambda: _served(gateways), 5.0)
        leaving = asyncio.create_task(
            asyncio.to_thread(
                control.send_command, tmp_path, "drain", str(gateways[0].port), 10.0, socket_name=control.BALANCER
            )
        )

        await sees(http, {"second"})
        assert not leaving.done()
        for gateway in gateways:
            gateway.may_answer.set()

        assert await leaving == {"ok": True}
        assert {(await one).status_code for one in slow} == {200}


async def _served(gateways: list[Gateway]) -> bool:
    return gateways[0].slow > 0 and sum(gateway.slow for gateway in gateways) == 4


async def test_an_answer_reaches_a_client_that_is_still_sending(tmp_path):
    """The gateway answers, ends its side of the connection, and reads on."""
    ended = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readline()
        status = b"200" if b"/ready" in request else b"413"
        writer.write(b"HTTP/1.1 %s X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        writer.write_eof()
        while await reader.read(65_536):
            pass
        writer.close()
        if status == b"413":
            ended.set()

    async with system(tmp_path) as (gateways, http):
        for gateway in gateways:
            await gateway.close()
            server = await asyncio.start_server(refuse, "127.0.0.1", gateway.port)
            gateway._server = server

        answer = await http.post("/", content=b"a" * 8_000_000)

        assert answer.status_code == 413
        await asyncio.wait_for(ended.wait(), 30)
