"""The journal's worker, and every message of the town by its wire name: a dead letter may be any of them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import contracts
from contracts.base import CATALOGUE
from contracts.journal import apply_resolution
from workers.runtime.worker import Worker

for module in walk_packages(contracts.__path__, "contracts."):
    import_module(module.name)
for owner in {message.owner() for message in CATALOGUE.values()}:
    apply_resolution(owner)

journal = Worker("journal")
