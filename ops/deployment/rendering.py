"""Manifests as `kubectl kustomize` renders them, with accounts that are made up for the purpose."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ops.deployment.contexts import ACCOUNTS, KUBERNETES
from ops.stack.local import REPOSITORY

OVERLAYS = ("local", "production")
PARTS = ("servers", "prepare", "system")
TOOL = REPOSITORY / ".local" / "tools" / "kustomize"

Manifest = dict[str, Any]
Accounts = Mapping[str, Mapping[str, str]]
"""The files of each account, by its name."""
MONITORING = "monitoring"
"""Applied where a Prometheus Operator is."""
SIGNING_KEY = Path("overlays", "local", "release", "yeyak_jwt_key")


class RenderingFailed(Exception):
    """What kustomize said."""


def made_up() -> Accounts:
    """Accounts that nobody can use."""
    return {account: dict.fromkeys(files, "for-rendering-only") for account, files in ACCOUNTS.items()}


def copy(folder: Path, accounts: Accounts, signing_key: str = "for-rendering-only") -> Path:
    """A copy of deploy/kubernetes that has these accounts and this key; the checkout's own are left out."""
    ours = shutil.ignore_patterns(*(account for account in ACCOUNTS))
    copied = folder / "kubernetes"
    shutil.copytree(KUBERNETES, copied, ignore=lambda path, names: ours(path, names) & _accounts_in(path, names))
    for account, files in accounts.items():
        (copied / "accounts" / account).mkdir()
        for name, text in files.items():
            (copied / "accounts" / account / name).write_text(text)
    (copied / SIGNING_KEY).write_text(signing_key)
    return copied


def _accounts_in(path: str, names: list[str]) -> set[str]:
    return set(names) if Path(path) == KUBERNETES / "accounts" else set()


def render(kubernetes: Path, overlay: str, part: str) -> list[Manifest]:
    """What would be applied; raises RenderingFailed."""
    return build(kubernetes / "overlays" / overlay / part)


def build(folder: Path) -> list[Manifest]:
    """What a folder makes; raises RenderingFailed."""
    result = subprocess.run([*_tool(), str(folder)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RenderingFailed(f"{folder.parent.name}/{folder.name}: {result.stderr.strip()[-2000:]}")
    return [manifest for manifest in yaml.load_all(result.stdout, yaml.CSafeLoader) if manifest]


def _tool() -> list[str]:
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if TOOL.exists():
        return [str(TOOL), "build"]
    raise RenderingFailed("neither kubectl nor .local/tools/kustomize is there: run ops/kustomize.sh")
