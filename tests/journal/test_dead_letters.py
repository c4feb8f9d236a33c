"""A message that cannot be handled is filed with its reason; an operator replays or discards it."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest

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
from workers.runtime.messaging.exchanges import COMMANDS, DEAD

OPERATOR = Caller(member_id="olga", role="operator")
CARD = "4242 4242 4242 4242"
SOME_ID = "b039e8dd-fe85-49e9-adb1-911c066e46a3"


async def put_into_queue(system: System, queue: str, body: bytes, **properties: Any) -> None:
    """Put a message into a queue with the management API."""
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


async def list_dead_letters(system: System, **filters: Any) -> list[dict[str, Any]]:
    return (await system.done(ListDeadLetters(**filters)))["items"]


async def wait_until_filed(system: System, count: int = 1, **filters: Any) -> list[dict[str, Any]]:
    async def filed() -> list[dict[str, Any]] | None:
        found = await list_dead_letters(system, **filters)
        return found if len(found) == count else None

    found: list[dict[str, Any]] = await eventually(filed)
    return found


def resolve(letter: dict[str, Any], action: str, reason: str = "because") -> ResolveDeadLetter:
    return ResolveDeadLetter(dead_letter_id=letter["dead_letter_id"], action=action, reason=reason, caller=OPERATOR)


async def file_dead_letter(system: System, message_id: UUID, *, body: str = "{}", context: str = "payments") -> None:
    """Report that a context dead-lettered a message, as its runtime does."""
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
    await system.broker.publish(
        letter.model_dump_json().encode(),
        routing_key=letter.topic,
        exchange=envelope.exchange(COMMANDS),
        headers=envelope.durable_headers(message_id, message_id, "member:min"),
        message_id=str(uuid4()),
        message_type=letter.topic,
    )


async def dead_letter(
    system: System, queue: str, body: bytes, message_id: str, topic: str = "", headers: dict[str, Any] | None = None
) -> None:
    """Publish the copy of a message of a queue to the dead-letter exchange, as a runtime does that cannot read it."""
    await system.broker.publish(
        body,
        routing_key=queue.partition("@")[0],
        exchange=envelope.exchange(DEAD),
        headers={**(headers or {}), "x-queue": queue, "x-reason": "drill"},
        message_id=message_id,
        message_type=topic,
    )


async def next_message(system: System, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    """Return the next message of a queue that has no consumer."""
    channel = await system.connection.channel()
    source = await channel.get_queue(queue, ensure=False)

    async def there() -> Any:
        return await source.get(fail=False, no_ack=True)

    message: aio_pika.abc.AbstractIncomingMessage = await eventually(there)
    return message


async def test_a_message_that_was_put_into_a_queue_by_hand_is_filed_with_that_reason(journal):
    await put_into_queue(journal, "journal.file_dead_letter@journal", b"hello")

    (letter,) = await wait_until_filed(journal)

    assert letter["error"] == "the message has no message_id"
    assert letter["queue"] == "journal.file_dead_letter@journal"
    assert (letter["source"], letter["context"], letter["message_id"]) == ("broker", "journal", None)
    assert (letter["body"], letter["status"], letter["times"]) == ("hello", "DEAD", 1)
    refusal = await journal.refused(resolve(letter, "replay"))
    assert (refusal["code"], "no id" in refusal["reason"]) == ("not_replayable", True)


async def test_a_message_that_the_broker_dead_lettered_is_filed_with_the_brokers_reason(journal):
    queue, message_id = "payments.void_payment@payments", uuid4()
    await put_into_queue(journal, queue, b"{}", message_id=str(message_id), headers={"story_id": str(message_id)})
    channel = await journal.connection.channel()
    source = await channel.get_queue(queue, ensure=False)

    await (await source.get()).reject(requeue=False)

    (letter,) = await wait_until_filed(journal, context="payments")
    assert (letter["error"], letter["queue"]) == ("rejected by its consumer", queue)
    assert (letter["message_id"], letter["topic"]) == (str(message_id), VoidPayment.topic)


async def test_a_message_that_the_broker_dead_lettered_is_replayed_unchanged(journal):
    payment_id, message_id, story_id, cause = uuid4(), uuid4(), uuid4(), uuid4()
    body = VoidPayment(payment_id=payment_id).model_dump_json().encode()
    headers = envelope.durable_headers(story_id, cause, "member:min")
    queue = "payments.void_payment@payments"
    await dead_letter(journal, queue, body, str(message_id), VoidPayment.topic, headers)
    (letter,) = await wait_until_filed(journal)

    closed = await journal.done(resolve(letter, "replay", "it was a drill"))

    assert (closed["status"], closed["closed_by"], closed["closed_reason"]) == ("REPLAYED", "olga", "it was a drill")
    again = await next_message(journal, "payments.void_payment@payments")
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
async def test_a_message_that_cannot_be_handled_can_only_be_discarded(journal, queue, body, message_id, reason):
    await dead_letter(journal, queue, body, message_id)
    (letter,) = await wait_until_filed(journal)

    refusal = await journal.refused(resolve(letter, "replay"))
    closed = await journal.done(resolve(letter, "discard"))

    assert refusal["code"] == "not_replayable"
    assert reason in refusal["reason"]
    assert closed["status"] == "DISCARDED"


async def test_a_contexts_dead_letter_is_replayed_by_its_context(journal):
    message_id = uuid4()
    await file_dead_letter(journal, message_id)
    (letter,) = await wait_until_filed(journal)
    assert (letter["source"], letter["attempts"], letter["error"]) == ("retries", 5, "ValueError('no')")

    await journal.done(resolve(letter, "replay", "repaired"))

    take_up = take_up_dead_letter("payments")
    command = take_up.model_validate_json((await next_message(journal, f"{take_up.topic}@payments")).body)
    assert (command.message_id, command.action, command.reason) == (message_id, "replay", "repaired")


async def test_a_replayed_message_that_fails_again_is_dead_again_and_counted(journal):
    message_id = uuid4()
    await file_dead_letter(journal, message_id)
    (letter,) = await wait_until_filed(journal)
    await journal.done(resolve(letter, "replay", "first try"))
    await file_dead_letter(journal, message_id)
    (letter,) = await wait_until_filed(journal)
    await journal.done(resolve(letter, "discard", "no use"))

    shown = await journal.done(ShowDeadLetter(dead_letter_id=letter["dead_letter_id"]))

    assert (letter["status"], letter["times"], letter["closed_by"]) == ("DEAD", 2, None)
    assert (shown["status"], shown["closed_reason"]) == ("DISCARDED", "no use")
    assert [(one["action"], one["by"], one["reason"]) for one in shown["resolutions"]] == [
        ("replay", "olga", "first try"),
        ("discard", "olga", "no use"),
    ]


async def test_a_dead_letter_is_resolved_once_and_only_by_an_operator(journal):
    await file_dead_letter(journal, uuid4())
    (letter,) = await wait_until_filed(journal)
    clerk = resolve(letter, "discard").model_copy(update={"caller": Caller(member_id="sam", role="staff")})

    assert (await journal.refused(clerk))["code"] == "wrong_role"
    first = await journal.done(resolve(letter, "discard"))
    second = await journal.refused(resolve(letter, "replay"))

    assert first["status"] == "DISCARDED"
    assert (second["code"], second["current_status"]) == ("wrong_state", "DISCARDED")
    unknown = resolve({"dead_letter_id": uuid4()}, "replay")
    assert (await journal.refused(unknown))["code"] == "not_found"


async def test_card_numbers_are_masked_before_they_are_kept(journal):
    await put_into_queue(journal, "journal.file_dead_letter@journal", f'{{"card": "{CARD}"}}'.encode())
    await file_dead_letter(journal, uuid4(), body=f'{{"note": "paid with {CARD}"}}')

    filed = await wait_until_filed(journal, 2)

    assert sorted(letter["body"] for letter in filed) == [
        '{"card": "**** **** **** ****"}',
        '{"note": "paid with **** **** **** ****"}',
    ]


async def test_a_long_body_is_cut(journal):
    await put_into_queue(journal, topology.DEAD_QUEUE, "가".encode() * 100_000, message_id=str(uuid4()))

    (letter,) = await wait_until_filed(journal)

    assert letter["error"] == "published to the dead-letter queue without a reason"
    assert 65_000 < len(letter["body"].encode()) <= 65_536


async def test_dead_letters_are_filtered_by_context_topic_and_error_and_read_by_pages(journal):
    for _ in range(3):
        await file_dead_letter(journal, uuid4())
    await put_into_queue(journal, "journal.file_dead_letter@journal", b"hello")
    await wait_until_filed(journal, 4)

    assert len(await list_dead_letters(journal, context="payments")) == 3
    assert len(await list_dead_letters(journal, message_topic=VoidPayment.topic)) == 3
    assert len(await list_dead_letters(journal, error="no message_id")) == 1
    assert await list_dead_letters(journal, status="REPLAYED") == []
    first = await journal.done(ListDeadLetters(limit=3))
    rest = await journal.done(ListDeadLetters(limit=3, cursor=first["next_cursor"]))
    ids = [item["dead_letter_id"] for item in first["items"] + rest["items"]]
    assert len(set(ids)) == 4
    assert rest["next_cursor"] is None
    assert (await journal.refused(ListDeadLetters(cursor="?")))["code"] == "invalid"


async def test_a_message_that_is_filed_twice_by_one_delivery_counts_once(journal_system):
    await journal_system.start("journal")
    await put_into_queue(
        journal_system, topology.DEAD_QUEUE, b"{}", message_id=str(uuid4()), headers={"x-reason": "drill"}
    )
    (letter,) = await wait_until_filed(journal_system)

    await file_again(journal_system)

    (same,) = await list_dead_letters(journal_system)
    assert same == letter


async def file_again(system: System) -> None:
    """Repeat a delivery, as after a crash between the commit and the acknowledgement."""
    from storage.journal import NewDeadLetter
    from workers.journal import dead_letters

    row = await system.one("journal", "select * from journal.dead_letters")
    fields = {name: row[name] for name in NewDeadLetter.__slots__ if name != "redelivered"}
    await dead_letters._file(system.contexts["journal"], [NewDeadLetter(**fields, redelivered=True)])


async def test_the_story_of_a_dead_letter_contains_its_failure_and_its_resolution(journal):
    message_id = uuid4()
    await file_dead_letter(journal, message_id)
    (letter,) = await wait_until_filed(journal)
    await journal.done(resolve(letter, "discard", "too old"))

    story = await journal.done(TellStory(id=message_id))

    entries = [(entry["kind"], entry["topic"], entry["outcome"], entry["actor"]) for entry in story["entries"]]
    assert ("dead_letter", VoidPayment.topic, "ValueError('no')", "member:min") in entries
    assert ("operator", f"discard {VoidPayment.topic}", "too old", "olga") in entries
    assert MarkSet.topic not in [entry["topic"] for entry in story["entries"]]
