"""Prints the figures as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.systems import System

BESIDE = {"total": "cpu_ms_all", "load generator": "cpu_ms_load"}
DISTURBED = 10
"""Percent of the machine that other processes may use before a warning is printed."""


def booking(found: dict[str, Any]) -> None:
    rows = [["clients", "", "bookings/s", "of floor", "p50 ms", "p95", "p99", "CPU ms each", "not 201"]]
    for clients, at in found.items():
        for name in ("floor", "yeyak"):
            figures = at[name]
            share = f"{at['ratio']:.0%}" if name == "yeyak" else ""
            failed = sum(n for status, n in figures["statuses"].items() if status != "201")
            times = [figures["p50"], figures["p95"], figures["p99"]]
            rows.append([clients, name, figures["rate"], share, *times, figures["cpu_ms_all"], failed])
    _title("Paid booking, POST /v1/video-rental/rentals")
    _print(rows)
    _cpu(found)
    for at in found.values():
        for status, body in at["yeyak"]["unexpected"].items():
            print(f"  the system answered {status}: {body}")


def _cpu(found: dict[str, Any]) -> None:
    columns = [(clients, name) for clients in found for name in ("floor", "yeyak")]
    cells = {column: found[column[0]][column[1]]["cpu_ms"] for column in columns}
    most = {name: max(each.get(name, 0) for each in cells.values()) for each in cells.values() for name in each}
    rows = [["CPU ms each", *(f"{name}, {clients}" for clients, name in columns)]]
    rows += [
        [name, *(cells[column].get(name, "") for column in columns)]
        for name in sorted(most, key=most.__getitem__, reverse=True)
    ]
    for label, key in BESIDE.items():
        rows.append([label, *(found[clients][name][key] for clients, name in columns)])
    print()
    _print(rows)
    clients = max(found, key=int)
    delay = max(found[clients]["yeyak"]["trailing_seconds"])
    print(f"  {clients} clients: by CPU alone the system would reach {found[clients]['ratio_cpu']:.0%} of the floor;")
    print(f"  views and journal had every event {delay:.1f} s after the last response")
    others = max(found[clients][name]["others_percent"] for clients, name in columns)
    if others > DISTURBED:
        print(f"  DISTURBED: the rest of the machine took up to {others:.0f} % of it meanwhile; only the ratios count")


def queries(found: dict[str, Any]) -> None:
    rows = [["way", "", "queries/s", "of floor", "p50 ms", "p99", "failed"]]
    for way, at in found.items():
        for name in ("floor", "yeyak"):
            share = f"{at['ratio']:.0%}" if name == "yeyak" else ""
            rows.append([way, name, at[name]["rate"], share, at[name]["p50"], at[name]["p99"], at[name]["failed"]])
    _title("One row read over a queue, 64 at a time")
    _print(rows)


def lag(found: dict[str, Any]) -> None:
    rows = [["yeyak", "seen as", "p50 ms", "p95", "p99", "bookings/s beside"]]
    for when, at in found.items():
        for seen, key in (("My Page", "page_ms"), ("row", "row_ms")):
            beside = at.get("bookings_per_second_beside", "")
            rows.append([when, seen, *(at[key].get(p, "") for p in ("p50", "p95", "p99")), beside])
    _title("From the 201 until My Page has the booking")
    _print(rows)


def views(found: dict[str, Any]) -> None:
    rows = [["rows", "reads/s", "p50 ms", "p99", "CPU ms each"]]
    for size, at in found.items():
        if isinstance(at, dict):
            rows.append([f"{int(size):,}", at["rate"], at["p50"], at["p99"], at["cpu_ms"]])
    _title("My Page, a member's 50 rentals, GET /v1/video-rental/my-page")
    _print(rows)
    print(f"  many rows are {found['ratio']:.2f} times as slow as few, for {found['ratio_cpu']:.2f} times the CPU")


def verified(floor: System, yeyak: System, problems: list[str]) -> None:
    print()
    for problem in problems:
        print(f"NOT TRUE  {problem}")
    if not problems:
        booked = f"{yeyak.booked} bookings of the system and {floor.booked} of the floor"
        print(f"Verified: {booked} are in every table, each charged once.")


def _title(text: str) -> None:
    print(f"\n{text}")


def _print(rows: list[list[Any]]) -> None:
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  " + "  ".join(_aligned(row, widths)).rstrip(), flush=True)


def _aligned(row: list[str], widths: list[int]) -> Iterable[str]:
    cells = enumerate(zip(row, widths, strict=True))
    return (cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in cells)


def _text(cell: Any) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
