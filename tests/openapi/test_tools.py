"""Tools that others wrote find nothing wrong with the documents."""

from __future__ import annotations

from pathlib import Path

from tests.openapi.conftest import node, run


async def test_redocly_has_no_complaint(folder: Path) -> None:
    printed = await run(folder, node("redocly"), "lint", "--extends=recommended", "--max-problems=1000", "openapi.json")

    assert "warning" not in printed.replace("2 problems are explicitly ignored", "")


async def test_spectral_has_no_complaint(folder: Path) -> None:
    await run(folder, node("spectral"), "lint", "--fail-severity=hint", "--ruleset=.spectral.yaml", "openapi.json")


async def test_the_types_for_typescript_compile(folder: Path) -> None:
    await run(folder, node("openapi-typescript"), "openapi.json", "--output", "api.ts")

    await run(folder, node("tsc"), "--project", "tsconfig.json")


async def test_the_parser_of_asyncapi_finds_no_error(folder: Path) -> None:
    printed = await run(folder, "node", "asyncapi.mjs", "asyncapi.json")

    assert int(printed.split()[0]) > 400
