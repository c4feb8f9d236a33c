"""Tokens as Keycloak, Entra ID, Auth0 and Azure B2C make them become callers, by settings alone."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_api.claims import ClaimMapping, claim_path

KEYCLOAK = {
    "sub": "f:0c2e7a5b-11d1-4d0c-9bd1-2f6a8c0f4f33:kim",
    "realm_access": {"roles": ["offline_access", "customer", "staff", "uma_authorization"]},
    "resource_access": {"yeyak": {"roles": ["manage-everything"]}, "account": {"roles": ["view-profile"]}},
    "groups": ["/members", "/members/vip"],
    "scope": "openid profile",
}
ENTRA = {
    "sub": "pairwise-8J1eJ5",
    "oid": "2f9a4a4e-3a55-4c5b-8a02-7a6d5f2f3a10",
    "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "roles": ["Yeyak.Operator"],
    "scp": "Shop.Read Yeyak.Staff",
    "ver": "2.0",
}
AUTH0 = {
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
    "https://yeyak.example/roles": ["customer"],
    "https://yeyak.example/grade": "VIP",
    "permissions": ["read:rentals", "work:staff"],
}
B2C = {
    "sub": "9f0a3f5e-6f0e-4d0c-93f1-0d1f5b2a7c11",
    "tfp": "B2C_1_signin",
    "extension_Role": "Shop Staff",
    "scp": "api",
}
STAFF_OF_ENTRA = {"Yeyak.Staff": "staff", "Yeyak.Operator": "operator"}


@pytest.mark.parametrize(
    ("claims", "settings", "expected"),
    [
        (KEYCLOAK, {"oidc_role_claim": "realm_access.roles"}, (KEYCLOAK["sub"], "staff", "STANDARD")),
        (
            KEYCLOAK,
            {
                "oidc_role_claim": "resource_access.yeyak.roles",
                "oidc_roles": {"manage-everything": "operator"},
                "oidc_grade_claim": "groups",
                "oidc_grades": {"/members": "STANDARD", "/members/vip": "VIP"},
            },
            (KEYCLOAK["sub"], "operator", "VIP"),
        ),
        (
            ENTRA,
            {"oidc_role_claim": "roles", "oidc_roles": STAFF_OF_ENTRA, "oidc_subject_claim": "oid"},
            (ENTRA["oid"], "operator", "STANDARD"),
        ),
        (
            ENTRA,
            {"oidc_role_claim": "scp", "oidc_roles": STAFF_OF_ENTRA, "oidc_required_claims": {"tid": ENTRA["tid"]}},
            (ENTRA["sub"], "staff", "STANDARD"),
        ),
        (
            AUTH0,
            {
                "oidc_role_claim": r"https://yeyak\.example/roles",
                "oidc_grade_claim": r"https://yeyak\.example/grade",
            },
            (AUTH0["sub"], "customer", "VIP"),
        ),
        (
            AUTH0,
            {"oidc_role_claim": "permissions", "oidc_roles": {"work:staff": "staff"}},
            (AUTH0["sub"], "staff", "STANDARD"),
        ),
        (
            B2C,
            {
                "oidc_role_claim": "extension_Role",
                "oidc_roles": {"Shop Staff": "staff"},
                "oidc_required_claims": {"tfp": "B2C_1_signin"},
            },
            (B2C["sub"], "staff", "STANDARD"),
        ),
        ({"sub": "kim"}, {"oidc_default_role": "customer"}, ("kim", "customer", "STANDARD")),
        ({"sub": "kim", "role": []}, {"oidc_default_role": "customer"}, ("kim", "customer", "STANDARD")),
    ],
)
def test_the_tokens_of_an_issuer_become_callers(make_settings, claims, settings, expected):
    caller = mapping(make_settings, settings).caller(claims)

    assert (caller.member_id, caller.role, caller.grade) == expected


@pytest.mark.parametrize(
    ("claims", "settings"),
    [
        (KEYCLOAK, {}),
        (KEYCLOAK, {"oidc_role_claim": "realm_access"}),
        (KEYCLOAK, {"oidc_role_claim": "realm_access.roles.staff"}),
        (KEYCLOAK, {"oidc_role_claim": "resource_access.account.roles"}),
        (ENTRA, {"oidc_role_claim": "roles"}),
        (AUTH0, {"oidc_role_claim": "https://yeyak.example/roles"}),
        (B2C, {"oidc_role_claim": "extension_Role", "oidc_roles": {"staff": "staff"}}),
        (B2C, {"oidc_default_role": "customer", "oidc_required_claims": {"tfp": "B2C_1_signup"}}),
        (ENTRA, {"oidc_default_role": "customer", "oidc_subject_claim": "upn"}),
        ({"sub": "kim", "role": "staff"}, {"oidc_roles": {"employee": "staff"}}),
        ({"sub": "kim", "role": "customer", "grade": "GOLD"}, {}),
        ({"sub": "kim", "role": True}, {}),
        ({"sub": "kim", "role": [["staff"]]}, {}),
    ],
)
def test_claims_that_do_not_fit_are_refused(make_settings, claims, settings):
    with pytest.raises(ValueError, match=r"claim|subject|grade"):
        mapping(make_settings, settings).caller(claims)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a\\"])
def test_a_path_names_a_claim(text):
    with pytest.raises(ValueError, match="path"):
        claim_path(text)


def mapping(make_settings: Any, settings: dict[str, Any]) -> ClaimMapping:
    return ClaimMapping.of(make_settings(**settings))
