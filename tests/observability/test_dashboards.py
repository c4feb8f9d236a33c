"""Every query of a dashboard or an alert names metrics and labels that the system exposes."""

from __future__ import annotations

import yaml

from tests.observability.conftest import Exposed
from tests.observability.prometheus_queries import ADDED_BY_PROMETHEUS, DEPLOY, Query, alerts, dashboards, queries

PROVISIONED = DEPLOY / "grafana" / "provisioning"
OF_PROMETHEUS_ITSELF = {"up"}


def against(query: Query, exposed: Exposed) -> list[str]:
    """List the metrics and labels of a query that no process exposes."""
    wrong, known = [], set(ADDED_BY_PROMETHEUS)
    for name, labels in query.metrics():
        if name in OF_PROMETHEUS_ITSELF:
            continue
        if name not in exposed.declared and name not in exposed.samples:
            wrong.append(f"{query.where}: no process exposes {name}")
            continue
        has = exposed.labels(name) | ADDED_BY_PROMETHEUS
        known |= has
        if exposed.samples[name]:
            wrong += [f"{query.where}: {name} has no label {label}" for label in labels - has]
    return wrong + [f"{query.where}: nothing has the label {label}" for label in query.grouped_by() - known]


def test_every_query_names_metrics_and_labels_that_are_exposed(exposed: Exposed) -> None:
    assert [line for query in queries() for line in against(query, exposed)] == []


def test_a_query_of_an_unknown_metric_or_label_is_reported(exposed: Exposed) -> None:
    for expression in (
        "sum(rate(yeyak_bookings_made_total[5m]))",
        'yeyak_ready{contexts="payments"}',
        "sum by (state) (yeyak_ready)",
        "histogram_quantile(0.9, sum by (le) (rate(yeyak_request_seconds_buckets[5m])))",
    ):
        assert against(Query("here", expression), exposed), expression


def test_nearly_every_metric_is_used_by_a_query(exposed: Exposed) -> None:
    named = {name for query in queries() for name, _ in query.metrics()}
    ours = {name for name in exposed.declared if name.startswith("yeyak_") and not name.endswith("_created")}
    unseen = {name for name in ours if not any(one.startswith(name) for one in named)}
    assert unseen <= {"yeyak_audit_seconds"}


def test_dashboards_are_found_by_grafana() -> None:
    source = yaml.safe_load((PROVISIONED / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    for board in dashboards():
        used = {target["datasource"]["uid"] for panel in board["panels"] for target in panel.get("targets", [])}
        assert used == {source["uid"]}
    assert len({board["uid"] for board in dashboards()}) == len(dashboards()) == 3
    assert alerts()


def test_panels_of_a_dashboard_do_not_overlap() -> None:
    for board in dashboards():
        taken: dict[tuple[int, int], str] = {}
        for panel in board["panels"]:
            place = panel["gridPos"]
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    assert 0 <= x < 24
                    assert taken.setdefault((x, y), panel["title"]) == panel["title"]
