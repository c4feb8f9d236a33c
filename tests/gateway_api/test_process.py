"""The gateway process: it answers without a broker, reports wrong settings, and stops cleanly."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from gateway_api.tokens import issue

KEY = "a-key-for-tests-that-has-at-least-32-bytes"
PATHS = ("/live", "/ready", "/metrics", "/docs")
NOBODY = "amqp://guest:guest@127.0.0.1:1/"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def make(**settings: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "YEYAK_JWT_KEY": KEY, "YEYAK_AMQP_URL": NOBODY, **settings}
        command = [sys.executable, "-m", "gateway_api"]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.communicate()


def answered(url: str, within: float = 30) -> httpx.Response:
    deadline = time.monotonic() + within
    while True:
        try:
            return httpx.get(url)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_without_a_broker_the_gateway_is_live_but_not_ready_and_stops_at_once(start):
    port = free_port()
    gateway = start(YEYAK_GATEWAY_PORT=str(port))
    base = f"http://127.0.0.1:{port}"

    live = answered(f"{base}/live")
    ready = httpx.get(f"{base}/ready")
    token = issue("kim", "customer", key=KEY)
    page = httpx.get(f"{base}/v1/video-rental/my-page", headers={"authorization": f"Bearer {token}"})
    gateway.send_signal(signal.SIGTERM)

    assert live.status_code == 200
    assert (ready.status_code, ready.json()["parts"]["broker"]) == (503, False)
    assert (page.status_code, page.json()["code"]) == (503, "unavailable")
    assert page.headers["retry-after"].isdigit()
    assert gateway.wait(10) == 0


def test_metrics_are_served_at_the_private_port_only(start):
    public, private = free_port(), free_port()
    gateway = start(YEYAK_GATEWAY_PORT=str(public), YEYAK_HEALTH_PORT=str(private))
    outside, inside = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{private}"

    answered(f"{inside}/live")
    statuses = {path: [httpx.get(f"{base}{path}").status_code for base in (outside, inside)] for path in PATHS}
    gateway.send_signal(signal.SIGTERM)

    assert statuses == {"/live": [200, 200], "/ready": [503, 503], "/metrics": [404, 200], "/docs": [200, 200]}
    assert gateway.wait(10) == 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"YEYAK_JWT_KEY": "short"}, "YEYAK_JWT_KEY"),
        ({"YEYAK_GATEWAY_RATE": "fast"}, "YEYAK_GATEWAY_RATE"),
    ],
)
def test_a_wrong_setting_is_named(start, settings, name):
    gateway = start(YEYAK_GATEWAY_PORT=str(free_port()), **settings)

    _, errors = gateway.communicate(timeout=30)

    assert gateway.returncode == 2
    assert name in errors
    assert "Traceback" not in errors


def test_a_port_in_use_ends_the_process(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway = start(YEYAK_GATEWAY_PORT=str(taken.getsockname()[1]))

        _, errors = gateway.communicate(timeout=30)

    assert gateway.returncode == 3
    assert "in use" in errors
