"""The AsyncAPI 3 document: every message of the system, generated from the catalogue of contracts."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

import contracts
from contracts.base import CATALOGUE, Event, Message, Query
from contracts.journal import take_up_dead_letter

REF = "#/components/schemas/{model}"
REPLIES = "yeyak.replies"

_VERBS = {"event": "publishes", "command": "handles", "question": "answers"}

HEADERS = {
    "type": "object",
    "description": "AMQP properties and headers of a message.",
    "properties": {
        "message_id": {
            "type": "string",
            "format": "uuid",
            "description": "property; a repeated id marks the same message",
        },
        "type": {"type": "string", "description": "property; the topic"},
        "app_id": {"type": "string", "description": "property; the sending context"},
        "correlation_id": {"type": "string", "description": "property; unique for each request"},
        "story_id": {"type": "string", "format": "uuid", "description": "the story that the message belongs to"},
        "causation_id": {"type": "string", "format": "uuid", "description": "the message that caused this one"},
        "actor": {"type": "string", "examples": ["customer:kim"]},
        "deadline_ms": {
            "type": "integer",
            "description": "requests only: the time that the handler has, in milliseconds",
        },
        "request_digest": {"type": "string"},
        "traceparent": {"type": "string"},
    },
}


def catalogue() -> dict[str, type[Message]]:
    """Return every message by its topic; imports all contracts."""
    for module in pkgutil.walk_packages(contracts.__path__, "contracts."):
        importlib.import_module(module.name)
    for context in {message.owner() for message in CATALOGUE.values()}:
        take_up_dead_letter(context)
    return dict(sorted(CATALOGUE.items()))


def kind(message: type[Message]) -> str:
    """Return `event`, `command`, or `question` for a query: the values of the document."""
    if issubclass(message, Event):
        return "event"
    return "question" if issubclass(message, Query) else "command"


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    messages = catalogue()
    requests = {topic: message for topic, message in messages.items() if message.answer is not None}
    shapes: list[type[BaseModel]] = [*messages.values(), *(message.answer for message in requests.values())]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(shape, "serialization") for shape in dict.fromkeys(shapes)]
    refs, defined = models_json_schema(models, ref_template=REF)

    described = {topic: _message(topic, message, refs[message, "serialization"]) for topic, message in messages.items()}
    answers = {
        _answer(topic): _reply(topic, message, refs[message.answer, "serialization"])
        for topic, message in requests.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Yeyak",
            "version": "1",
            "description": "A command or a query is handled by one context, an event by any number of contexts. "
            "Commands and queries with an answer are requests; all other messages are durable.",
        },
        "defaultContentType": "application/json",
        "channels": {
            **{topic: _channel(topic, message.exchange, [topic]) for topic, message in messages.items()},
            REPLIES: {
                **_channel(None, REPLIES, list(answers)),
                "description": "Replies, routed to the reply queue of the sender.",
            },
        },
        "operations": {topic: _operation(topic, message) for topic, message in messages.items()},
        "components": {
            "messages": described | answers,
            "schemas": {**defined.get("$defs", {}), "Headers": HEADERS},
        },
    }


def _answer(topic: str) -> str:
    return f"{topic}.answer"


def _message(topic: str, message: type[Message], payload: Any) -> dict[str, Any]:
    return {
        "name": topic,
        "title": message.__name__,
        "summary": summary(message),
        "contentType": "application/json",
        "headers": {"$ref": REF.format(model="Headers")},
        "correlationId": {"location": "$message.header#/correlation_id"},
        "tags": [{"name": kind(message)}, {"name": message.delivery()}],
        "payload": payload,
    }


def summary(message: type[Message]) -> str:
    """Return the first line of a message's own docstring; empty without one."""
    own = message.__dict__.get("__doc__") or ""
    return own.strip().partition("\n")[0]


def _reply(topic: str, message: type[Message], payload: Any) -> dict[str, Any]:
    title = f"Answer to {message.__name__}"
    return {"name": _answer(topic), "title": title, "contentType": "application/json", "payload": payload}


def _channel(address: str | None, exchange: str, messages: list[str]) -> dict[str, Any]:
    kind = "direct" if exchange == REPLIES else "topic"
    properties = {"name": exchange, "type": kind, "durable": True, "autoDelete": False, "vhost": "/"}
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"amqp": {"is": "routingKey", "exchange": properties, "bindingVersion": "0.3.0"}},
    }


def _operation(topic: str, message: type[Message]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": "send" if kind(message) == "event" else "receive",
        "summary": f"{message.owner()} {_VERBS[kind(message)]}",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{topic}"}],
        "tags": [{"name": message.owner()}],
    }
    if message.answer is not None:
        operation["reply"] = {
            "address": {"location": "$message.header#/reply_to"},
            "channel": {"$ref": f"#/channels/{REPLIES}"},
            "messages": [{"$ref": f"#/channels/{REPLIES}/messages/{_answer(topic)}"}],
        }
    return operation
