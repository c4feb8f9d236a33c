"""Signing in at issuers as they come: Keycloak, Entra ID, Auth0 and Azure AD B2C, with their documents and tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.console.issuer import ISSUER, Issuer, at_console, begin_sign_in

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
KEYCLOAK = f"{ISSUER}/realms/yeyak"
ENTRA = f"{ISSUER}/{TENANT}/v2.0"
ENTRA_V1 = f"https://sts.example/{TENANT}/"
AUTH0 = f"{ISSUER}/"
B2C = f"{ISSUER}/{TENANT}/v2.0/"
ROLES = {"Yeyak.Staff": "staff", "Yeyak.Operator": "operator"}

CASES: dict[str, dict[str, Any]] = {
    "keycloak": {
        "issuer": KEYCLOAK,
        "metadata": {"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"]},
        "access": {
            "aud": ["yeyak", "account"],
            "azp": "console",
            "typ": "Bearer",
            "role": None,
            "realm_access": {"roles": ["offline_access", "customer", "staff"]},
        },
        "settings": {"oidc_role_claim": "realm_access.roles"},
        "is": "staff",
    },
    "keycloak, roles of a client": {
        "issuer": KEYCLOAK,
        "access": {"resource_access": {"shop.yeyak": {"roles": ["manager"]}}, "role": None},
        "settings": {"oidc_role_claim": r"resource_access.shop\.yeyak.roles", "oidc_roles": {"manager": "staff"}},
        "is": "staff",
    },
    "entra, version 2": {
        "issuer": ENTRA,
        "access": {"aud": "console", "roles": ["Yeyak.Staff"], "oid": "0f4c", "tid": TENANT, "role": None},
        "settings": {
            "jwt_audience": "console",
            "oidc_role_claim": "roles",
            "oidc_roles": ROLES,
            "oidc_subject_claim": "oid",
        },
        "is": "staff",
    },
    "entra, version 1": {
        "issuer": ENTRA,
        "access": {"iss": ENTRA_V1, "aud": "api://yeyak", "scp": "Yeyak.Read Yeyak.Staff", "ver": "1.0", "role": None},
        "settings": {
            "jwt_more_issuers": [ENTRA_V1],
            "jwt_more_audiences": ["api://yeyak"],
            "oidc_role_claim": "scp",
            "oidc_roles": ROLES,
        },
        "is": "staff",
    },
    "auth0": {
        "issuer": AUTH0,
        "access": {
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["yeyak", f"{ISSUER}/userinfo"],
            "https://yeyak.example/roles": ["customer"],
            "role": None,
        },
        "settings": {"oidc_role_claim": r"https://yeyak\.example/roles", "jwt_issuer": ISSUER},
        "is": "customer",
    },
    "auth0, permissions": {
        "issuer": AUTH0,
        "access": {"permissions": ["read:rentals", "work:staff"], "role": None},
        "settings": {"oidc_role_claim": "permissions", "oidc_roles": {"work:staff": "staff"}},
        "is": "staff",
    },
    "b2c": {
        "issuer": B2C,
        "metadata": {
            "authorization_endpoint": f"{ISSUER}/yeyak.example/oauth2/v2.0/authorize?p=b2c_1_signin",
            "token_endpoint": f"{ISSUER}/yeyak.example/oauth2/v2.0/token?p=b2c_1_signin",
            "end_session_endpoint": f"{ISSUER}/yeyak.example/oauth2/v2.0/logout?p=b2c_1_signin",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        },
        "access": {"aud": "console", "tfp": "B2C_1_signin", "extension_Role": "Shop Staff", "role": None},
        "settings": {
            "jwt_audience": "console",
            "oidc_discovery_url": f"{ISSUER}/yeyak.example/B2C_1_signin/v2.0/.well-known/openid-configuration",
            "oidc_role_claim": "extension_Role",
            "oidc_roles": {"Shop Staff": "staff"},
            "oidc_required_claims": {"tfp": "B2C_1_signin"},
        },
        "is": "staff",
    },
    "nobody has a role": {
        "issuer": ISSUER,
        "access": {"role": None},
        "settings": {"oidc_default_role": "customer"},
        "is": "customer",
    },
}
PAGES = {"customer": "/mine", "staff": "/staff"}


def opened(case: dict[str, Any], rpc: Any, **settings: Any) -> tuple[Issuer, Any]:
    issuer = Issuer()
    issuer.name = case["issuer"]
    issuer.metadata = case.get("metadata", {})
    issuer.key_fields = {}
    if "client_secret_post" in issuer.metadata.get("token_endpoint_auth_methods_supported", []):
        issuer.takes = "client_secret_post"
    issuer.access = case["access"]
    return issuer, at_console(issuer, rpc, **{**case["settings"], **settings})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_people_sign_in_at_an_issuer_by_settings_alone(rpc, case):
    issuer, browser = opened(case, rpc)
    state = await begin_sign_in(browser, issuer)

    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert answer.status_code == 303, answer.text
    page = await browser.look("/sign-in")
    assert [path for path in PAGES.values() if f'href="{path}"' in page.text] == [PAGES[case["is"]]]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_without_these_settings_nobody_is_let_in(rpc, case):
    names = {"oidc_role_claim": "role", "oidc_roles": {}, "oidc_default_role": None}
    issuer, browser = opened(case, rpc, **names)
    state = await begin_sign_in(browser, issuer)

    assert (await browser.look(f"/sign-in/callback?code=the-code&state={state}")).status_code == 403


async def test_another_policy_of_the_same_issuer_signs_nobody_in(rpc):
    case = CASES["b2c"]
    issuer, browser = opened({**case, "access": {**case["access"], "tfp": "B2C_1_reset"}}, rpc)
    state = await begin_sign_in(browser, issuer)

    assert (await browser.look(f"/sign-in/callback?code=the-code&state={state}")).status_code == 403


async def test_the_addresses_of_a_policy_keep_their_query(rpc):
    issuer, browser = opened(CASES["b2c"], rpc)
    await begin_sign_in(browser, issuer)

    end = (await browser.look("/sign-in/end")).headers["location"]

    assert issuer.address.query.startswith("p=b2c_1_signin&client_id=console&response_type=code")
    assert end == f"{ISSUER}/yeyak.example/oauth2/v2.0/logout?p=b2c_1_signin&client_id=console"


@pytest.mark.parametrize("configured", [KEYCLOAK, f"{KEYCLOAK}/"])
@pytest.mark.parametrize("named", [KEYCLOAK, f"{KEYCLOAK}/"])
async def test_an_issuer_is_the_same_with_a_slash_and_without(rpc, configured, named):
    issuer, browser = opened({**CASES["keycloak"], "issuer": named}, rpc, oidc_issuer=configured, jwt_issuer=configured)
    state = await begin_sign_in(browser, issuer)

    assert (await browser.look(f"/sign-in/callback?code=the-code&state={state}")).status_code == 303
