"""The dashboard of operators: measures, invariants and charts, computed from the journal and the broker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_api import message_catalogue
from gateway_api.console.broker_figures import BrokerFigures
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.words import Count, Money, State, Text, Tone

LATE_SECONDS = 5.0
"""From this age of its oldest outbox row a context gets the tone `wait`."""
STALE_SECONDS = 900.0
"""From this age the last audit gets the tone `wait`."""
NOT_YET, ALL_WELL = Text("아직 없음", "none yet"), Text("이상 없음", "All well")

INVARIANTS = {
    "I1": Text("잃어버린 것이 없다", "Nothing is lost"),
    "I2": Text("두 번 결제된 것이 없다", "Nobody is charged twice"),
    "I3": Text("있는 것보다 많이 내주지 않았다", "Nothing is given out beyond what there is"),
    "I4": Text("받은 돈과 받을 돈이 같다", "What is kept is what things cost"),
    "I5": Text("알린 것은 모두 전해졌다", "Every published event was delivered"),
    "I6": Text("한 번 일어난 일은 한 번만 반영됐다", "What happened once took effect once"),
    "I7": Text("화면이 옛 상태로 돌아가지 않았다", "No view went back to an older state"),
    "I8": Text("화면이 장부와 같다", "Views show what their writers hold"),
    "I9": Text("같은 요청에는 같은 답을 했다", "The same request had the same answer"),
}
"""The invariants of the audit in plain words, by their number."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of the system's status."""

    name: Text
    value: str | Text | Count | Money
    tone: Tone = "neutral"
    at: str | None = None
    """The time of the figure, where that is not now."""


@dataclass(frozen=True, slots=True)
class InvariantResult:
    """One invariant with the result of the last audit."""

    name: Text
    state: State
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class ContextRow:
    """A process of a context with its last report to the journal; `status` is None when no process reported."""

    context: str
    status: dict[str, Any] | None
    tone: Tone

    @property
    def open_breakers(self) -> str:
        """The circuit breakers that are not closed, with their states."""
        breakers = self.status["breakers"] if self.status else []
        return ", ".join(f"{one['callee']}: {one['state']}" for one in breakers if one["state"] != "closed")


def _contexts() -> list[str]:
    return sorted({message.owner() for message in message_catalogue.catalogue().values()})


def rows(response: ApiResponse) -> list[ContextRow]:
    """Return a row for every process that reported, and for every context without one."""
    statuses = response.body.get("standings", []) if response.ok else []
    reported = {status["context"] for status in statuses}
    missing = [ContextRow(name, None, "bad") for name in _contexts() if name not in reported] if response.ok else []
    return [*missing, *(ContextRow(status["context"], status, _tone(status)) for status in statuses)]


def _tone(status: dict[str, Any]) -> Tone:
    if not status["ready"]:
        return "bad"
    late = status["outbox_age"] > LATE_SECONDS
    interrupted = any(one["state"] != "closed" for one in status["breakers"])
    return "wait" if late or interrupted or status["dead"] else "good"


def measures(response: ApiResponse, figures: BrokerFigures, processes: list[ContextRow]) -> list[Measure]:
    """Return the measures that are available; those of a journal or broker without an answer are left out."""
    found: list[Measure] = []
    if response.ok:
        statuses = [row.status for row in processes if row.status]
        not_ready = sum(row.status is None or not row.status["ready"] for row in processes)
        age = max((one["outbox_age"] for one in statuses), default=0.0)
        dead_letters, minutes = response.body["open_letters"], response.body["minutes"]
        found += [
            Measure(Text("준비되지 않은 것", "Not ready"), str(not_ready), "bad" if not_ready else "good"),
            Measure(
                Text("가장 오래 기다린 발신", "Oldest outbox row"),
                f"{age:.1f} s",
                "wait" if age > LATE_SECONDS else "good",
            ),
            Measure(Text("기한이 된 일", "Due now"), str(sum(one["due"] for one in statuses))),
            Measure(Text("처리 못 한 메시지", "Dead letters"), str(dead_letters), "bad" if dead_letters else "good"),
            Measure(Text("지난 한 시간 예약", "Bookings, last hour"), f"{sum(one['bookings'] for one in minutes):,}"),
        ]
        found += audit_measures(response.body.get("audit"), response.body["as_of"])
    if figures.available:
        backlog = sum(queue.backlog for queue in figures.queues)
        without_consumer = sum(queue.consumers == 0 for queue in figures.queues)
        found += [
            Measure(Text("큐에 쌓인 메시지", "Messages waiting"), f"{backlog:,}"),
            Measure(
                Text("소비자 없는 큐", "Queues without consumer"),
                str(without_consumer),
                "wait" if without_consumer else "good",
            ),
        ]
    return found


def audit_measures(audit: dict[str, Any] | None, now: str) -> list[Measure]:
    """Return the result of the last audit and its money balance; `now` is the time of the response."""
    name = Text("지난 점검", "Last audit")
    if audit is None:
        return [Measure(name, NOT_YET, "wait")]
    wrong = sum(one["discrepancies"] for one in audit["invariants"])
    unchecked = sum(one["not_checkable"] is not None for one in audit["invariants"])
    stale = _seconds_between(audit["at"], now) > STALE_SECONDS
    if wrong:
        found = Measure(name, Count(wrong, "건 어긋남", "discrepancies"), "bad", audit["at"])
    elif unchecked:
        found = Measure(name, Count(unchecked, "가지 점검 못 함", "not checkable"), "wait", audit["at"])
    else:
        found = Measure(name, ALL_WELL, "wait" if stale else "good", audit["at"])
    return [found, *_balance(audit)]


def _balance(audit: dict[str, Any]) -> list[Measure]:
    if audit["money_kept"] is None or audit["money_due"] is None:
        return []
    balance = audit["money_kept"] - audit["money_due"]
    name = Text("받은 돈 − 받을 돈", "Money kept − money due")
    return [Measure(name, Money(balance), "bad" if balance else "good", audit["at"])]


def invariants(audit: dict[str, Any] | None) -> list[InvariantResult]:
    """Return the results of the last audit; empty without one."""
    return [_invariant(one) for one in audit["invariants"]] if audit else []


def _invariant(result: dict[str, Any]) -> InvariantResult:
    name = INVARIANTS.get(result["invariant"], Text(result["title"], result["title"]))
    if result["discrepancies"]:
        state = State(f"{result['discrepancies']:,}건 어긋남", f"{result['discrepancies']:,} discrepancies", "bad")
    elif result["not_checkable"] is not None:
        state = State("점검 못 함", "not checkable", "wait")
    else:
        state = State("지켜짐", "kept", "good")
    return InvariantResult(
        name, state, [*result["first"], *([result["not_checkable"]] if result["not_checkable"] else [])]
    )


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def charts(response: ApiResponse, figures: BrokerFigures) -> dict[str, Any]:
    """Return the data of each chart in uPlot's form: a column of seconds since 1970, then one for each line."""
    minutes = response.body.get("minutes", []) if response.ok else []
    at = [int(datetime.fromisoformat(minute["at"]).timestamp()) for minute in minutes]
    return {
        "bookings": [at, [one["bookings"] for one in minutes], [one["refusals"] for one in minutes]],
        "latency": [at, [one["ask_ms"] for one in minutes], [one["ask_ms_p95"] for one in minutes]],
        "backlog": [[stamp for stamp, _ in figures.backlog], [waiting for _, waiting in figures.backlog]],
    }
