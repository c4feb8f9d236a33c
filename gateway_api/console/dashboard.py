"""The system at a dashboard: figures, promises and charts, out of what the journal and the broker told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_api import asyncapi
from gateway_api.console.broker_figures import BrokerFigures
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.words import Count, Money, State, Text, Tone

LATE_SECONDS = 5.0
"""An outbox row that is older is worth a look."""
STALE_SECONDS = 900.0
"""An audit that is older says little of now."""
NOT_YET, ALL_WELL = Text("아직 없음", "none yet"), Text("이상 없음", "All well")

PROMISES = {
    "I1": Text("잃어버린 것이 없다", "Nothing is lost"),
    "I2": Text("두 번 결제된 것이 없다", "Nobody is charged twice"),
    "I3": Text("있는 것보다 많이 내주지 않았다", "Nothing is given out beyond what there is"),
    "I4": Text("받은 돈과 받을 돈이 같다", "What is kept is what things cost"),
    "I5": Text("알린 것은 모두 전해졌다", "Whatever was said was heard"),
    "I6": Text("한 번 일어난 일은 한 번만 반영됐다", "What happened once took effect once"),
    "I7": Text("화면이 옛 상태로 돌아가지 않았다", "No view went back to an older state"),
    "I8": Text("화면이 장부와 같다", "Views show what their writers hold"),
    "I9": Text("같은 요청에는 같은 답을 했다", "The same request had the same answer"),
}
"""What the invariants mean to people."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of the system's health."""

    name: Text
    value: str | Text | Count | Money
    tone: Tone = "calm"
    at: str | None = None
    """When that was so, where it is not now."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One invariant, as the last audit found it."""

    name: Text
    state: State
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """A context as it told of itself; `standing` is None when none of its processes did."""

    context: str
    standing: dict[str, Any] | None
    tone: Tone

    @property
    def shut(self) -> str:
        """The contexts that it does not ask for now."""
        told = self.standing["breakers"] if self.standing else []
        return ", ".join(f"{one['callee']}: {one['state']}" for one in told if one["state"] != "closed")


def _contexts() -> list[str]:
    return sorted({message.owner() for message in asyncapi.catalogue().values()})


def rows(told: ApiResponse) -> list[Row]:
    """Every process that told of itself, and every context of which none did."""
    standings = told.body.get("standings", []) if told.ok else []
    there = {standing["context"] for standing in standings}
    missing = [Row(name, None, "bad") for name in _contexts() if name not in there] if told.ok else []
    return [*missing, *(Row(one["context"], one, _tone(one)) for one in standings)]


def _tone(standing: dict[str, Any]) -> Tone:
    if not standing["ready"]:
        return "bad"
    late = standing["outbox_age"] > LATE_SECONDS
    shut = any(one["state"] != "closed" for one in standing["breakers"])
    return "wait" if late or shut or standing["dead"] else "good"


def measures(told: ApiResponse, figures: BrokerFigures, processes: list[Row]) -> list[Measure]:
    """What can be known now; what cannot is said to be so by its absence and a notice."""
    found: list[Measure] = []
    if told.ok:
        standings = [row.standing for row in processes if row.standing]
        missing = sum(row.standing is None or not row.standing["ready"] for row in processes)
        age = max((one["outbox_age"] for one in standings), default=0.0)
        letters, minutes = told.body["open_letters"], told.body["minutes"]
        found += [
            Measure(Text("준비되지 않은 것", "Not ready"), str(missing), "bad" if missing else "good"),
            Measure(
                Text("가장 오래 기다린 발신", "Oldest outbox row"),
                f"{age:.1f} s",
                "wait" if age > LATE_SECONDS else "good",
            ),
            Measure(Text("기한이 된 일", "Due now"), str(sum(one["due"] for one in standings))),
            Measure(Text("처리 못 한 메시지", "Dead letters"), str(letters), "bad" if letters else "good"),
            Measure(Text("지난 한 시간 예약", "Bookings, last hour"), f"{sum(one['bookings'] for one in minutes):,}"),
        ]
        found += audited(told.body.get("audit"), told.body["as_of"])
    if figures.available:
        backlog = sum(queue.backlog for queue in figures.queues)
        unread = sum(queue.consumers == 0 for queue in figures.queues)
        found += [
            Measure(Text("큐에 쌓인 메시지", "Messages waiting"), f"{backlog:,}"),
            Measure(Text("소비자 없는 큐", "Queues nobody reads"), str(unread), "wait" if unread else "good"),
        ]
    return found


def audited(audit: dict[str, Any] | None, now: str) -> list[Measure]:
    """The last audit, and the money balance that it found."""
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


def promises(audit: dict[str, Any] | None) -> list[Promise]:
    """What the last audit found, invariant by invariant."""
    return [_promise(one) for one in audit["invariants"]] if audit else []


def _promise(told: dict[str, Any]) -> Promise:
    name = PROMISES.get(told["invariant"], Text(told["title"], told["title"]))
    if told["discrepancies"]:
        state = State(f"{told['discrepancies']:,}건 어긋남", f"{told['discrepancies']:,} discrepancies", "bad")
    elif told["not_checkable"] is not None:
        state = State("점검 못 함", "not checkable", "wait")
    else:
        state = State("지켜짐", "kept", "good")
    return Promise(name, state, [*told["first"], *([told["not_checkable"]] if told["not_checkable"] else [])])


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def charts(told: ApiResponse, figures: BrokerFigures) -> dict[str, Any]:
    """Columns as the chart library takes them: seconds first, then each line."""
    minutes = told.body.get("minutes", []) if told.ok else []
    at = [int(datetime.fromisoformat(minute["at"]).timestamp()) for minute in minutes]
    return {
        "bookings": [at, [one["bookings"] for one in minutes], [one["refusals"] for one in minutes]],
        "latency": [at, [one["ask_ms"] for one in minutes], [one["ask_ms_p95"] for one in minutes]],
        "backlog": [[stamp for stamp, _ in figures.backlog], [waiting for _, waiting in figures.backlog]],
    }
