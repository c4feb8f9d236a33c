"""The AsyncAPI document of all contexts, as FastStream generates it: who publishes what, and who consumes it."""

from __future__ import annotations

import json
import warnings

from contracts.base import CATALOGUE
from gateway_api.pages import ASYNCAPI
from workers.app import create_app, runtimes_of
from workers.registry import CONTEXTS
from workers.settings import WorkerSettings

FILE = ASYNCAPI
SERVER = "rabbitmq.example"


def document() -> str:
    """The document as JSON; raises RuntimeWarning when two different schemas have one name."""
    settings = WorkerSettings.model_construct()  # the defaults: the environment is not read
    app = create_app(runtimes_of(list(CONTEXTS), settings))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        specification = json.loads(app.schema.to_specification().to_json())
    for server in specification["servers"].values():
        server.update(host=SERVER, pathname="/")
    for name, operation in specification["operations"].items():
        if refusals := _refusals(name.partition("@")[0]):
            operation["description"] = f"Refused with {refusals}."
    return json.dumps(specification, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _refusals(topic: str) -> str:
    message = CATALOGUE.get(topic)
    return ", ".join(f"`{refusal.code}`" for refusal in message.refusals) if message else ""
