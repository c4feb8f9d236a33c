"""From the claims of an issuer to a caller: where its tokens hold subject, role and grade, and what the values mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar, get_args

from contracts.base import LONGEST_MEMBER_ID, Caller, Role
from gateway_api.settings import GatewaySettings

Grade = Literal["STANDARD", "VIP"]
Value = TypeVar("Value", bound=str)

LONGEST_SUBJECT: Final = LONGEST_MEMBER_ID
ROLES: Final[Mapping[str, Role]] = {role: role for role in get_args(Role)}
GRADES: Final[Mapping[str, Grade]] = {grade: grade for grade in get_args(Grade)}
RANKS: Final[tuple[str, ...]] = (*get_args(Role), *get_args(Grade))
"""Roles and grades, each from the lowest to the highest."""
_SEGMENT = re.compile(r"(?:[^.\\]|\\.)+")


def claim_path(text: str) -> tuple[str, ...]:
    r"""Split the path of a claim at its dots; `\.` is a dot inside a name. Raises ValueError.

    `realm_access.roles` is a claim within another one, `urn:yeyak\.roles` is one claim.
    """
    names = _SEGMENT.findall(text)
    if not names or ".".join(names) != text:
        raise ValueError(f"not the path of a claim: {text!r}")
    return tuple(re.sub(r"\\(.)", r"\1", name) for name in names)


@dataclass(frozen=True)
class ClaimMapping:
    """Reads the caller of verified claims; the defaults are those of tokens that the local key signs."""

    subject: tuple[str, ...] = ("sub",)
    role: tuple[str, ...] = ("role",)
    grade: tuple[str, ...] = ("grade",)
    roles: Mapping[str, Role] = field(default_factory=lambda: ROLES)
    grades: Mapping[str, Grade] = field(default_factory=lambda: GRADES)
    default_role: Role | None = None
    required: Sequence[tuple[tuple[str, ...], str]] = ()
    """Claims that must have a value: those of a tenant or a policy among several of the same issuer."""

    @classmethod
    def of(cls, settings: GatewaySettings) -> ClaimMapping:
        """Return what the settings say; raises ValueError for a path that is none."""
        return cls(
            claim_path(settings.oidc_subject_claim),
            claim_path(settings.oidc_role_claim),
            claim_path(settings.oidc_grade_claim),
            settings.oidc_roles or ROLES,
            settings.oidc_grades or GRADES,
            settings.oidc_default_role,
            [(claim_path(path), value) for path, value in settings.oidc_required_claims.items()],
        )

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """Return the caller that claims describe; raises ValueError for a missing or wrong claim."""
        for path, value in self.required:
            if value not in _values(_find(claims, path)):
                raise ValueError(f"the claim {'.'.join(path)} is not {value}")
        return Caller(member_id=self._subject(claims), role=self._role(claims), grade=self._grade(claims))

    def _subject(self, claims: Mapping[str, Any]) -> str:
        subject = _find(claims, self.subject)
        if not isinstance(subject, str) or not subject.isprintable() or any(map(str.isspace, subject)):
            raise ValueError("a subject has visible characters only")
        if not 0 < len(subject) <= LONGEST_SUBJECT:
            raise ValueError(f"a subject has 1 to {LONGEST_SUBJECT} characters")
        return subject

    def _role(self, claims: Mapping[str, Any]) -> Role:
        role = _highest(self.roles, _values(_find(claims, self.role))) or self.default_role
        if role is None:
            raise ValueError(f"no claim {'.'.join(self.role)} with one of {', '.join(self.roles)}")
        return role

    def _grade(self, claims: Mapping[str, Any]) -> Grade:
        found = _find(claims, self.grade)
        grade = _highest(self.grades, _values(found))
        if grade is None and found is not None and self.grades is GRADES and not isinstance(found, list):
            raise ValueError("a grade is STANDARD or VIP")
        return grade or "STANDARD"


def _find(claims: Any, path: Iterable[str]) -> Any:
    for name in path:
        claims = claims.get(name) if isinstance(claims, Mapping) else None
    return claims


def _values(found: Any) -> list[str]:
    """Return the texts of a claim: those of a list, and a text as a whole and word by word, as `scp` has them."""
    if isinstance(found, str):
        return [found, *found.split()]
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


def _highest(meanings: Mapping[str, Value], values: Iterable[str]) -> Value | None:
    """Return the highest of what these values mean; None when none of them means anything."""
    return max((meanings[value] for value in values if value in meanings), key=RANKS.index, default=None)
