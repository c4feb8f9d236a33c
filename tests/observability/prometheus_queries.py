"""The Prometheus queries of the alerts and dashboards, and the metrics and labels in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

ADDED_BY_PROMETHEUS = {"job", "instance", "le"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?\s*(\(?)")
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_WORDS = {"and", "or", "unless"}


@dataclass(frozen=True)
class Query:
    """A Prometheus expression, and the alert or panel that it belongs to."""

    where: str
    expression: str

    def metrics(self) -> Iterator[tuple[str, set[str]]]:
        """Yield each metric of the expression with the labels that it is selected by."""
        text = _RANGE.sub("", _GROUPING.sub(" ", _STRING.sub('""', self.expression)))
        for name, selected, after in _NAME.findall(text):
            if name not in _WORDS and not after:
                yield name, set(_LABEL.findall(selected))

    def grouped_by(self) -> set[str]:
        """Return the labels by which the expression aggregates or matches."""
        bare = _STRING.sub('""', self.expression)
        return {label.strip() for labels in _GROUPING.findall(bare) for label in labels.split(",") if label.strip()}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in DASHBOARDS]


def queries() -> list[Query]:
    """Return the queries of every alert, panel and variable."""
    found = [Query(f"alert {rule['alert']}", rule["expr"]) for rule in alerts()]
    for board in dashboards():
        for panel in board["panels"]:
            where = f"{board['title']}: {panel['title']}"
            found += [Query(where, target["expr"]) for target in panel.get("targets", [])]
        for variable in board["templating"]["list"]:
            selector = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert selector, variable
            found.append(Query(f"{board['title']}: ${variable['name']}", f'{selector[1]}{{{selector[2]}=~".*"}}'))
    return found
