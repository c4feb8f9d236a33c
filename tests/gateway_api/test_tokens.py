"""Tokens are accepted when a trusted key signed them and their claims are complete and valid."""

import base64
import hashlib
import hmac
import json
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from gateway_api import issuer_keys, tokens
from gateway_api.issuer_keys import PublishedKeys
from gateway_api.problems import Problem
from gateway_api.tokens import LEEWAY_SECONDS, Verifier, issue
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

    clock[0] = now + 60 + LEEWAY_SECONDS + 1

    assert await verifier.verify(f"Bearer {token}") is not remembered


async def test_an_expired_token_is_refused_even_by_a_verifier_that_knew_it(verifier):
    token = signed(exp=time.time() - LEEWAY_SECONDS + 2)
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
        {"role": ["admin"]},
        {"role": {"staff": True}},
        {"role": None},
        {"grade": "GOLD"},
        {"grade": 1},
        {"nbf": 2**40},
        {"iat": 2**40},
        {"exp": float("inf")},
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


@pytest.mark.parametrize(
    "changes",
    [
        {"nbf": +30},
        {"iat": +30},
        {"exp": -30},
        {"sub": "x" * 255},
        {"sub": "auth0|5f7c8ec7c33c6c004bbafe82"},
        {"iss": "yeyak.local/"},
    ],
)
async def test_claims_of_an_issuer_with_another_clock_or_spelling_are_signed_in(verifier, changes):
    claims = {name: time.time() + value if isinstance(value, int) else value for name, value in changes.items()}

    found = await verifier.verify(f"Bearer {signed(**claims)}")

    assert found.caller.member_id == changes.get("sub", "kim")


async def test_a_header_that_is_nested_deeply_is_not_signed_in(verifier, with_issuer, rsa_key):
    nested = base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=")

    for one in (verifier, with_issuer(Issuer(published(rsa_key, "one")))):
        with pytest.raises(Problem, match="not_signed_in"):
            await one.verify(f"Bearer {nested}.e30.x")


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


def published(private, kid: str | None, **more) -> dict:
    match private:
        case rsa.RSAPrivateKey():
            algorithm = jwt.algorithms.RSAAlgorithm
        case ec.EllipticCurvePrivateKey():
            algorithm = jwt.algorithms.ECAlgorithm
        case _:
            algorithm = jwt.algorithms.OKPAlgorithm
    return {**json.loads(algorithm.to_jwk(private.public_key())), **({"kid": kid} if kid else {}), **more}


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


KEYS = {
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "weak RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long")
@pytest.mark.parametrize(
    ("kind", "named", "algorithm", "accepted"),
    [
        *(("RSA", None, algorithm, True) for algorithm in issuer_keys.RSA_ALGORITHMS),
        ("RSA", "RS256", "RS256", True),
        ("RSA", "PS256", "PS256", True),
        ("RSA", "RS256", "RS512", False),
        ("RSA", "RS256", "PS256", False),
        ("RSA", "ES256", "RS256", False),
        ("RSA", "HS256", "RS256", False),
        ("RSA", "none", "RS256", False),
        ("RSA", "RSA-OAEP", "RS256", False),
        ("weak RSA", None, "RS256", False),
        ("P-256", None, "ES256", True),
        ("P-384", None, "ES384", True),
        ("P-521", None, "ES512", True),
        ("P-256", "ES384", "ES256", False),
        ("Ed25519", None, "EdDSA", True),
        ("Ed448", None, "EdDSA", True),
    ],
)
async def test_a_published_key_verifies_the_algorithms_of_its_type(with_issuer, kind, named, algorithm, accepted):
    private = KEYS[kind]()
    other = published(KEYS["P-256"](), "two")
    verifier = with_issuer(Issuer(published(private, "one", **({"alg": named} if named else {})), other))

    if accepted:
        assert (await verifier.verify(vouched(private, algorithm))).actor == "customer:kim"
    else:
        with pytest.raises(Problem, match="not_signed_in"):
            await verifier.verify(vouched(private, algorithm))


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none"])
async def test_a_public_key_is_no_secret(with_issuer, rsa_key, algorithm):
    """The key as everybody can read it, used as a shared secret, or no signature at all."""
    jwk = published(rsa_key, "one")
    verifier = with_issuer(Issuer(jwk))
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = rsa_key.public_key().public_bytes(*form)

    for secret in (pem, base64.urlsafe_b64decode(jwk["n"] + "==")):
        with pytest.raises(Problem, match="not_signed_in"):
            await verifier.verify("Bearer " + _with_header(algorithm, secret))


def _with_header(algorithm: str, secret: bytes) -> str:
    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    claims = json.dumps({**GOOD, "exp": time.time() + 60}).encode()
    text = f"{encoded(json.dumps({'alg': algorithm, 'kid': 'one'}).encode())}.{encoded(claims)}"
    if algorithm == "none":
        return f"{text}."
    digest = getattr(hashlib, f"sha{algorithm[2:]}")
    return f"{text}.{encoded(hmac.new(secret, text.encode(), digest).digest())}"


@pytest.mark.parametrize("marks", [{"use": "enc"}, {"key_ops": ["sign"]}])
async def test_a_key_for_another_use_verifies_nothing(with_issuer, rsa_key, marks):
    other = published(KEYS["P-256"](), "two")
    verifier = with_issuer(Issuer(published(rsa_key, "one", **marks), other))

    with pytest.raises(Problem, match="not_signed_in"):
        await verifier.verify(vouched(rsa_key, "RS256"))


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

    clock[0] = issuer_keys.RETRY_SECONDS + 1
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
    clock[0] = issuer_keys.REFRESH_SECONDS + 1
    verifier._cache.clear()

    assert (await verifier.verify(vouched(rsa_key, "RS256"))).actor == "customer:kim"
