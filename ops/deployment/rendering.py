"""Renders manifests with `kubectl kustomize`, with placeholder accounts."""

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
"""Applied only where a Prometheus Operator runs."""
SIGNING_KEY = Path("overlays", "local", "release", "yeyak_jwt_key")


class RenderingFailed(Exception):
    """Kustomize failed; the text is its error output."""


def placeholder_accounts() -> Accounts:
    """Accounts with placeholder passwords."""
    return {account: dict.fromkeys(files, "for-rendering-only") for account, files in ACCOUNTS.items()}


def copy(folder: Path, accounts: Accounts, signing_key: str = "for-rendering-only") -> Path:
    """Copy deploy/kubernetes with these accounts and this key instead of the checkout's own; returns the copy."""
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
    """Render one part of an overlay; raises RenderingFailed."""
    return build(kubernetes / "overlays" / overlay / part)


def build(folder: Path) -> list[Manifest]:
    """Render a folder; raises RenderingFailed."""
    result = subprocess.run([*_tool(), str(folder)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RenderingFailed(f"{folder.parent.name}/{folder.name}: {result.stderr.strip()[-2000:]}")
    return [manifest for manifest in yaml.load_all(result.stdout, yaml.CSafeLoader) if manifest]


def _tool() -> list[str]:
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if TOOL.exists():
        return [str(TOOL), "build"]
    raise RenderingFailed("neither kubectl nor .local/tools/kustomize exists: run ops/kustomize.sh")
