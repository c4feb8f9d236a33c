"""What the console asks of an issuer (OpenID Connect): its configuration, tokens for a code, new tokens, an end."""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

import httpx
import jwt
import structlog
from pydantic_core import from_json

from gateway_api.console.words import Text
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import LEEWAY_SECONDS, SignedIn, Verifier

log = structlog.get_logger()

TIMEOUT_SECONDS = 5.0
BASIC, POST = "client_secret_basic", "client_secret_post"


class SignInFailure(NamedTuple):
    """The response to a failed sign-in."""

    status: int
    title: Text
    detail: Text


ISSUER_UNAVAILABLE = SignInFailure(
    503,
    Text("로그인 서버가 응답하지 않습니다", "The sign-in service does not answer"),
    Text("잠시 후 다시 시도해 주세요.", "Please try again shortly."),
)
SIGN_IN_EXPIRED = SignInFailure(
    400,
    Text("로그인을 처음부터 다시 해 주세요", "Please sign in once more"),
    Text("시간이 지났거나 다른 창에서 시작한 로그인입니다.", "It took too long, or was begun in another window."),
)
TOO_MANY_SIGN_INS = SignInFailure(
    429,
    Text("로그인 시도가 너무 많습니다", "Too many sign-ins"),
    Text("잠시 뒤에 다시 로그인해 주세요.", "Please sign in again in a moment."),
)
SIGN_IN_DECLINED = SignInFailure(
    403,
    Text("로그인하지 않았습니다", "You did not sign in"),
    Text("로그인 서버에서 취소되었거나 거절되었습니다.", "It was cancelled, or declined, at the sign-in service."),
)
ACCOUNT_UNUSABLE = SignInFailure(
    403,
    Text("이 계정으로는 들어올 수 없습니다", "This account cannot be used here"),
    Text(
        "로그인은 되었지만 이 계정의 권한을 알 수 없습니다. 다시 시도해도 같으니 관리자에게 알려 주세요.",
        "You signed in, but not with a right to use Yeyak. Trying again will not help: please tell an administrator.",
    ),
)


class NotSignedInError(Exception):
    """A sign-in failed; the text is the reason for the log."""

    def __init__(self, failure: SignInFailure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class IssuerTokens(NamedTuple):
    """The tokens of an issuer, of which the API accepts the access token."""

    access_token: str
    signed_in: SignedIn
    refresh_token: str


class IssuerClient:
    """A client of the issuer; its methods raise NotSignedInError."""

    def __init__(
        self, settings: GatewaySettings, verifier: Verifier, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._verifier = verifier
        self._issuer = str(settings.oidc_issuer).rstrip("/")
        self._discovery_url = settings.oidc_discovery_url or f"{self._issuer}/.well-known/openid-configuration"
        self._client = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._http = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._metadata: dict[str, Any] = {}

    async def metadata(self) -> dict[str, Any]:
        """Return the OpenID configuration of the issuer, which is fetched once."""
        if not self._metadata:
            response = await self._request("GET", self._discovery_url)
            if not response.is_success:
                raise NotSignedInError(
                    ISSUER_UNAVAILABLE, f"the issuer has no OpenID configuration: {response.status_code}"
                )
            metadata = _json_object(response)
            if str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
                raise NotSignedInError(ACCOUNT_UNUSABLE, "the OpenID configuration names another issuer")
            if not all(isinstance(metadata.get(name), str) for name in ("authorization_endpoint", "token_endpoint")):
                raise NotSignedInError(ACCOUNT_UNUSABLE, "the OpenID configuration has no endpoints")
            self._metadata = metadata
        return self._metadata

    async def url(self, endpoint: str, query: dict[str, str]) -> str:
        """Return the address of an endpoint for a browser; empty when the issuer has no such endpoint."""
        address = (await self.metadata()).get(endpoint)
        return with_query(address, {"client_id": self._client, **query}) if isinstance(address, str) else ""

    async def redeem(self, code: str, code_verifier: str, redirect_uri: str, nonce: str) -> IssuerTokens:
        """Return the tokens for a code, after the identity token was validated."""
        if not code:
            raise NotSignedInError(SIGN_IN_EXPIRED, "the response has no code")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        }
        answer = await self._token_request("token_endpoint", form)
        await self._check_identity(str(answer.get("id_token", "")), nonce)
        return await self._accepted(answer)

    async def refresh(self, refresh_token: str) -> IssuerTokens:
        """Return new tokens; without a new refresh token the old one is used again (RFC 6749, section 6)."""
        answer = await self._token_request(
            "token_endpoint", {"grant_type": "refresh_token", "refresh_token": refresh_token}
        )
        return await self._accepted({"refresh_token": refresh_token, **answer})

    async def revoke(self, refresh_token: str) -> None:
        """Revoke a refresh token, if the issuer has an endpoint for that (RFC 7009)."""
        if isinstance((await self.metadata()).get("revocation_endpoint"), str):
            form = {"token": refresh_token, "token_type_hint": "refresh_token"}
            await self._post("revocation_endpoint", form)

    async def _accepted(self, answer: dict[str, Any]) -> IssuerTokens:
        token, refresh_token = (str(answer.get(name) or "") for name in ("access_token", "refresh_token"))
        try:
            signed_in = await self._verifier.verify(f"Bearer {token}")
        except Problem as problem:
            if problem.code == "unavailable":
                raise NotSignedInError(ISSUER_UNAVAILABLE, "the issuer's keys are not known") from None
            raise NotSignedInError(ACCOUNT_UNUSABLE, _describe_rejected(token)) from None
        return IssuerTokens(token, signed_in, refresh_token)

    async def _token_request(self, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
        response = await self._post(endpoint, form)
        if response.is_success:
            return _json_object(response)
        refusal = _text_field(response, "error")
        if response.status_code >= 500 or not refusal:
            raise NotSignedInError(ISSUER_UNAVAILABLE, f"the issuer issued no token: {response.status_code}")
        failure = SIGN_IN_EXPIRED if refusal == "invalid_grant" else ACCOUNT_UNUSABLE
        raise NotSignedInError(failure, f"the issuer issued no token: {refusal[:100]!a}")

    async def _post(self, endpoint: str, form: dict[str, str]) -> httpx.Response:
        """Send a form as this client; tries the client authentication methods that the issuer supports."""
        metadata = await self.metadata()
        supported = metadata.get("token_endpoint_auth_methods_supported", [BASIC])
        methods = [method for method in (BASIC, POST) if method in supported] or [POST]
        for method in methods:
            options = self._client_authentication(method, {**form, "client_id": self._client})
            response = await self._request("POST", metadata[endpoint], **options)
            if _text_field(response, "error") not in ("invalid_client", "unauthorized_client"):
                break
        return response

    def _client_authentication(self, method: str, form: dict[str, str]) -> dict[str, Any]:
        if self._secret is None:
            return {"data": form}
        secret = self._secret.get_secret_value()
        if method == POST:
            return {"data": {**form, "client_secret": secret}}
        return {"data": form, "auth": (quote_plus(self._client), quote_plus(secret))}

    async def _check_identity(self, id_token: str, nonce: str) -> None:
        keys = self._verifier.published_keys
        assert keys is not None
        try:
            key = await keys.find(jwt.get_unverified_header(id_token).get("kid"))
            if key is None:
                raise NotSignedInError(ACCOUNT_UNUSABLE, "the identity token is not signed by the issuer")
            claims = jwt.decode(
                id_token,
                key.key,
                algorithms=key.algorithms,
                audience=self._client,
                issuer=(await self.metadata())["issuer"],
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, Problem) as error:
            raise NotSignedInError(
                ACCOUNT_UNUSABLE, f"the identity token is not valid: {type(error).__name__}"
            ) from None
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotSignedInError(SIGN_IN_EXPIRED, "the identity token belongs to another sign-in")
        if claims.get("azp", self._client) != self._client:
            raise NotSignedInError(ACCOUNT_UNUSABLE, "the identity token was made for another client")

    async def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, url, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotSignedInError(ISSUER_UNAVAILABLE, f"the issuer does not answer: {type(error).__name__}") from None


def with_query(url: str, query: dict[str, str]) -> str:
    """Return a URL with more of a query: it may have one already, such as `?p=B2C_1_signin`."""
    parts = urlsplit(url)
    whole = "&".join(filter(None, [parts.query, urlencode(query)]))
    return urlunsplit(parts._replace(query=whole, fragment=""))


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = from_json(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise NotSignedInError(ISSUER_UNAVAILABLE, "the issuer did not respond with a JSON object")
    return body


def _text_field(response: httpx.Response, name: str) -> str:
    """Return a field of a refusal of the issuer; empty without one."""
    try:
        return str(_json_object(response).get(name, ""))
    except NotSignedInError:
        return ""


def _describe_rejected(token: str) -> str:
    """Return for the log what an access token names that the API rejected, without the token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return "the access token is not a JWT: see YEYAK_OIDC_RESOURCE"
    excerpt = {"iss": claims.get("iss"), "aud": claims.get("aud"), "claims": sorted(claims)}
    return f"the API rejects an access token with {str(excerpt)[:500]}"
