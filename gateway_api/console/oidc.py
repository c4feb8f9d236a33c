"""Sign-in at an issuer: OpenID Connect, authorization code flow with PKCE.

The session is the access token of the issuer, which the API verifies like every other bearer token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, urlencode

import httpx
import jwt
import structlog
from pydantic_core import from_json, to_json
from starlette.responses import Response

from gateway_api.console import notices
from gateway_api.console.notices import ProblemNotice
from gateway_api.console.session import LONGEST_COOKIE
from gateway_api.console.site import PageContext, Site, local_url
from gateway_api.console.words import Text
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import LEEWAY_SECONDS

log = structlog.get_logger()

FLOW_COOKIE: Final = "yeyak_signing_in"
FLOW_SECONDS = 600
TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 60.0
"""How much the clock of the issuer may differ from this one."""
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


class Oidc:
    """The routes of the sign-in: to the issuer, the callback, and sign-out at the issuer."""

    def __init__(
        self, site: Site, settings: GatewaySettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        missing = [name for name in ("console_url", "console_key", "jwt_jwks_url") if getattr(settings, name) is None]
        if missing:
            raise ValueError(f"YEYAK_OIDC_ISSUER needs {', '.join(f'YEYAK_{name.upper()}' for name in missing)}")
        self._site = site
        self._issuer = str(settings.oidc_issuer).rstrip("/")
        self._scope = settings.oidc_scope
        self._resource = settings.oidc_resource
        self._client = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._redirect_uri = f"{str(settings.console_url).rstrip('/')}/sign-in/callback"
        self._http = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._metadata: dict[str, Any] = {}
        site.add_page("GET", "/sign-in/begin", self.begin)
        site.add_page("GET", "/sign-in/callback", self.callback)
        site.add_page("GET", "/sign-in/end", self.sign_out)

    async def begin(self, page: PageContext) -> Response:
        """Redirect to the issuer; a signed cookie binds the sign-in to this browser."""
        try:
            endpoint = (await self._discover())["authorization_endpoint"]
        except NotSignedInError as error:
            return self._failed(page, error)
        flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        flow["next"] = local_url(page.query("next"), "/")
        challenge = hashlib.sha256(flow["verifier"].encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": self._redirect_uri,
            "scope": self._scope,
            "state": flow["state"],
            "nonce": flow["nonce"],
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
            **({"resource": self._resource, "audience": self._resource} if self._resource else {}),
        }
        response = self._site.redirect(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}")
        self._site.sessions.set_cookie(response, FLOW_COOKIE, self._seal(flow), FLOW_SECONDS)
        return response

    async def callback(self, page: PageContext) -> Response:
        """Exchange the code from the issuer for a token, and start the session."""
        if page.visitor.caller is not None and FLOW_COOKIE not in page.request.cookies:
            return self._site.redirect("/")  # the callback was reloaded after the sign-in
        try:
            flow = self._unseal(page.request.cookies.get(FLOW_COOKIE, ""))
            if not hmac.compare_digest(flow["state"].encode(), page.query("state").encode()):
                raise NotSignedInError(SIGN_IN_EXPIRED, "the state does not match")
            if page.query("iss") not in ("", (await self._discover())["issuer"]):
                raise NotSignedInError(SIGN_IN_EXPIRED, "the response is from another issuer")
            if refusal := page.query("error"):
                raise NotSignedInError(SIGN_IN_DECLINED, f"the issuer refused: {refusal[:100]!a}")
            token = await self._redeem(page.query("code"), flow)
            response = self._site.redirect(local_url(flow["next"], "/"))
            self._site.sessions.begin(response, token)
        except NotSignedInError as error:
            return self._failed(page, error)
        response.delete_cookie(FLOW_COOKIE, path="/")
        return response

    async def sign_out(self, page: PageContext) -> Response:
        """Redirect to the issuer to sign out there too."""
        try:
            endpoint = (await self._discover()).get("end_session_endpoint")
        except NotSignedInError as error:
            return self._failed(page, error)
        return self._site.redirect(f"{endpoint}?{urlencode({'client_id': self._client})}" if endpoint else "/")

    async def _redeem(self, code: str, flow: dict[str, str]) -> str:
        """Return the access token, after the identity token was validated and the API accepts the access token."""
        if not code:
            raise NotSignedInError(SIGN_IN_EXPIRED, "the response has no code")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._client,
            "code_verifier": flow["verifier"],
        }
        tokens = await self._exchange(form)
        await self._check_identity(str(tokens.get("id_token", "")), flow["nonce"])
        token = str(tokens.get("access_token", ""))
        if len(token) > LONGEST_COOKIE:
            raise NotSignedInError(
                ACCOUNT_UNUSABLE, f"the access token has {len(token)} bytes, a cookie holds {LONGEST_COOKIE}"
            )
        try:
            await self._site.gateway.verifier.verify(f"Bearer {token}")
        except Problem as problem:
            if problem.code == "unavailable":
                raise NotSignedInError(ISSUER_UNAVAILABLE, "the issuer's keys are not known") from None
            raise NotSignedInError(ACCOUNT_UNUSABLE, _describe_rejected(token)) from None
        return token

    async def _exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Return the tokens for a code; tries the client authentication methods that the issuer supports."""
        metadata = await self._discover()
        methods = [
            method
            for method in (BASIC, POST)
            if method in metadata.get("token_endpoint_auth_methods_supported", [BASIC])
        ]
        response = None
        for method in methods or [POST]:
            response = await self._request(
                "POST", metadata["token_endpoint"], **self._client_authentication(method, form)
            )
            if _text_field(response, "error") not in ("invalid_client", "unauthorized_client"):
                break
        assert response is not None
        if response.is_success:
            return _json_object(response)
        refusal = _text_field(response, "error")
        if response.status_code >= 500 or not refusal:
            raise NotSignedInError(ISSUER_UNAVAILABLE, f"the issuer issued no token: {response.status_code}")
        failure = SIGN_IN_EXPIRED if refusal == "invalid_grant" else ACCOUNT_UNUSABLE
        raise NotSignedInError(failure, f"the issuer issued no token: {refusal[:100]!a}")

    def _client_authentication(self, method: str, form: dict[str, str]) -> dict[str, Any]:
        if self._secret is None:
            return {"data": form}
        secret = self._secret.get_secret_value()
        if method == POST:
            return {"data": {**form, "client_secret": secret}}
        return {"data": form, "auth": (quote_plus(self._client), quote_plus(secret))}

    async def _check_identity(self, id_token: str, nonce: str) -> None:
        keys = self._site.gateway.verifier.published_keys
        assert keys is not None
        try:
            key = await keys.find(jwt.get_unverified_header(id_token).get("kid"))
            if key is None or key.algorithm_name not in ASYMMETRIC:
                raise NotSignedInError(ACCOUNT_UNUSABLE, "the identity token is not signed by the issuer")
            claims = jwt.decode(
                id_token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._client,
                issuer=(await self._discover())["issuer"],
                leeway=LEEWAY_SECONDS,
            )
        except (jwt.PyJWTError, Problem) as error:
            raise NotSignedInError(
                ACCOUNT_UNUSABLE, f"the identity token is not valid: {type(error).__name__}"
            ) from None
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotSignedInError(SIGN_IN_EXPIRED, "the identity token belongs to another sign-in")
        if claims.get("azp", self._client) != self._client:
            raise NotSignedInError(ACCOUNT_UNUSABLE, "the identity token was made for another client")

    async def _discover(self) -> dict[str, Any]:
        """Return the OpenID configuration of the issuer, which is fetched once."""
        if not self._metadata:
            response = await self._request("GET", f"{self._issuer}/.well-known/openid-configuration")
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

    async def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, url, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotSignedInError(ISSUER_UNAVAILABLE, f"the issuer does not answer: {type(error).__name__}") from None

    # -- the signed cookie of a sign-in that has begun

    def _seal(self, flow: dict[str, str]) -> str:
        text = base64.urlsafe_b64encode(to_json(flow)).decode()
        return f"{text}.{self._site.sessions.sign(FLOW_COOKIE, text)}"

    def _unseal(self, sealed: str) -> dict[str, str]:
        text, _, seal = sealed.rpartition(".")
        if not text or not hmac.compare_digest(self._site.sessions.sign(FLOW_COOKIE, text).encode(), seal.encode()):
            raise NotSignedInError(SIGN_IN_EXPIRED, "this browser has begun no sign-in, or it expired")
        flow: dict[str, str] = from_json(base64.urlsafe_b64decode(text))
        return flow

    def _failed(self, page: PageContext, error: NotSignedInError) -> Response:
        log.warning("sign_in_failed", reason=str(error))
        status, title, detail = error.failure
        link = ("", Text("", "")) if error.failure is ACCOUNT_UNUSABLE else notices.LINKS["not_signed_in"]
        notice = ProblemNotice(title.of(page.language), detail.of(page.language), "sign_in_failed", {}, *link)
        return self._site.problem(page, notice, status)


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
    """Return for the log the claims of an access token that the API rejected, without the token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return "the access token is not a JWT: see YEYAK_OIDC_RESOURCE"
    excerpt = {name: claims.get(name) for name in ("iss", "aud", "role", "grade")}
    return f"the API rejects an access token with {str(excerpt)[:300]}"
