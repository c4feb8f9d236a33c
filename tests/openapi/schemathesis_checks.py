"""Checks in the place of two of schemathesis: for them every rule is in a schema, and no machine is ever busy."""

from typing import Any

import requests
import schemathesis

OF_THE_RULES = {402, 403, 404, 409, 429, 500, 503, 504}
"""Statuses that say nothing of the request's form; server errors have a check of their own."""
BEYOND_SCHEMAS = {
    "characters": "a text has no control characters and no unassigned ones",
    "blank": "a text has a character that can be seen",
    "value": "an end comes after its beginning; a cursor was given out by the same list",
    "int_type": "1.0 is a whole number for JSON Schema",
}
"""Kinds of errors of fields that no schema can rule out."""
BOUNDED = {
    "value": "of a discount in percent: at most 100",
    **dict.fromkeys(("starts_at", "ends_at", "valid_from", "valid_until"), "between the years 2000 and 2200"),
}
"""Fields with bounds that JSON Schema has no words for."""


@schemathesis.check
def valid_data_acceptance(context: Any, response: Any, case: Any) -> None:
    """Data by the schema is accepted, or refused for a reason that no schema can express."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_valid or response.status_code < 400 or response.status_code in OF_THE_RULES:
        return
    problem = response.json()
    if problem["code"] in ("idempotency_key_reused", "card_number_refused"):
        return
    if problem["code"] != "invalid" or not all(map(_is_beyond, problem["errors"])):
        raise AssertionError(f"valid data was refused: {problem}")


def _is_beyond(error: dict[str, str]) -> bool:
    bounded = error["field"] in BOUNDED and error["code"] in ("greater_than_equal", "less_than", "less_than_equal")
    return bounded or error["code"] in BEYOND_SCHEMAS


@schemathesis.check
def no_server_error(context: Any, response: Any, case: Any) -> None:
    """No request fails, nor is one without an outcome for longer than a busy machine explains."""
    if response.status_code in (503, 504):
        with requests.Session() as session:
            response = session.send(response.request, timeout=60)
    if response.status_code >= 500:
        raise AssertionError(f"{response.status_code}: {response.text}")
