"""The declarations of all systems, put together."""

from __future__ import annotations

from ops.audit.bike_sharing import CHECKS as BIKE_SHARING
from ops.audit.cafe import CHECKS as CAFE
from ops.audit.invariant import SystemChecks
from ops.audit.payments import CHECKS as PAYMENTS
from ops.audit.preorder import CHECKS as PREORDER
from ops.audit.shop import CHECKS as SHOP
from ops.audit.ticketing import CHECKS as TICKETING
from ops.audit.video_rental import CHECKS as VIDEO_RENTAL

JOURNAL = SystemChecks(tables={"journal": ("events",)})
SYSTEMS = (JOURNAL, PAYMENTS, VIDEO_RENTAL, TICKETING, BIKE_SHARING, SHOP, CAFE, PREORDER)

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
