"""Tokens are accepted when a trusted key signed them and their claims are complete and valid."""

import json
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway_api import tokens
from gateway_api.problems import Problem
from gateway_api.tokens import PublishedKeys, Verifier, issue
from tests.support.system import eventually

KEY = "another-key-that-has-at-least-32-bytes"
GOOD = {"sub": "kim", "role": "customer", "iss": "yeyak.local", "aud": "yeyak"}


@pytest.fixture
def verifier(make_settings) -> Verifier:
    return Verifier(make_settings(jwt_key=KEY))


def signed(**changes) -> str:
    claims = {**GOOD, "exp": time.time() + 60, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not ...}, KEY, "HS256")


async def test_an_issued_token_is_accepted(verifier):
    token = issue("kim", "customer", "VIP", key=KEY)

    found = await verifier.verify(f"Bearer {token}")

    assert (found.caller.member_id, found.caller.role, found.caller.grade) == ("kim", "customer", "VIP")
    assert found.actor == "customer:kim"


async def test_a_verified_token_is_remembered(verifier):
    token = issue("kim", "staff", key=KEY)
    first = await verifier.verify(f"Bearer {token}")

    assert await verifier.verify(f"bearer {token}") is first


async def test_a_remembered_token_is_verified_again_once_it_has_expired(make_settings):
    now = time.time()
    clock = [now]
    verifier = Verifier(make_settings(jwt_key=KEY), clock=lambda: clock[0])
    token = signed(exp=now + 60)
    remembered = await verifier.verify(f"Bearer {token}")
    assert await verifier.verify(f"Bearer {token}") is remembered

    clock[0] = now + 61

    assert await verifier.verify(f"Bearer {token}") is not remembered


async def test_an_expired_token_is_refused_even_by_a_verifier_that_knew_it(verifier):
    token = signed(exp=time.time() + 2)
    await verifier.verify(f"Bearer {token}")

    async def is_refused() -> bool:
        try:
            await verifier.verify(f"Bearer {token}")
        except Problem as problem:
            return problem.code == "not_signed_in"
        return False

    assert await eventually(is_refused)


async def test_the_number_of_remembered_tokens_is_bounded(verifier, monkeypatch):
    monkeypatch.setattr(tokens, "CACHED_TOKENS", 3)
    headers = [f"Bearer {issue(f'kim{number}', 'customer', key=KEY)}" for number in range(10)]
    first = [await verifier.verify(header) for header in headers]

    remembered = [await verifier.verify(header) is first.pop() for header in reversed(headers)]

    assert 1 <= remembered.count(True) <= 3


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": ...},
        {"exp": "soon"},
        {"iss": "elsewhere"},
        {"iss": ...},
        {"aud": "others"},
        {"aud": ...},
        {"sub": ...},
        {"sub": ""},
        {"sub": "a b"},
        {"sub": "a\n"},
        {"sub": "x" * 256},
        {"sub": 7},
        {"role": ...},
        {"role": "admin"},
        {"role": ["staff"]},
        {"role": None},
        {"grade": "GOLD"},
        {"grade": 1},
        {"nbf": 2**40},
    ],
)
async def test_wrong_claims_are_not_signed_in(verifier, changes):
    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify(f"Bearer {signed(**changes)}")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic a2ltOmtpbQ==",
        "Bearer no.such.token",
        "Bearer " + "x" * 10_000,
        "Bearer " + jwt.encode({**GOOD, "exp": 2**40}, "x" * 40, "HS256"),
        "Bearer " + jwt.encode({**GOOD, "exp": 2**40}, KEY * 2, "HS512"),
        "Bearer " + jwt.encode({**GOOD, "exp": 2**40}, None, "none"),
    ],
)
async def test_other_headers_are_not_signed_in(verifier, header):
    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify(header)


@pytest.mark.parametrize("subject", ["", "a b", "x" * 256])
def test_no_token_is_issued_that_would_be_refused(subject):
    with pytest.raises(ValueError, match="subject"):
        issue(subject, "customer", key=KEY)


def test_a_short_key_is_refused(make_settings):
    with pytest.raises(ValueError, match="32 bytes"):
        issue("kim", "customer", key="short")
    with pytest.raises(ValueError, match="YEYAK_JWT_KEY"):
        Verifier(make_settings(jwt_key="short"))
    with pytest.raises(ValueError, match="YEYAK_JWT_KEY"):
        Verifier(make_settings(jwt_key=None))


# --- an issuer's published keys


def published(private, kid: str, **more) -> dict:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(algorithm.to_jwk(private.public_key())), "kid": kid, **more}


class Issuer:
    """An issuer that publishes keys, or answers 503."""

    def __init__(self, *keys: dict) -> None:
        self.keys: list[dict] | None = list(keys)
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(503) if self.keys is None else httpx.Response(200, json={"keys": self.keys})


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def with_issuer(make_settings):
    def make(issuer: Issuer, clock=time.monotonic) -> Verifier:
        verifier = Verifier(make_settings(jwt_key=KEY, jwt_jwks_url="http://issuer/keys"))
        transport = httpx.MockTransport(issuer)
        verifier.published_keys = PublishedKeys("http://issuer/keys", verifier._cache.clear, transport, clock)
        return verifier

    return make


def vouched(private, algorithm: str, kid: str | None = "one") -> str:
    headers = {"kid": kid} if kid else None
    return "Bearer " + jwt.encode({**GOOD, "exp": time.time() + 60}, private, algorithm, headers=headers)


@pytest.mark.parametrize("kid", ["one", None])
async def test_a_token_signed_by_the_issuer_is_accepted(with_issuer, rsa_key, kid):
    issuer = Issuer(published(rsa_key, "one"))
    verifier = with_issuer(issuer)

    found = await verifier.verify(vouched(rsa_key, "RS256", kid))

    assert found.actor == "customer:kim"
    assert issuer.requests == 1


async def test_a_token_signed_by_an_elliptic_key_is_accepted(with_issuer, ec_key):
    verifier = with_issuer(Issuer(published(ec_key, "one")))

    assert (await verifier.verify(vouched(ec_key, "ES256"))).actor == "customer:kim"


async def test_with_an_issuer_the_local_key_is_refused(with_issuer, rsa_key):
    verifier = with_issuer(Issuer(published(rsa_key, "one")))

    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify("Bearer " + signed())


async def test_a_published_key_verifies_by_its_own_algorithm_only(with_issuer, rsa_key):
    verifier = with_issuer(Issuer(published(rsa_key, "one")))

    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify(vouched(rsa_key, "RS512"))


async def test_a_published_secret_verifies_nothing(with_issuer, rsa_key):
    secret = {"kty": "oct", "kid": "two", "k": "a2V5" * 12, "alg": "HS256"}
    verifier = with_issuer(Issuer(published(rsa_key, "one"), secret))

    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify(vouched("keykeykeykeykeykeykeykeykeykeykeykey", "HS256", "two"))


async def test_an_unknown_key_is_fetched_at_a_limited_rate(with_issuer, rsa_key, ec_key):
    clock = [0.0]
    issuer = Issuer(published(rsa_key, "one"))
    verifier = with_issuer(issuer, lambda: clock[0])
    await verifier.verify(vouched(rsa_key, "RS256"))
    issuer.keys = [published(ec_key, "two")]

    for _ in range(5):
        with pytest.raises(Problem, match="not_signed_in"):
            await verifier.verify(vouched(ec_key, "ES256", "two"))
    assert issuer.requests == 1

    clock[0] = tokens.RETRY_SECONDS + 1
    await verifier.verify(vouched(ec_key, "ES256", "two"))
    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify(vouched(rsa_key, "RS256"))


async def test_without_any_key_the_gateway_is_unavailable(with_issuer, rsa_key):
    issuer = Issuer()
    issuer.keys = None
    verifier = with_issuer(issuer)

    with pytest.raises(Problem, match="unavailable"):
        await verifier.verify(vouched(rsa_key, "RS256"))


async def test_known_keys_are_used_while_the_issuer_is_unavailable(with_issuer, rsa_key):
    clock = [0.0]
    issuer = Issuer(published(rsa_key, "one"))
    verifier = with_issuer(issuer, lambda: clock[0])
    await verifier.verify(vouched(rsa_key, "RS256"))
    issuer.keys = None
    clock[0] = tokens.REFRESH_SECONDS + 1
    verifier._cache.clear()

    assert (await verifier.verify(vouched(rsa_key, "RS256"))).actor == "customer:kim"
