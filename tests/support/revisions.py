"""Migrations that only a test knows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from storage import migrations


def add_revision(
    context: str, *statements: str, to: Path, monkeypatch: pytest.MonkeyPatch, python: str = "pass"
) -> None:
    """Let the runner find one more revision of a context, which runs these statements and this line of Python.

    The context's folder is copied to `to`.
    """
    folder = Path(shutil.copytree(migrations.folder(context), to / context))
    scripts = ScriptDirectory(str(migrations.HERE), version_locations=[str(folder)])
    lines = [
        '"""One more."""',
        "from alembic import op",
        'revision = "more"',
        f'down_revision = "{scripts.get_current_head()}"',
        "def upgrade() -> None:",
        *(f"    op.execute({statement!r})" for statement in statements),
        f"    {python}",
    ]
    (folder / "more.py").write_text("\n".join(lines) + "\n")
    known = migrations.folder
    monkeypatch.setattr(migrations, "folder", lambda name: folder if name == context else known(name))
