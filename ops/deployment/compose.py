"""compose.yaml, and what it must fulfil."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from ops.accounts.files import PAYMENTS
from ops.deployment import settings
from ops.deployment.contexts import name_of
from ops.deployment.rules import FINISHING_SECONDS
from ops.settings import SystemSettings
from ops.stack.local import REPOSITORY
from workers.registry import CONTEXTS

FILE = REPOSITORY / "compose.yaml"
ONE_SHOTS = ("secrets", "accounts", "migrate", "topology")
TOOLS = ("operator",)

Services = dict[str, dict[str, Any]]
Rule = Callable[[Services], Iterator[str]]
RULES: dict[str, Rule] = {}


def services() -> Services:
    """Every service, with what its anchors give it."""
    read: Services = yaml.safe_load(FILE.read_text())["services"]
    return read


def ours(all_services: Services) -> Services:
    """Those that run the system's own image."""
    return {name: service for name, service in all_services.items() if service["image"].startswith("yeyak:")}


def staying(all_services: Services) -> Services:
    """Those of ours that run until they are stopped."""
    return {name: one for name, one in ours(all_services).items() if name not in (*ONE_SHOTS, *TOOLS)}


def account(service: dict[str, Any]) -> str | None:
    """Whose account a service sees."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict) and volume["source"] == "accounts":
            return str(volume["volume"]["subpath"])
    return None


def seconds(text: str) -> float:
    """`30s` or `1m30s`."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)(ms|h|m|s)", text))


def rule(sentence: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[sentence] = function
        return function

    return register


@rule("each context has a service that runs it, with its own account and nobody else's")
def contexts(all_services: Services) -> Iterator[str]:
    for context in CONTEXTS:
        service = all_services.get(name_of(context), {})
        if service.get("command") != ["python", "-m", "workers", context]:
            yield f"nothing runs {context}"
        elif account(service) != context:
            yield f"{context} signs in as {account(service)}"
    for name in staying(all_services).keys() - {name_of(context) for context in CONTEXTS}:
        if account(all_services[name]) is None:
            yield f"{name} has no account"


@rule("our services are confined")
def confined(all_services: Services) -> Iterator[str]:
    for name, service in ours(all_services).items():
        closed = service.get("read_only") and service.get("cap_drop") == ["ALL"]
        if not closed or "no-new-privileges:true" not in service.get("security_opt", []) or "user" in service:
            yield f"{name} may do more than it needs"


@rule("who stays is looked after, and has the time to finish")
def looked_after(all_services: Services) -> Iterator[str]:
    least = SystemSettings.model_fields["drain_seconds"].default + FINISHING_SECONDS
    for name, service in staying(all_services).items():
        if "healthcheck" not in service or service.get("restart") != "unless-stopped" or "mem_limit" not in service:
            yield f"nobody looks after {name}"
        if seconds(service.get("stop_grace_period", "10s")) < least:
            yield f"{name} is killed before its drain is over"


@rule("nothing starts before what it needs")
def in_order(all_services: Services) -> Iterator[str]:
    done = {"condition": "service_completed_successfully"}
    for name, service in staying(all_services).items():
        if not {"migrate": done, "topology": done}.items() <= service.get("depends_on", {}).items():
            yield f"{name} starts before tables and queues are there"
    for name in ("migrate", "topology"):
        needs = all_services[name]["depends_on"]
        healthy = {server for server, how in needs.items() if how == {"condition": "service_healthy"}}
        if healthy != {"rabbitmq", "postgres"} or needs.get("accounts") != done:
            yield f"{name} starts before the servers"


@rule("only this machine reaches a published port")
def local(all_services: Services) -> Iterator[str]:
    for name, service in all_services.items():
        yield from (
            f"{name} publishes {port}" for port in service.get("ports", []) if not port.startswith("127.0.0.1:")
        )


@rule("who keeps no data has no way to the database")
def kept_apart(all_services: Services) -> Iterator[str]:
    near = {name for name, service in all_services.items() if "database" in service.get("networks", ["default"])}
    wanted = {name_of(context) for context in CONTEXTS} | {"postgres", "migrate", "topology", "operator", "exporter"}
    yield from (f"{name} should reach the database" for name in wanted - near)
    yield from (f"{name} should not reach the database" for name in near - wanted)


@rule("the audit reads the refund log where payments writes it")
def refunds(all_services: Services) -> Iterator[str]:
    setting = "YEYAK_PAYMENTS_REFUND_LOG"
    path = all_services[PAYMENTS]["environment"][setting]
    mount = f"refunds:{path.rpartition('/')[0]}:ro"
    for name in ("operator", "exporter"):
        service = all_services[name]
        if service["environment"].get(setting) != path or mount not in service["volumes"]:
            yield f"{name} does not see the refunds"


@rule("what is set are settings")
def settings_exist(all_services: Services) -> Iterator[str]:
    for name, service in ours(all_services).items():
        yield from (f"{name}: {problem}" for problem in settings.wrong(service.get("environment", {})))


@rule("an image has a tag that tells its version")
def tagged(all_services: Services) -> Iterator[str]:
    for name, service in all_services.items():
        if not service["image"].partition(":")[2] or service["image"].endswith(":latest"):
            yield f"{name} runs {service['image']}"


def broken(all_services: Services) -> Iterator[str]:
    """Everything that is against a rule."""
    for sentence, function in RULES.items():
        yield from (f"{sentence}: {what}" for what in function(all_services))
