"""Inserts text into files that exist: after a line, into a list or a dictionary, below the imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path


class NoPlaceError(Exception):
    """A file is not as its author's template has written it; the text says what is missing."""


class Editor:
    """One file; `save` writes it, or creates it."""

    def __init__(self, path: Path, template: str = "") -> None:
        self.path = path
        self.is_new = not path.exists()
        self.text = template if self.is_new else path.read_text()

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text)

    def append(self, text: str) -> None:
        self.text = f"{self.text.rstrip()}\n{text.rstrip()}\n"

    def prepend_to(self, marker: str, text: str) -> None:
        """Insert lines before the line that begins with `marker`."""
        at = re.search(rf"^{re.escape(marker)}", self.text, re.MULTILINE)
        if at is None:
            raise NoPlaceError(f"{self.path} has no line that begins with «{marker}»")
        self.text = self.text[: at.start()] + text.strip("\n") + "\n\n\n" + self.text[at.start() :]

    def add_to(self, opening: str, items: str, *, after: str = "") -> None:
        """Insert items behind an opening bracket, e.g. `tables={`; the first one behind `after`."""
        at = self.text.find(opening, self.text.find(after) + 1)
        if at < 0:
            raise NoPlaceError(f"{self.path} has no «{opening}»")
        at += len(opening)
        self.text = f"{self.text[:at]}\n{items.rstrip()}\n{self.text[at:].lstrip(chr(10))}"

    def add_argument(self, call: str, name: str, opening: str, item: str) -> None:
        """Insert an item into the argument `name` of a call at the end of the file, which may not have it yet."""
        if re.search(rf"^    {name}={re.escape(opening)}", self.text, re.MULTILINE):
            self.add_to(f"\n    {name}={opening}", item)
            return
        start = self.text.find(call)
        end = self.text.find("\n)\n", start)
        if start < 0 or end < 0:
            raise NoPlaceError(f"{self.path} has no «{call}»")
        closing = {"{": "}", "[": "]", "(": ")"}[opening]
        self.text = f"{self.text[:end]}\n    {name}={opening}{item}{closing},{self.text[end:]}"

    def add_check(self, invariant: str, check: str) -> None:
        """Insert a function into the list of an invariant's checks, in an audit module."""
        call, opening = "CHECKS = SystemChecks(", f'"{invariant}": ['
        if opening in self.text[self.text.find(call) :]:
            self.add_to(opening, f"{check},", after=call)
        else:
            self.add_argument(call, "checks", "{", f"{opening}{check}],")

    def add_imports(self, *lines: str) -> None:
        """Insert imports behind the last one at the top; sorting and merging them is left to ruff."""
        imports = [node for node in ast.parse(self.text).body if isinstance(node, ast.Import | ast.ImportFrom)]
        before = self.text.splitlines(keepends=True)
        at = max((node.end_lineno or 0 for node in imports), default=1)
        self.text = "".join([*before[:at], *(f"{line}\n" for line in lines), *before[at:]])
