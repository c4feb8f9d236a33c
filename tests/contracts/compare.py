"""Compare two schema snapshots of a message: what breaks the readers of the old one.

Additive is: a new field with a default, a wider type, a new value of an enum, another refusal. Breaking is: a field
that is gone, a narrower type, a new field that must be there, another delivery. A breaking change is a new topic.
"""

from __future__ import annotations

from typing import Any

from tests.contracts.catalogue import Json

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
EXACT = ("pattern", "format", "multipleOf", "uniqueItems", "const")


def broken(old: Json, new: Json) -> list[str]:
    """List what the new snapshot of a message breaks for readers of the old one; empty when it only adds."""
    wrong = [
        f"{part}: {old[part]!r} became {new[part]!r}"
        for part in ("topic", "exchange", "delivery")
        if old[part] != new[part]
    ]
    for part in ("body", "answer"):
        if (old[part] is None) != (new[part] is None):
            wrong.append(f"{part}: there is {'one now' if old[part] is None else 'none any more'}")
        elif old[part] is not None:
            wrong += narrowed(old[part], new[part], part)
    refusals: Json = new.get("refusals", {})
    for code, details in old.get("refusals", {}).items():  # a code may come and go: any peer takes an unknown one
        wrong += narrowed(details, refusals.get(code, details), f"refusal {code}")
    return wrong


def narrowed(old: Json, new: Json, at: str) -> list[str]:
    """Yield each place where the new schema does not accept or does not guarantee what the old one did."""
    if "anyOf" in old or "anyOf" in new:
        return _alternatives(old, new, at)
    return [
        *_type(old, new, at),
        *_values(old, new, at),
        *_bounds(old, new, at),
        *_fields(old, new, at),
        *_parts(old, new, at),
    ]


def _alternatives(old: Json, new: Json, at: str) -> list[str]:
    """Yield each old alternative that is not among the new ones."""
    wrong = []
    for alternative in old.get("anyOf", [old]):
        tries = [narrowed(alternative, other, at) for other in new.get("anyOf", [new])]
        if all(tries):
            closest = min(tries, key=len)
            wrong += closest
    return wrong


def _type(old: Json, new: Json, at: str) -> list[str]:
    before, after = old.get("type"), new.get("type")
    if after is None or before == after or (before, after) == ("integer", "number"):
        return []
    return [f"{at}: {before} became {after}"]


def _values(old: Json, new: Json, at: str) -> list[str]:
    if "enum" not in new:
        return []
    before = old.get("enum", [old["const"]] if "const" in old else None)
    if before is None:
        return [f"{at}: only {new['enum']} are allowed now"]
    gone = [value for value in before if value not in new["enum"]]
    return [f"{at}: {gone} are gone"] if gone else []


def _bounds(old: Json, new: Json, at: str) -> list[str]:
    wrong = []
    for name in (*LOWER, *UPPER, *EXACT):
        if name not in new or old.get(name) == new[name]:
            continue
        if name in old and name not in EXACT and (new[name] < old[name]) == (name in LOWER):
            continue
        wrong.append(f"{at}: {name} {old.get(name)} became {new[name]}")
    return wrong


def _fields(old: Json, new: Json, at: str) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    wrong = [f"{at}.{name}: is gone" for name in before if name not in after]
    must = set(new.get("required", ())) - set(old.get("required", ()))
    wrong += [f"{at}.{name}: must be there now" for name in sorted(must)]
    for name in before:
        if name in after:
            wrong += narrowed(before[name], after[name], f"{at}.{name}")
    return wrong


def _parts(old: Json, new: Json, at: str) -> list[str]:
    wrong = []
    if "items" in old and "items" in new:
        wrong += narrowed(old["items"], new["items"], f"{at}[]")
    others_before: Any = old.get("additionalProperties", True)
    others_after: Any = new.get("additionalProperties", True)
    if isinstance(others_before, dict) and isinstance(others_after, dict):
        wrong += narrowed(others_before, others_after, f"{at}.*")
    elif others_after is not True and others_before != others_after:
        wrong.append(f"{at}: unknown fields are not ignored any more")
    return wrong
