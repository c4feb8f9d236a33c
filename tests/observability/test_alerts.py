"""The alerts pass their promtool tests, and each is documented for operators."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.contracts.catalogue import messages
from tests.observability.prometheus_queries import ALERTS, alerts, queries
from workers.registry import CONTEXTS

ROOT = Path(__file__).parents[2]
MEANINGS = (ROOT / "docs" / "alerts.md").read_text()


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [ROOT / "ops" / "promtool.sh", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_alert_is_raised_when_it_must_be_and_not_before() -> None:
    promtool("test", "rules", ALERTS.with_name("alerts_test.yml"))


def test_every_alert_has_a_test_that_raises_it_and_one_that_does_not() -> None:
    tests = yaml.safe_load(ALERTS.with_name("alerts_test.yml").read_text())["tests"]
    raised, not_raised = set(), set()
    for test in tests:
        for look in test["alert_rule_test"]:
            (raised if look["exp_alerts"] else not_raised).add(look["alertname"])
    assert raised == not_raised == {rule["alert"] for rule in alerts()}


def test_every_alert_has_a_severity_a_summary_and_a_runbook() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"


def test_exactly_the_alerts_that_exist_are_documented() -> None:
    assert re.findall(r"^### (.+)$", MEANINGS, re.MULTILINE) == [rule["alert"] for rule in alerts()]


def test_alerts_on_refusals_name_codes_that_messages_declare() -> None:
    (codes,) = re.findall(r'yeyak_refusals_total\{reason=~"([^"]+)"', ALERTS.read_text())

    declared = {kind.code for message in messages().values() for kind in message.refusals}
    assert set(codes.split("|")) <= declared


def test_links_between_alerts_resolve() -> None:
    for name, anchor in re.findall(r"\[(\w+)\]\(#(\w+)\)", MEANINGS):
        assert anchor == name.lower()
        assert name in {rule["alert"] for rule in alerts()}


def test_prometheus_can_read_its_configuration() -> None:
    promtool("check", "config", ALERTS.with_name("prometheus.yml"))


def test_prometheus_scrapes_every_context() -> None:
    jobs = yaml.safe_load(ALERTS.with_name("prometheus.yml").read_text())["scrape_configs"]
    (system,) = [job for job in jobs if job["job_name"] == "yeyak"]
    names = {name for one in system["dns_sd_configs"] for name in one["names"]}
    assert names == {"gateway", "exporter", *(re.sub(r"[._]", "-", context) for context in CONTEXTS)}


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": query.expression.replace("$context", ".*")}
        for number, query in enumerate(queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)
