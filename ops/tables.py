"""Prints plain tables that fit a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from ops.terminal import escaped

WIDTH = 100


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a header and rows; columns of numbers are aligned right."""
    lines = [["" if value is None else escaped(str(value)) for value in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title or None)
    table.title_justify, table.title_style = "left", "bold"
    for index, column in enumerate(columns):
        numbers = bool(lines) and all(line[index].replace(".", "", 1).isdigit() or not line[index] for line in lines)
        no_wrap = column == "id"  # must stay in one piece to be copied
        side: Literal["left", "right"] = "right" if numbers else "left"
        table.add_column(column, justify=side, overflow="fold", header_style="dim", no_wrap=no_wrap)
    for line in lines:
        table.add_row(*line)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH
    console.print(table)
