"""What no schema can say: which cursors a list has given out, and which keys other requests have used."""

from typing import Any
from uuid import uuid4

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Ask for the first page instead of one that does not exist, and give every request a key of its own.

    What is no cursor or no key by the schema stays: it must be refused.
    """
    query, headers = case.query or {}, case.headers or {}
    cursor, key = query.get("cursor"), headers.get(KEY, "")
    if isinstance(cursor, str) and 1 <= len(cursor) <= 1000:
        del query["cursor"]
    if 1 <= len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key:
        headers[KEY] = str(uuid4())
