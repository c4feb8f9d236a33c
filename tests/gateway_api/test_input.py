"""What every route does with odd input: repeated fields, unreadable texts, instants, card numbers, other spellings."""

from __future__ import annotations

import json
import time
import unicodedata
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
from pydantic import AwareDatetime

from gateway_api import app, bodies
from gateway_api.bodies import Filters, Form, Input
from gateway_api.idempotency import UUID_TEXT
from gateway_api.problems import Problem
from gateway_api.video_rental import Booking
from tests.gateway_api.conftest import bearer
from tests.gateway_api.test_card_numbers import completed, grouped
from tests.gateway_api.test_routes import CARD, ROUTES
from tests.gateway_api.test_texts import HOSTILE, INVISIBLE

assert app.ROUTERS  # the modules of the routes define the forms
WRITES = [(method, path, body or {}, who, topic) for method, path, body, who, topic in ROUTES if method != "GET"]
READS = [route for route in ROUTES if route[0] == "GET"]
MULTILINE = {"reason", "address", "resolution"}
ROLES = {"c": "customer", "s": "staff", "o": "operator"}


def routes(table: list[Any]) -> Any:
    return pytest.mark.parametrize(
        ("method", "path", "body", "who", "topic"), table, ids=[f"{route[0]} {route[4]}" for route in table]
    )


def texts_of(body: dict[str, Any]) -> list[str]:
    """The fields of a sample that are written by a person."""
    plain = {"status", "kind", "action", "grade", "starts_at", "ends_at", "number"}
    texts = {name: value for name, value in body.items() if isinstance(value, str) and not UUID_TEXT.fullmatch(value)}
    return [name for name in texts if name not in plain]


def problem(answer: Any) -> tuple[int, str, list[str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    return answer.status_code, body["code"], [error["field"] for error in body.get("errors", [])]


def models(base: type[Input]) -> list[type[Input]]:
    found = {base, *(model for child in base.__subclasses__() for model in models(child))}
    return sorted(found, key=lambda model: (model.__module__, model.__name__))


def kinds(annotation: Any) -> set[Any]:
    """The classes in an annotation: of `Annotated[str, ...] | None` they are str and NoneType."""
    return set().union(*map(kinds, get_args(annotation))) if get_args(annotation) else {annotation}


FORMS, FILTERS = models(Form), models(Filters)


def fields(of: type) -> Any:
    return pytest.mark.parametrize(
        ("model", "name"),
        [
            pytest.param(model, name, id=f"{model.__module__}.{model.__name__}.{name}")
            for model in (*FORMS, *FILTERS)
            for name, field in model.model_fields.items()
            if of in kinds(field.annotation)
        ],
    )


# --- every route


@routes(WRITES)
async def test_a_repeated_field_is_invalid_at_any_depth(client, rpc, method, path, body, who, topic):
    first = next(iter(body), "anything")
    for content in (
        f'{{"{first}": 1, "{first}": 2}}',
        '{"anything": {"deep": [{"last4": 1, "last4": 2}]}}',
        '{"\\u0061": 1, "a": 1}',
    ):
        answer = await client.request(method, path, content=content, as_=f"{ROLES[who[0]]}:kim")
        status, code, fields = problem(answer)
        assert (status, code) == (422, "invalid")
        assert fields in ([first], ["last4"], ["a"])
        assert answer.json()["errors"][0]["code"] == "repeated"
    assert not rpc.requests


@routes(WRITES)
async def test_json_that_is_none_is_bad_json(client, rpc, method, path, body, who, topic):
    for content in (
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[" * 300 + b"]" * 300,
        b'{"a": ' + b"1" * 5000 + b"}",
        b"\xff",
    ):
        answer = await client.request(method, path, content=content, as_=f"{ROLES[who[0]]}:kim")
        assert problem(answer)[:2] == (400, "bad_json")
    assert not rpc.requests


@routes(WRITES)
async def test_texts_that_nobody_can_read_are_invalid(client, rpc, method, path, body, who, topic):
    for name in texts_of(body):
        one_line = [] if name in MULTILINE else ["a\nb", "a\tb"]
        for text in [*HOSTILE, *INVISIBLE, *one_line]:
            content = json.dumps({**body, name: text})
            answer = await client.request(method, path, content=content, as_=f"{ROLES[who[0]]}:kim")
            assert problem(answer) == (422, "invalid", [name]), ascii(text)
    assert not rpc.requests


@routes(WRITES)
async def test_a_decomposed_text_arrives_composed_and_stripped(client, rpc, method, path, body, who, topic):
    for name in texts_of(body):
        content = json.dumps({**body, name: unicodedata.normalize("NFD", " 강남 ")}, ensure_ascii=False)
        await client.request(method, path, content=content.encode(), as_=f"{ROLES[who[0]]}:kim")
        assert {**rpc.body, **rpc.body.get("account", {})}[name] == "강남"


@routes(WRITES)
async def test_line_breaks_are_accepted_in_reasons_and_addresses(client, rpc, method, path, body, who, topic):
    for name in MULTILINE & body.keys():
        await client.request(method, path, json={**body, name: "서울시\n강남구"}, as_=f"{ROLES[who[0]]}:kim")
        assert rpc.body[name] == "서울시\n강남구"


@routes(WRITES)
async def test_only_instants_by_rfc_3339_are_accepted(client, rpc, method, path, body, who, topic):
    for name in {"starts_at", "ends_at"} & body.keys():
        for value in (
            1893456000,
            1893456000.5,
            "1893456000",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00Z",
            "2030-01-01T00:00:00+0900",
            "2030-01-01T00:00:00,5Z",
            "20300101T000000Z",
            "2030-02-30T00:00:00Z",
            "2030-01-01T24:00:01Z",
            "2030-W01-1T00:00:00Z",
            "٢030-01-01T00:00:00Z",
            " 2030-01-01T00:00:00Z\n",
        ):
            answer = await client.request(method, path, json={**body, name: value}, as_=f"{ROLES[who[0]]}:kim")
            assert problem(answer) == (422, "invalid", [name]), value
        for value in ("2030-01-01T09:00:00+09:00", "2030-01-01t00:00:00z", "2030-01-01T00:00:00.000000000Z"):
            await client.request(method, path, json={**body, "starts_at": value}, as_=f"{ROLES[who[0]]}:kim")
            sent = datetime.fromisoformat(rpc.body["starts_at"])
            assert sent == datetime.fromisoformat("2030-01-01T00:00:00Z")
            assert sent.utcoffset() in (timedelta(0), timedelta(hours=9))


@routes(WRITES)
async def test_another_spelling_of_the_body_is_the_same_request(client, rpc, method, path, body, who, topic):
    headers = {"idempotency-key": "ts-1790000000000"}
    spellings = [
        json.dumps(body),
        json.dumps(dict(reversed(body.items())), indent=3),
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        *([] if body else [""]),
    ]
    for content in spellings:
        await client.request(method, path, content=content, as_=f"{ROLES[who[0]]}:kim", headers=headers)

    assert len(rpc.requests) == len(spellings)
    assert len({(request.message_id, request.digest) for request in rpc.requests}) == 1


@routes(WRITES)
async def test_a_card_number_in_a_body_is_refused(client, rpc, method, path, body, who, topic):
    for card in (
        "4242 4242 4242 4242",
        "3782-822463-10005",
        f"카드 {grouped(completed('9410123456789010'), 4, by='-')}",
        4242424242424242,
    ):
        answer = await client.request(method, path, json={**body, "note": [card]}, as_=f"{ROLES[who[0]]}:kim")
        assert problem(answer)[:2] == (422, "card_number_refused"), card
        assert str(card)[-4:] not in answer.text
        assert "4242" not in answer.text
    assert not rpc.requests


@routes(READS)
async def test_odd_queries_are_refused_and_raw_ones_read(client, rpc, method, path, body, who, topic):
    caller = f"{ROLES[who[0]]}:kim"
    for query in ("a=강", "a=%1b", "a=1&a=2"):
        assert problem(await client.get(f"{path}?{query}", as_=caller))[:2] == (422, "invalid")
    card = await client.get(f"{path}?a=4242-4242-4242-4242", as_=caller)
    assert problem(card)[:2] == (422, "card_number_refused")
    assert not rpc.requests


async def test_a_query_in_raw_utf_8_is_read(rpc, make_settings):
    application = app.build(rpc, make_settings())
    raw = ("location=" + unicodedata.normalize("NFD", "강남역")).encode()

    for query in (raw, b"location=%EA%B0%95%EB%82%A8%EC%97%AD"):
        await get_raw(application, "/v1/bike-sharing/bikes", query)
        assert rpc.body["location"] == "강남역"
    assert await get_raw(application, "/v1/bike-sharing/bikes", b"location=\xff") == 422


async def get_raw(application, path: str, query: bytes) -> int:
    """Send a query string as it is, which no client library does; returns the status."""
    sent = []
    headers = [(b"authorization", bearer("customer:kim").encode())]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query}

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await application({**scope, "root_path": "", "headers": headers}, receive, send)
    return sent[0]["status"]


def test_a_very_long_query_is_refused():
    with pytest.raises(Problem, match="invalid"):
        bodies.check_query(b"location=" + b"%41" * 20_000)


@pytest.mark.parametrize("model", FORMS)
def test_a_body_with_very_many_items_is_no_json_for_us_but_a_text_may_have_any_commas(model):
    with pytest.raises(Problem, match="bad_json"):
        bodies.parse(b'{"a": [' + b"[]," * bodies.MAX_ITEMS + b"[]]}", model)
    with pytest.raises(Problem, match="invalid"):
        bodies.parse(b'{"a\\"": "' + b'[,{\\",' * bodies.MAX_ITEMS + b'"}', model)


# --- every field of every form, whether a sample has it or not


@fields(of=str)
def test_every_text_field_is_bounded_and_readable(model, name):
    schema = json.dumps(model.model_json_schema()["properties"][name])
    assert "maxLength" in schema or "pattern" in schema
    for text in [*HOSTILE, *INVISIBLE]:
        if "\ud800" in text:
            continue  # no JSON: see the routes
        with pytest.raises(ValueError, match=name) as error:
            model.model_validate_json(json.dumps({name: text}))
        assert name in {detail["loc"][0] for detail in error.value.errors()}


@fields(of=AwareDatetime)
def test_every_instant_is_a_text_by_rfc_3339(model, name):
    for value in (1893456000, "1893456000", "2030-01-01"):
        with pytest.raises(ValueError, match=name) as error:
            model.model_validate_json(json.dumps({name: value}))
        assert name in {detail["loc"][0] for detail in error.value.errors()}


# --- linear time


def adversarial(size: int) -> dict[str, bytes]:
    """Bodies of about this many bytes that are hard for one of the steps."""

    def filled(pattern: str, piece: str) -> bytes:
        count = (size - len(pattern.encode())) // len(piece.encode())
        return pattern.replace("*", piece * count, 1).encode()

    names = ",".join(f'"{number:07}":1' for number in range(size // 12))
    return {
        "ones": filled('{"name":"*"}', "1 "),
        "fours": filled('{"name":"*"}', "4 "),
        "groups": filled('{"name":"*"}', "4111 4111 411 "),
        "lookalikes": filled('{"name":"*"}', "4111111111111112,"),
        "dashes": filled('{"name":"*"}', "4----"),
        "escapes": filled('{"name":"*"}', "\\u0034"),
        "escaped spaces": filled('{"name":"*"}', "4\\n"),
        "full width": filled('{"name":"*"}', "\uff14\uff11\uff11\uff11 "),
        "hangul": filled('{"name":"*"}', "강"),
        "decomposed": filled('{"name":"*"}', "\u1100\u1161\u11bc"),
        "marks": filled('{"name":"a*"}', "\u0301\u0316"),
        "long name": filled('{"*":1}', "k"),
        "many names": f"{{{names}}}".encode(),
        "names in payment": f'{{"payment":{{{names}}}}}'.encode(),
        "lists": filled('{"name":[*[]]}', "[],"),
        "objects": filled('{"name":[*{}]}', '{"a":1},'),
        "repeated at the end": filled('{"name":[*{}],"name":1}', "{},"),
        "strings": filled('{"name":[*1]}', '"",'),
        "unterminated": b"[" + b"," * (size // 8) + filled('"*', '\\"'),
        "numbers": filled('{"name":[*1]}', "1,"),
        "exponents": filled('{"name":[*1]}', "1e5,"),
        "nested": b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
        "surrogate": filled('{"name":"*\\ud800"}', "a"),
    }


def seconds(body: bytes, form: type[Form]) -> float:
    taken = []
    for _ in range(3):
        begun = time.process_time()
        with pytest.raises(Problem):
            bodies.parse(body, form)
        taken.append(time.process_time() - begun)
    return min(taken)


@pytest.mark.parametrize("name", adversarial(100))
def test_reading_a_body_takes_time_in_proportion_to_its_length(name):
    small, large = adversarial(2**16)[name], adversarial(2**19)[name]

    for form in FORMS[:: max(1, len(FORMS) // 6)]:
        assert seconds(large, form) < 32 * seconds(small, form) + 0.05  # eight times the body; a square would be 64


def test_ids_are_not_taken_for_card_numbers():
    body = json.dumps({"video_id": "42424242-4242-4242-4242-424242424242", "payment": CARD}).encode()
    assert bodies.parse(body, Booking).video_id == UUID("42424242-4242-4242-4242-424242424242")
