"""The parts of the system, and what they say together."""

from __future__ import annotations

from ops.audit import bike_sharing, cafe, payments, preorder, shop, ticketing, video_rental
from ops.audit.invariant import Part

JOURNAL = Part(tables={"journal": ("events",)})
BUSINESSES = (video_rental, ticketing, bike_sharing, shop, cafe, preorder)
PARTS = (JOURNAL, payments.part, *(business.part for business in BUSINESSES))

TABLES = {schema: tables for part in PARTS for schema, tables in part.tables.items()}
WRITERS = {context: schema for part in PARTS for context, schema in part.writers.items()}
VIEWS = {view.schema: view for part in PARTS for view in part.views}
COPIES = tuple(copy for part in PARTS for copy in part.copies)
TELLING = tuple(telling for part in PARTS for telling in part.telling)
RETOLD = {table: key for part in PARTS for table, key in part.retold.items()}
OPEN_STEPS = tuple(step for part in PARTS for step in part.open_steps)
CLAIMS = " union all ".join(claim for part in PARTS for claim in part.claims)
KINDS = {purpose: kind for part in PARTS for purpose, kind in part.kinds.items()}
GIVEN_BACK_WHOLE = [kind for part in PARTS for kind in part.given_back_whole]
