"""The source as rules see it: files with what they import and call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "storage", "workers", "gateway_api", "ops", "bench", "tests")


@dataclass(frozen=True)
class Source:
    """One file; `module` is its dotted name."""

    path: str
    text: str

    @cached_property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def calls(self) -> list[tuple[str, int]]:
        """What is called, as it is written (`datetime.now`), with the number of arguments."""
        return [
            (ast.unparse(node.func), len(node.args) + len(node.keywords))
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
        ]


class Listing:
    """All files of a tree, and the names of its contexts."""

    def __init__(self, sources: list[Source], contexts: tuple[str, ...]) -> None:
        self.sources = sources
        self.contexts = contexts
        self.modules = {source.module for source in sources}

    def of(self, *packages: str) -> Iterator[Source]:
        """The files of some packages."""
        return (source for source in self.sources if source.module.startswith(tuple(f"{name}." for name in packages)))

    def imports(self, source: Source) -> set[str]:
        """The modules that a file imports, wherever in it."""
        found: set[str] = set()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {self._meant(_absolute(source, node), alias.name) for alias in node.names}
        return found

    def _meant(self, module: str, name: str) -> str:
        """`from storage import payments` means the module, `from storage.payments import find` a name in it."""
        return f"{module}.{name}" if f"{module}.{name}" in self.modules else module

    def context_of(self, module: str) -> str | None:
        """The context that a module belongs to by its name: None for what all share."""
        name = module.partition(".")[2].removeprefix("migrations.")
        owners = [context for context in self.contexts if name == context or name.startswith(f"{context}.")]
        return max(owners, key=len, default=None)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    base = parts[: len(parts) - node.level + source.path.endswith("/__init__.py")]
    return ".".join([*base, *([node.module] if node.module else [])])


def read(root: Path, contexts: tuple[str, ...]) -> Listing:
    """Every Python file of the packages below `root`."""
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return Listing([Source(path.relative_to(root).as_posix(), path.read_text()) for path in paths], contexts)
