"""compose.yaml follows the rules, each rule reports its violation, and the file is valid for Compose."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.deployment import compose, schemas
from ops.deployment.compose import Services

Spoil = Callable[[Services], Any]


def test_the_compose_file_follows_the_rules_and_is_valid() -> None:
    assert list(compose.violations(compose.services())) == []
    assert list(schemas.of_file(compose.FILE, "compose-spec.json")) == []


@pytest.mark.parametrize(
    "change",
    [
        {"comand": ["python"]},
        {"stop_grace_period": 30},
        {"healthcheck": {"tests": []}},
        {"depends_on": {"migrate": {"condition": "completed"}}},
    ],
)
def test_a_key_that_compose_does_not_know_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    whole = yaml.safe_load(compose.FILE.read_text())
    whole["services"]["gateway"].update(change)
    spoilt = tmp_path / "compose.yaml"
    spoilt.write_text(yaml.dump(whole))

    assert list(schemas.of_file(spoilt, "compose-spec.json"))


SPOILT: dict[str, list[Spoil]] = {
    "each context has a service that runs it with its own account": [
        lambda services: services.pop("cafe-menu"),
        lambda services: services["cafe-menu"].update(command=["python", "-m", "workers", "cafe.orders"]),
        lambda services: services["cafe-menu"].update(volumes=services["cafe-orders"]["volumes"]),
        lambda services: services["gateway"].update(volumes=[]),
    ],
    "own services are confined": [
        lambda services: services["gateway"].update(read_only=False),
        lambda services: services["migrate"].update(cap_drop=[]),
        lambda services: services["journal"].update(user="0"),
    ],
    "each long-running service is monitored, limited and has time to stop": [
        lambda services: services["journal"].pop("healthcheck"),
        lambda services: services["journal"].update(stop_grace_period="10s"),
        lambda services: services["journal"].pop("mem_limit"),
    ],
    "each service starts after its dependencies": [
        lambda services: services["journal"].update(depends_on={}),
        lambda services: services["migrate"].update(depends_on={"accounts": {}}),
    ],
    "only this machine reaches a published port": [
        lambda services: services["rabbitmq"].update(ports=["5672:5672"]),
    ],
    "only services that need the database can reach it": [
        lambda services: services["gateway"].update(networks=["default", "database"]),
        lambda services: services["journal"].pop("networks"),
    ],
    "the audit reads the refund log where payments writes it": [
        lambda services: services["operator"].update(volumes=[]),
        lambda services: services["exporter"].update(environment={}),
    ],
    "every YEYAK_ variable is a valid setting": [
        lambda services: services["gateway"].update(environment={"YEYAK_GATEWAY_DOOR": "8088"}),
        lambda services: services["gateway"].update(environment={"YEYAK_GATEWAY_PORT": "front"}),
    ],
    "each image has a version tag": [
        lambda services: services["postgres"].update(image="postgres"),
    ],
}


@pytest.mark.parametrize("sentence", compose.RULES)
def test_a_rule_reports_its_violation(sentence: str) -> None:
    assert SPOILT[sentence]

    for number, spoil in enumerate(SPOILT[sentence]):
        services = copy.deepcopy(compose.services())
        spoil(services)
        assert list(compose.RULES[sentence](services)), f"the spoilt file {number} obeys"


def test_durations_are_parsed_as_compose_parses_them() -> None:
    assert [compose.seconds(text) for text in ("30s", "1m30s", "500ms", "1h")] == [30, 90, 0.5, 3600]
