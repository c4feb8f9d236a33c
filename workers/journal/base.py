"""The journal's worker. Imports all contracts, so that CATALOGUE has every message: any can become a dead letter."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import contracts
from contracts.base import CATALOGUE
from contracts.journal import take_up_dead_letter
from workers.runtime.worker import Worker

for module in walk_packages(contracts.__path__, "contracts."):
    import_module(module.name)
for owner in {message.owner() for message in CATALOGUE.values()}:
    take_up_dead_letter(owner)

journal = Worker("journal")
