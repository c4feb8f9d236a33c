"""Each schema has one history: two branches that were merged may each have added the next revision."""

from __future__ import annotations

import pytest
from alembic.script import ScriptDirectory

from storage.migrations import HERE, folder
from workers.registry import CONTEXTS


@pytest.mark.parametrize("context", [*CONTEXTS, "provider"])
def test_a_schema_has_one_newest_revision(context: str) -> None:
    scripts = ScriptDirectory(str(HERE), version_locations=[str(folder(context))])

    assert len(scripts.get_heads()) == 1
