"""What nobody can handle is filed with its reason; a person replays it or gives it up."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
from workers.runtime.messaging.bus import COMMANDS, DEAD

from contracts.base import Caller
from contracts.journal import (
    FileDeadLetter,
    ListDeadLetters,
    MarkSet,
    ResolveDeadLetter,
    ShowDeadLetter,
    TellStory,
    take_up_dead_letter,
)
from contracts.payments import VoidPayment
from tests.support.system import System, eventually
from workers.runtime.messaging import envelope, topology

OPERATOR = Caller(member_id="olga", role="operator")
CARD = "4242 4242 4242 4242"
SOME_ID = "b039e8dd-fe85-49e9-adb1-911c066e46a3"


async def put(system: System, queue: str, body: bytes, **properties: Any) -> None:
    """Put a message into a queue by hand, as the management console does."""
    vhost = system.settings.amqp_url.get_secret_value().rpartition("/")[2]
    message = {
        "routing_key": queue,
        "properties": properties,
        "payload": base64.b64encode(body).decode(),
        "payload_encoding": "base64",
    }
    async with httpx.AsyncClient(base_url=system.settings.rabbitmq_api.get_secret_value(), trust_env=False) as console:
        answer = await console.post(f"/api/exchanges/{vhost}/amq.default/publish", json=message)
    assert answer.json() == {"routed": True}


async def letters(system: System, **filters: Any) -> list[dict[str, Any]]:
    return (await system.done(ListDeadLetters(**filters)))["items"]


async def until_filed(system: System, count: int = 1, **filters: Any) -> list[dict[str, Any]]:
    async def filed() -> list[dict[str, Any]] | None:
        found = await letters(system, **filters)
        return found if len(found) == count else None

    found: list[dict[str, Any]] = await eventually(filed)
    return found


def resolve(letter: dict[str, Any], action: str, reason: str = "because") -> ResolveDeadLetter:
    return ResolveDeadLetter(dead_letter_id=letter["dead_letter_id"], action=action, reason=reason, caller=OPERATOR)


async def given_up(system: System, message_id: UUID, *, body: str = "{}", context: str = "payments") -> None:
    """Tell that a context gave a message up."""
    letter = FileDeadLetter(
        context=context,
        message_id=message_id,
        message_topic=VoidPayment.topic,
        body=body,
        error="ValueError('no')",
        attempts=5,
        story_id=message_id,
        causation_id=None,
        actor="member:min",
    )
    told = envelope.told(
        uuid4(), letter.model_dump_json().encode(), letter.topic, context, message_id, message_id, "member:min"
    )
    await system.bus.publish(COMMANDS, letter.topic, told)


async def heard(system: System, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    """The next message of a queue that nobody reads."""
    channel = await system.connection.channel()
    source = await channel.get_queue(queue, ensure=False)

    async def there() -> Any:
        return await source.get(fail=False, no_ack=True)

    message: aio_pika.abc.AbstractIncomingMessage = await eventually(there)
    return message


async def test_a_message_that_was_put_into_a_queue_by_hand_is_filed_with_that_reason(journal):
    await put(journal, "journal.file_dead_letter@journal", b"hello")

    (letter,) = await until_filed(journal)

    assert letter["error"] == "the message has no message_id"
    assert letter["queue"] == "journal.file_dead_letter@journal"
    assert (letter["source"], letter["context"], letter["message_id"]) == ("broker", "journal", None)
    assert (letter["body"], letter["status"], letter["times"]) == ("hello", "DEAD", 1)
    refusal = await journal.refused(resolve(letter, "replay"))
    assert (refusal["code"], "no id" in refusal["reason"]) == ("not_replayable", True)


async def test_what_the_broker_gave_up_is_filed_with_the_brokers_reason(journal):
    queue, message_id = "payments.void_payment@payments", uuid4()
    await put(journal, queue, b"{}", message_id=str(message_id), headers={"story_id": str(message_id)})
    channel = await journal.connection.channel()
    source = await channel.get_queue(queue, ensure=False)

    await (await source.get()).reject(requeue=False)

    (letter,) = await until_filed(journal, context="payments")
    assert (letter["error"], letter["queue"]) == ("rejected by its consumer", queue)
    assert (letter["message_id"], letter["topic"]) == (str(message_id), VoidPayment.topic)


async def test_what_died_in_the_broker_is_said_again_as_it_was(journal):
    payment_id, message_id, story_id, cause = uuid4(), uuid4(), uuid4(), uuid4()
    body = VoidPayment(payment_id=payment_id).model_dump_json().encode()
    original = envelope.told(message_id, body, VoidPayment.topic, "video_rental.rentals", story_id, cause, "member:min")
    original.headers["x-queue"], original.headers["x-reason"] = "payments.void_payment@payments", "drill"
    await journal.bus.publish(DEAD, VoidPayment.topic, original)
    (letter,) = await until_filed(journal)

    closed = await journal.done(resolve(letter, "replay", "it was a drill"))

    assert (closed["status"], closed["closed_by"], closed["closed_reason"]) == ("REPLAYED", "olga", "it was a drill")
    again = await heard(journal, "payments.void_payment@payments")
    assert (again.message_id, again.type, again.body) == (str(message_id), VoidPayment.topic, body)
    assert again.headers["story_id"] == str(story_id)
    assert (again.headers["causation_id"], again.headers["actor"]) == (str(cause), "member:min")


@pytest.mark.parametrize(
    ("queue", "body", "message_id", "reason"),
    [
        ("payments.void_payment@payments", b"not JSON", SOME_ID, "not a payments.void_payment"),
        ("payments.void_payment@payments", b'{"payment_id": "\xff"}', SOME_ID, "truncated, escaped or masked"),
        ("payments.void_payment@payments", b"{}", "not-a-uuid", "no id"),
        ("payments.no_such_thing@payments", b"{}", SOME_ID, "no message has the topic"),
        ("journal.tell_story@journal", b"{}", SOME_ID, "it was a request"),
    ],
)
async def test_some_can_only_be_given_up(journal, queue, body, message_id, reason):
    message = aio_pika.Message(body, message_id=message_id, headers={"x-queue": queue, "x-reason": "drill"})
    await journal.bus.dead_letter("any.thing", message)
    (letter,) = await until_filed(journal)

    refusal = await journal.refused(resolve(letter, "replay"))
    given_up = await journal.done(resolve(letter, "discard"))

    assert refusal["code"] == "not_replayable"
    assert reason in refusal["reason"]
    assert given_up["status"] == "DISCARDED"


async def test_a_contexts_dead_letter_is_replayed_by_its_context(journal):
    message_id = uuid4()
    await given_up(journal, message_id)
    (letter,) = await until_filed(journal)
    assert (letter["source"], letter["attempts"], letter["error"]) == ("retries", 5, "ValueError('no')")

    await journal.done(resolve(letter, "replay", "repaired"))

    take_up = take_up_dead_letter("payments")
    told = take_up.model_validate_json((await heard(journal, f"{take_up.topic}@payments")).body)
    assert (told.message_id, told.action, told.reason) == (message_id, "replay", "repaired")


async def test_one_that_dies_again_is_dead_again_and_counts(journal):
    message_id = uuid4()
    await given_up(journal, message_id)
    (letter,) = await until_filed(journal)
    await journal.done(resolve(letter, "replay", "first try"))
    await given_up(journal, message_id)
    (letter,) = await until_filed(journal)
    await journal.done(resolve(letter, "discard", "no use"))

    shown = await journal.done(ShowDeadLetter(dead_letter_id=letter["dead_letter_id"]))

    assert (letter["status"], letter["times"], letter["closed_by"]) == ("DEAD", 2, None)
    assert (shown["status"], shown["closed_reason"]) == ("DISCARDED", "no use")
    assert [(one["action"], one["by"], one["reason"]) for one in shown["resolutions"]] == [
        ("replay", "olga", "first try"),
        ("discard", "olga", "no use"),
    ]


async def test_a_closed_one_is_not_resolved_twice_and_only_by_an_operator(journal):
    await given_up(journal, uuid4())
    (letter,) = await until_filed(journal)
    clerk = resolve(letter, "discard").model_copy(update={"caller": Caller(member_id="sam", role="staff")})

    assert (await journal.refused(clerk))["code"] == "wrong_role"
    first = await journal.done(resolve(letter, "discard"))
    second = await journal.refused(resolve(letter, "replay"))

    assert first["status"] == "DISCARDED"
    assert (second["code"], second["current_status"]) == ("wrong_state", "DISCARDED")
    unknown = resolve({"dead_letter_id": uuid4()}, "replay")
    assert (await journal.refused(unknown))["code"] == "not_found"


async def test_card_numbers_are_masked_before_they_are_kept(journal):
    await put(journal, "journal.file_dead_letter@journal", f'{{"card": "{CARD}"}}'.encode())
    await given_up(journal, uuid4(), body=f'{{"note": "paid with {CARD}"}}')

    filed = await until_filed(journal, 2)

    assert sorted(letter["body"] for letter in filed) == [
        '{"card": "**** **** **** ****"}',
        '{"note": "paid with **** **** **** ****"}',
    ]


async def test_a_long_body_is_cut(journal):
    await put(journal, topology.DEAD_QUEUE, "가".encode() * 100_000, message_id=str(uuid4()))

    (letter,) = await until_filed(journal)

    assert letter["error"] == "published to the dead-letter queue without a reason"
    assert 65_000 < len(letter["body"].encode()) <= 65_536


async def test_they_are_found_by_context_topic_and_error_and_read_by_pages(journal):
    for _ in range(3):
        await given_up(journal, uuid4())
    await put(journal, "journal.file_dead_letter@journal", b"hello")
    await until_filed(journal, 4)

    assert len(await letters(journal, context="payments")) == 3
    assert len(await letters(journal, message_topic=VoidPayment.topic)) == 3
    assert len(await letters(journal, error="no message_id")) == 1
    assert await letters(journal, status="REPLAYED") == []
    first = await journal.done(ListDeadLetters(limit=3))
    rest = await journal.done(ListDeadLetters(limit=3, cursor=first["next_cursor"]))
    ids = [item["dead_letter_id"] for item in first["items"] + rest["items"]]
    assert len(set(ids)) == 4
    assert rest["next_cursor"] is None
    assert (await journal.refused(ListDeadLetters(cursor="?")))["code"] == "invalid"


async def test_a_message_that_is_filed_twice_by_one_delivery_counts_once(house):
    await house.start("journal")
    await put(house, topology.DEAD_QUEUE, b"{}", message_id=str(uuid4()), headers={"x-reason": "drill"})
    (letter,) = await until_filed(house)

    await file_again(house)

    (same,) = await letters(house)
    assert same == letter


async def file_again(system: System) -> None:
    """The very same delivery once more, as after a crash between the commit and the acknowledgement."""
    from workers.journal import dead_letters

    row = await system.one("journal", "select * from journal.dead_letters")
    fields = {name: row[name] for name in dead_letters.NewDeadLetter.__slots__ if name != "redelivered"}
    await dead_letters._store(system.contexts["journal"], [dead_letters.NewDeadLetter(**fields, redelivered=True)])


async def test_its_story_tells_of_its_death_and_of_what_was_decided(journal):
    message_id = uuid4()
    await given_up(journal, message_id)
    (letter,) = await until_filed(journal)
    await journal.done(resolve(letter, "discard", "too old"))

    story = await journal.done(TellStory(id=message_id))

    told = [(entry["kind"], entry["topic"], entry["outcome"], entry["actor"]) for entry in story["entries"]]
    assert ("dead_letter", VoidPayment.topic, "ValueError('no')", "member:min") in told
    assert ("operator", f"discard {VoidPayment.topic}", "too old", "olga") in told
    assert MarkSet.topic not in [entry["topic"] for entry in story["entries"]]
