"""The declarations of all systems, found by name and put together."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ops.audit.invariant import SystemChecks
from ops.audit.payments import CHECKS as PAYMENTS
from workers.registry import SYSTEMS as NAMES


def checks_of(system: str) -> SystemChecks:
    """What `ops/audit/<system>.py` declares as CHECKS; nothing without that module."""
    name = f"ops.audit.{system}"
    found: SystemChecks = import_module(name).CHECKS if find_spec(name) else SystemChecks(tables={})
    return found


JOURNAL = SystemChecks(tables={"journal": ("events",)})
SYSTEMS = (JOURNAL, PAYMENTS, *(checks_of(system) for system in NAMES))

TABLES = {schema: tables for system in SYSTEMS for schema, tables in system.tables.items()}
WRITERS = {context: schema for system in SYSTEMS for context, schema in system.writers.items()}
VIEWS = {view.schema: view for system in SYSTEMS for view in system.views}
COMPARISONS = tuple(comparison for system in SYSTEMS for comparison in system.comparisons)
PUBLICATIONS = tuple(publication for system in SYSTEMS for publication in system.publications)
REPUBLISHED = {table: key for system in SYSTEMS for table, key in system.republished.items()}
UNFINISHED = tuple(check for system in SYSTEMS for check in system.unfinished)
CLAIMS = " union all ".join(claim for system in SYSTEMS for claim in system.claims)
CLAIM_KINDS = {purpose: kind for system in SYSTEMS for purpose, kind in system.claim_kinds.items()}
FULLY_REFUNDED = [kind for system in SYSTEMS for kind in system.fully_refunded]
