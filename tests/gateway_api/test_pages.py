"""Pages that need no token and load nothing from another host."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

import gateway_api
from contracts.base import REFUSALS
from gateway_api.app import all_routes, build
from gateway_api.console import ASSETS
from gateway_api.message_catalogue import catalogue
from gateway_api.pages import STATIC
from gateway_api.problem_kinds import GATEWAY_KINDS, kind_of
from workers.registry import workers

VENDOR = STATIC / "vendor"
VENDORS = (VENDOR, ASSETS / "vendor")
EXAMPLE_URL = "https://yeyak.example"
"""In the text that explains a setting."""
INTERNAL_BASE_URL = "http://console"
"""The console calls the gateway inside its own process; no such host is ever resolved."""


@pytest.mark.parametrize(
    "path", ["/live", "/ready", "/metrics", "/docs", "/openapi.json", "/asyncapi", "/asyncapi.json"]
)
async def test_a_page_needs_no_token(client, path):
    assert (await client.get(path)).status_code == 200


@dataclass
class FakeBroker:
    is_usable: bool = False


async def test_ready_names_the_part_that_is_not_ready(make_client):
    client = make_client()
    state = client._transport.app.state.gateway
    state.broker = broker = FakeBroker()
    away = await client.get("/ready")
    broker.is_usable = True
    back = await client.get("/ready")
    state.draining = True
    leaving = await client.get("/ready")

    assert (away.status_code, away.json()["parts"]["broker"]) == (503, False)
    assert (back.status_code, back.json()["ready"]) == (200, True)
    assert (leaving.status_code, leaving.json()["parts"]["accepting"]) == (503, False)


async def test_metrics_have_route_templates_and_no_ids(client):
    await client.get("/v1/video-rental/rentals/7", as_="customer:kim")

    text = (await client.get("/metrics")).text

    assert 'route="/v1/video-rental/rentals/{rental_id}",status="404"' in text
    assert re.search(r'refusals_total{code="not_found",route="/v1/video-rental/rentals/{rental_id}"}', text)
    assert "kim" not in text


def test_every_vendored_file_has_its_checksum():
    folders = [folder for vendor in VENDORS for folder in vendor.iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        assert (folder / "VERSION").read_text().strip()
        assert (folder / "LICENSE").exists()
        sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
        names = {path.name for path in folder.iterdir()} - {"VERSION", "SHA256SUMS"}
        assert set(sums) == names
        for name, expected in sums.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name


@pytest.mark.parametrize("path", ["/docs", "/asyncapi", "/problems/invalid"])
async def test_a_page_refers_to_no_other_host(client, path):
    page = await client.get(path, headers={"accept": "text/html"})

    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?:[a-z]+:)?//""", page.text)
    assert not re.search(r"https?://", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "://" not in policy
    for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        assert (await client.get(file)).status_code == 200


def test_our_own_files_refer_to_no_other_host():
    ours = [path for path in STATIC.rglob("*") if path.is_file() and VENDOR not in path.parents]
    assert ours
    for path in ours:
        assert not re.search(r"(?:https?:)?//[a-z]", path.read_text()), path
    assert "validatorUrl: null" in (STATIC / "openapi.js").read_text()
    assert not re.search(r"url\((?!['\"]?data:)", next(VENDOR.rglob("*.css")).read_text())


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
async def test_every_reference_in_a_document_resolves(client, path):
    document = (await client.get(path)).json()
    found = set(references(document))

    assert found
    for reference in found:
        target = document
        for part in map(unquote, reference.removeprefix("#/").split("/")):
            assert part in target, reference
            target = target[part]


async def test_openapi_describes_every_route(client):
    document = (await client.get("/openapi.json")).json()

    for route in all_routes():
        operation = document["paths"][route.path][route.operation.method.lower()]
        assert str(route.status_code) in operation["responses"]
        assert {name["name"] for name in operation.get("parameters", [])} >= set(re.findall(r"\{(\w+)\}", route.path))
    booking = document["paths"]["/v1/video-rental/rentals"]["post"]
    assert booking["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Booking"}
    assert booking["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Rental"
    }


async def test_asyncapi_describes_every_message(client):
    document = (await client.get("/asyncapi.json")).json()
    page = (await client.get("/asyncapi")).text

    channels, operations = document["channels"], document["operations"]
    assert document["asyncapi"] == "3.0.0"
    addresses = {channel["address"] for channel in channels.values()}
    assert {topic for worker in workers() for topic in worker.handlers} <= addresses <= catalogue().keys()
    assert [topic for topic in catalogue() if topic not in page] == []
    assert operations["video_rental.rentals.book_video@video_rental.rentals"]["action"] == "receive"
    assert operations["video_rental.rentals.video_booked by video_rental.rentals"]["action"] == "send"
    assert operations["video_rental.rentals.video_booked@video_rental.my_page"]["action"] == "receive"


@pytest.mark.parametrize("code", [*GATEWAY_KINDS, *REFUSALS])
async def test_every_problem_has_a_page(client, code):
    answer = await client.get(f"/problems/{code}")
    page = await client.get(f"/problems/{code}", headers={"accept": "text/html"})

    assert answer.json()["status"] == kind_of(code).status
    assert kind_of(code).ko.title in page.text


async def test_an_unknown_problem_has_no_page(client):
    assert (await client.get("/problems/<script>")).json()["code"] == "not_found"


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/video-rental", "/v1/video-rental/rentals/", "/static/../app.py", "/nothing"]
)
async def test_an_unknown_path_is_a_problem(client, path):
    answer = await client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_method_that_is_not_allowed_names_the_allowed_ones(client):
    answer = await client.request("DELETE", "/v1/video-rental/rentals")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_options_and_head_are_answered(client):
    options = await client.request("OPTIONS", "/v1/video-rental/rentals")
    head = await client.request("HEAD", "/live")
    closed = await client.request("HEAD", "/v1/video-rental/rentals")

    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "13")
    assert (closed.status_code, closed.content) == (401, b"")
    assert (await client.request("OPTIONS", "/nothing")).status_code == 404


async def test_only_listed_origins_may_read(make_client):
    client = make_client(gateway_cors_origins=["https://shop.example"])
    preflight = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,idempotency-key",
    }

    friend = await client.request(
        "OPTIONS", "/v1/video-rental/rentals", headers={"origin": "https://shop.example", **preflight}
    )
    stranger = await client.request(
        "OPTIONS", "/v1/video-rental/rentals", headers={"origin": "https://evil.example", **preflight}
    )
    refused = await client.get("/v1/video-rental/rentals", headers={"origin": "https://shop.example"})

    assert friend.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in stranger.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    assert "Location" in refused.headers["access-control-expose-headers"]


async def test_no_origin_may_read_unless_one_is_listed(client):
    answer = await client.get("/live", headers={"origin": "https://shop.example"})

    assert "access-control-allow-origin" not in answer.headers


async def test_every_answer_has_security_headers(client):
    for path in ("/live", "/docs", "/nothing", "/v1/video-rental/rentals", "/static/page.css"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_no_source_file_names_a_page_of_another_host():
    paths = sorted(Path(gateway_api.__file__).parent.rglob("*.py"))
    links = {(path.name, link) for path in paths for link in re.findall(r"https?://[^\"'`\s)]+", path.read_text())}

    assert {"app.py", "site.py"} <= {path.name for path in paths}
    assert links == {("internal_api.py", INTERNAL_BASE_URL), ("settings.py", EXAMPLE_URL)}


def test_the_application_is_built_without_a_broker(rpc, make_settings):
    assert build(rpc, make_settings()).state.gateway.readiness()["broker"]
