"""`python -m ops.deployment write` and `python -m ops.deployment check`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ops.deployment import asyncapi, blocks, compose, contexts, rendering, rules, schemas
from ops.deployment.manifests import Manifests
from ops.stack.local import REPOSITORY

WORKFLOWS = REPOSITORY / ".github" / "workflows"


def _generated_files() -> dict[Path, str]:
    return contexts.generated_files() | blocks.generated_files() | {asyncapi.FILE: asyncapi.document()}


def write() -> None:
    """Write the generated files."""
    for path, text in _generated_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def problems() -> Iterator[str]:
    """Yield every problem, a line each."""
    for path, text in _generated_files().items():
        if not path.exists() or path.read_text() != text:
            yield f"{path.relative_to(REPOSITORY)} is out of date: run `make manifests`"
    yield from (f"compose.yaml: {invalid}" for invalid in schemas.of_file(compose.FILE, "compose-spec.json"))
    yield from (f"compose.yaml: {invalid}" for invalid in compose.violations(compose.services()))
    for workflow in sorted(WORKFLOWS.glob("*.yml")):
        yield from (f"{workflow.name}: {invalid}" for invalid in schemas.of_file(workflow, "github-workflows.json"))
    with tempfile.TemporaryDirectory() as folder:
        kubernetes = rendering.copy(Path(folder), rendering.placeholder_accounts())
        for overlay in rendering.OVERLAYS:
            yield from (f"{overlay}: {invalid}" for invalid in _overlay(kubernetes, overlay))
        yield from (
            f"monitoring: {invalid}" for invalid in _refused(rendering.build(kubernetes / rendering.MONITORING))
        )


def _overlay(kubernetes: Path, overlay: str) -> Iterator[str]:
    try:
        manifests = [one for part in rendering.PARTS for one in rendering.render(kubernetes, overlay, part)]
    except rendering.RenderingFailed as failure:
        yield str(failure)
        return
    yield from _refused(manifests)
    yield from (f"{violation.rule}: {violation.problem}" for violation in rules.violations(Manifests(manifests)))


def _refused(manifests: list[rendering.Manifest]) -> Iterator[str]:
    for manifest in manifests:
        named = f"{manifest['kind']} {manifest['metadata']['name']}"
        yield from (f"{named}: {invalid}" for invalid in schemas.of_kubernetes(manifest))


def main(arguments: list[str]) -> int:
    if arguments == ["write"]:
        write()
        return 0
    if arguments != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    found = list(problems())
    for problem in found:
        print(problem)
    print(f"{len(rules.RULES) + len(compose.RULES)} rules, {len(rendering.OVERLAYS)} overlays: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
