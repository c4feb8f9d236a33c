"""Rules for compose.yaml."""

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
    """Read every service, with its anchors resolved."""
    read: Services = yaml.safe_load(FILE.read_text())["services"]
    return read


def own_services(all_services: Services) -> Services:
    """The services that run the system's own image."""
    return {name: service for name, service in all_services.items() if service["image"].startswith("yeyak:")}


def long_running(all_services: Services) -> Services:
    """The own services that run until they are stopped."""
    return {name: one for name, one in own_services(all_services).items() if name not in (*ONE_SHOTS, *TOOLS)}


def account(service: dict[str, Any]) -> str | None:
    """The account that a service mounts."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict) and volume["source"] == "accounts":
            return str(volume["volume"]["subpath"])
    return None


def seconds(text: str) -> float:
    """Parse a duration such as `30s` or `1m30s`."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)(ms|h|m|s)", text))


def rule(title: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[title] = function
        return function

    return register


@rule("each context has a service that runs it with its own account")
def contexts(all_services: Services) -> Iterator[str]:
    for context in CONTEXTS:
        service = all_services.get(name_of(context), {})
        if service.get("command") != ["python", "-m", "workers", context]:
            yield f"nothing runs {context}"
        elif account(service) != context:
            yield f"{context} signs in as {account(service)}"
    for name in long_running(all_services).keys() - {name_of(context) for context in CONTEXTS}:
        if account(all_services[name]) is None:
            yield f"{name} has no account"


@rule("own services are confined")
def confined(all_services: Services) -> Iterator[str]:
    for name, service in own_services(all_services).items():
        closed = service.get("read_only") and service.get("cap_drop") == ["ALL"]
        if not closed or "no-new-privileges:true" not in service.get("security_opt", []) or "user" in service:
            yield f"{name} is not confined"


@rule("each long-running service is monitored, limited and has time to stop")
def monitored(all_services: Services) -> Iterator[str]:
    least = SystemSettings.model_fields["drain_seconds"].default + FINISHING_SECONDS
    for name, service in long_running(all_services).items():
        if "healthcheck" not in service or service.get("restart") != "unless-stopped" or "mem_limit" not in service:
            yield f"{name} is not monitored and limited"
        if seconds(service.get("stop_grace_period", "10s")) < least:
            yield f"{name} is killed before its drain is over"


@rule("each service starts after its dependencies")
def in_order(all_services: Services) -> Iterator[str]:
    done = {"condition": "service_completed_successfully"}
    for name, service in long_running(all_services).items():
        if not {"migrate": done, "topology": done}.items() <= service.get("depends_on", {}).items():
            yield f"{name} starts before the tables and queues exist"
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


@rule("only services that need the database can reach it")
def database_is_isolated(all_services: Services) -> Iterator[str]:
    connected = {name for name, service in all_services.items() if "database" in service.get("networks", ["default"])}
    wanted = {name_of(context) for context in CONTEXTS} | {"postgres", "migrate", "topology", "operator", "exporter"}
    yield from (f"{name} should reach the database" for name in wanted - connected)
    yield from (f"{name} should not reach the database" for name in connected - wanted)


@rule("the audit reads the refund log where payments writes it")
def refunds(all_services: Services) -> Iterator[str]:
    setting = "YEYAK_PAYMENTS_REFUND_LOG"
    path = all_services[PAYMENTS]["environment"][setting]
    mount = f"refunds:{path.rpartition('/')[0]}:ro"
    for name in ("operator", "exporter"):
        service = all_services[name]
        if service["environment"].get(setting) != path or mount not in service["volumes"]:
            yield f"{name} does not mount the refund log"


@rule("every YEYAK_ variable is a valid setting")
def settings_exist(all_services: Services) -> Iterator[str]:
    for name, service in own_services(all_services).items():
        yield from (f"{name}: {problem}" for problem in settings.invalid(service.get("environment", {})))


@rule("each image has a version tag")
def tagged(all_services: Services) -> Iterator[str]:
    for name, service in all_services.items():
        if not service["image"].partition(":")[2] or service["image"].endswith(":latest"):
            yield f"{name} runs {service['image']}"


def violations(all_services: Services) -> Iterator[str]:
    """Yield every violation of a rule."""
    for title, function in RULES.items():
        yield from (f"{title}: {problem}" for problem in function(all_services))
