"""Message ids and digests of repeated requests: they are stored, so their values never change."""

import json
import unicodedata
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.base import Caller
from gateway_api.app import all_routes
from gateway_api.idempotency import digest, message_id
from workers import registry


class Route(NamedTuple):
    method: str
    path: str


KIM = Caller(member_id="kim", role="customer")
BOOK = Route("POST", "/v1/video-rental/rentals")
BODY = {
    "video_id": "0afa707b-1493-4eed-a57b-9e56f3c744a5",
    "days": 2,
    "note": "강남 1층",
    "payment": {"b": None, "a": []},
}


def test_the_values_are_the_same_in_every_release():
    assert message_id(KIM, BOOK, b"key") == UUID("6256e07d-d16b-5c69-bc81-8eefb70c7360")
    assert digest({}, b"") == digest({}, b"{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert (
        digest({"rental_id": "A"}, json.dumps(BODY).encode())
        == "5d8f4176787cd3417b314765adda8defde274d1f36aee3514507f7d3c6301b2e"
    )


def test_without_a_key_every_id_is_new():
    assert message_id(KIM, BOOK, None) != message_id(KIM, BOOK, None)


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(BODY, indent=4),
        json.dumps(BODY, ensure_ascii=False, separators=(",", ":")),
        json.dumps(dict(reversed(BODY.items()))),
        unicodedata.normalize("NFD", json.dumps(BODY, ensure_ascii=False)),
        f"\n{json.dumps(BODY)}\t",
    ],
)
def test_another_spelling_of_the_same_json_is_the_same_request(other):
    assert digest({}, other.encode()) == digest({}, json.dumps(BODY).encode())


@pytest.mark.parametrize(
    "other",
    [
        {**BODY, "days": 3},
        {**BODY, "days": 2.0},
        {**BODY, "days": "2"},
        {**BODY, "extra": None},
        {**BODY, "payment": {}},
    ],
)
def test_another_value_is_another_request(other):
    assert digest({}, json.dumps(other).encode()) != digest({}, json.dumps(BODY).encode())


def test_a_long_text_in_another_normal_form_is_the_same_request():
    body = json.dumps({"address": "강남" * 250, "reason": "é" * 500}, ensure_ascii=False)

    assert digest({}, unicodedata.normalize("NFD", body).encode()) == digest({}, body.encode())


def test_path_parameters_are_a_part_of_the_request():
    digests = [digest(path, b"{}") for path in ({"id": "a"}, {"id": "A"}, {"other": "a"}, {"id": "a/b"}, {})]

    assert len(set(digests)) == 5
    assert digest({"id": "강남"}, b"") == digest({"id": unicodedata.normalize("NFD", "강남")}, b"")
    assert digest({"id": str(UUID(int=10))}, b"") == digest({"id": str(UUID(int=10)).upper()}, b"")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.randoms())
def test_spacing_escapes_and_order_never_matter(value, random):
    def shuffled(tree):
        if isinstance(tree, dict):
            pairs = [(key, shuffled(child)) for key, child in tree.items()]
            random.shuffle(pairs)
            return dict(pairs)
        return [shuffled(child) for child in tree] if isinstance(tree, list) else tree

    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert digest({}, plain.encode()) == digest({}, json.dumps(shuffled(value), indent=1).encode())


@pytest.mark.parametrize("message", [route.operation.message for route in all_routes() if route.operation.creates])
def test_what_creates_something_can_be_answered_by_what_is_there(message):
    assert registry.worker(message.owner()).handlers[message.topic].replays is not None
