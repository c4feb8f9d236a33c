"""A change names the version that the thing must still have, in its body or as the header `If-Match`."""

from __future__ import annotations

import re

from contracts.base import ExpectedVersion
from gateway_api.bodies import Form, invalid, optional

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The version that the thing must still have, as `expected_version` in the body.",
    "schema": {"type": "string", "pattern": r'^(\*|"?[1-9][0-9]{0,8}"?)$'},
}
"""The header in the OpenAPI document."""
_VERSION = re.compile(rb'"([1-9][0-9]{0,8})"|([1-9][0-9]{0,8})')


class Changes(Form):
    """What changes something; a field that is left out keeps its value."""

    expected_version: ExpectedVersion = optional()
    """Change it only if this is still its version; the header `If-Match` may say so instead."""


def version_of(header: bytes | None) -> int | None:
    """The version that a header `If-Match` names; None without one and for `*`. Raises `invalid`."""
    if header in (None, b"*"):
        return None
    matched = _VERSION.fullmatch(header or b"")
    if matched is None:
        raise invalid([("If-Match", "version")])
    return int(matched[1] or matched[2])


def expecting(form: Changes, version: int | None) -> Changes:
    """Return the form with the version that `If-Match` names; raises `invalid` if the body names another."""
    if version is None:
        return form
    if form.expected_version not in (None, version):
        raise invalid([("If-Match", "version")])
    return form.model_copy(update={"expected_version": version})
