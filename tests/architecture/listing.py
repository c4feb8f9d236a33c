"""The repository as the rules read it: text files, and Python files with their imports, calls and classes."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "storage", "workers", "gateway_api", "ops", "bench", "tests")
SUFFIXES = (".py", ".md")


@dataclass(frozen=True)
class TextFile:
    """One file; `path` is relative to the root of the tree."""

    path: str
    text: str


class Source(TextFile):
    """One Python file of a package; `module` is its dotted name."""

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
    def call_nodes(self) -> list[ast.Call]:
        """Every call in the file."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]

    @cached_property
    def calls(self) -> list[tuple[str, int]]:
        """The callee of each call as it is written (`datetime.now`), with the number of arguments."""
        return [(ast.unparse(node.func), len(node.args) + len(node.keywords)) for node in self.call_nodes]

    @cached_property
    def public_classes(self) -> list[str]:
        """The names of the classes at the top level of the file, those with a leading underscore excepted."""
        names = [node.name for node in self.tree.body if isinstance(node, ast.ClassDef)]
        return [name for name in names if not name.startswith("_")]


class Listing:
    """All files of a tree, and the names of its contexts."""

    def __init__(self, files: list[TextFile], contexts: tuple[str, ...]) -> None:
        self.files = files
        """Every Python and Markdown file."""
        self.sources = [file for file in files if isinstance(file, Source)]
        """The Python files of the packages."""
        self.contexts = contexts
        self.modules = {source.module for source in self.sources}

    def of(self, *packages: str) -> Iterator[Source]:
        """Yield the files of some packages."""
        return (source for source in self.sources if source.module.startswith(tuple(f"{name}." for name in packages)))

    def imports(self, source: Source) -> set[str]:
        """Return the modules that a file imports: at its top, under `if TYPE_CHECKING`, and inside functions."""
        found: set[str] = set()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {self._meant(_absolute(source, node), alias.name) for alias in node.names}
        return found

    def _meant(self, module: str, name: str) -> str:
        """Tell `from storage import payments`, a module, from `from storage.payments import find`, a name in one."""
        return f"{module}.{name}" if f"{module}.{name}" in self.modules else module

    def context_of(self, module: str) -> str | None:
        """Return the context that a module belongs to by its name; None for a module that all contexts share."""
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
    """Read every Python and Markdown file below `root`, except in hidden folders."""
    return Listing([_file(path, path.relative_to(root)) for path in sorted(_paths(root))], contexts)


def _file(path: Path, relative: Path) -> TextFile:
    kind = Source if path.suffix == ".py" and relative.parts[0] in PACKAGES else TextFile
    return kind(relative.as_posix(), path.read_text())


def _paths(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if name.endswith(SUFFIXES))
