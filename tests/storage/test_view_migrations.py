"""Views' tables follow their declaration, in a new database and in one that an earlier version has made."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.migrations import migrate
from storage.video_rental import my_page
from storage.views import ViewTables
from tests.support.revisions import add_revision

VIEW = "video_rental.my_page"
MATCH = "from storage.migrations.common import match_view; from storage.video_rental.my_page import tables"


@pytest.fixture
def database(tmp_path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{tmp_path / 'view.db'}")


def migrated(database: sa.Engine) -> None:
    migrate(VIEW, str(database.url))


def run(database: sa.Engine, *statements: str) -> None:
    with database.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def shape(database: sa.Engine, tables: ViewTables) -> dict[str, tuple[set[str], set[str | None]]]:
    inspected = sa.inspect(database)
    return {
        name: (
            {column["name"] for column in inspected.get_columns(name)},
            {index["name"] for index in inspected.get_indexes(name)},
        )
        for name in tables.metadata.tables
    }


def declared(tables: ViewTables) -> dict[str, tuple[set[str], set[str | None]]]:
    return {
        table.name: ({column.name for column in table.columns}, {str(index.name) for index in table.indexes})
        for table in tables.metadata.sorted_tables
    }


def revision(database: sa.Engine) -> str:
    with database.connect() as connection:
        found: str = connection.execute(sa.text("select version_num from video_rental_my_page_version")).scalar_one()
    return found


def test_a_new_database_has_the_declared_tables_and_one_generation(database: sa.Engine) -> None:
    migrated(database)

    assert shape(database, my_page.tables) == declared(my_page.tables)
    with database.connect() as connection:
        assert connection.execute(sa.select(my_page.tables.generations)).all() == [(1, 1, None)]


def test_a_later_revision_adds_what_the_declaration_has_and_the_database_has_not(
    database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated(database)
    run(
        database,
        "drop index rentals_of_member",
        "alter table rentals drop column reason",
        "alter table rentals drop column days",
        "drop table videos",
        "update generations set current = 7",
    )
    add_revision(VIEW, to=tmp_path, monkeypatch=monkeypatch, python=f"{MATCH}; match_view(tables)")

    migrated(database)

    assert shape(database, my_page.tables) == declared(my_page.tables)
    with database.connect() as connection:
        assert connection.execute(sa.select(my_page.tables.generations)).all() == [(1, 7, None)]


def test_a_database_at_a_revision_that_was_folded_goes_on_from_the_one_that_contains_it(database: sa.Engine) -> None:
    migrated(database)
    newest = revision(database)
    run(database, "update video_rental_my_page_version set version_num = '0002'")

    migrated(database)

    assert revision(database) == newest
