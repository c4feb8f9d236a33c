"""Signing in at an issuer: OpenID Connect, authorization code with PKCE.

The session is the issuer's own access token, which the API verifies as it does every other: its audience, its keys.
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

from gateway_api.console import problems
from gateway_api.console.problems import ProblemWords
from gateway_api.console.session import LONGEST_COOKIE
from gateway_api.console.site import PageContext, Site, place_here
from gateway_api.console.words import Text
from gateway_api.problems import Problem
from gateway_api.tokens import ASYMMETRIC
from workers.runtime.settings import Settings

log = structlog.get_logger()

BEGUN: Final = "yeyak_signing_in"
BEGUN_SECONDS = 600
WAIT_SECONDS = 5.0
LEEWAY_SECONDS = 60.0
"""By so much may the issuer's clock differ from this one."""
BASIC, POST = "client_secret_basic", "client_secret_post"


class Outcome(NamedTuple):
    """What a person is told who was not signed in."""

    status: int
    title: Text
    detail: Text


AWAY = Outcome(
    503,
    Text("로그인 서버가 응답하지 않습니다", "The sign-in service does not answer"),
    Text("잠시 후 다시 시도해 주세요.", "Please try again shortly."),
)
STALE = Outcome(
    400,
    Text("로그인을 처음부터 다시 해 주세요", "Please sign in once more"),
    Text("시간이 지났거나 다른 창에서 시작한 로그인입니다.", "It took too long, or was begun in another window."),
)
DECLINED = Outcome(
    403,
    Text("로그인하지 않았습니다", "You did not sign in"),
    Text("로그인 서버에서 취소되었거나 거절되었습니다.", "It was cancelled, or declined, at the sign-in service."),
)
UNFIT = Outcome(
    403,
    Text("이 계정으로는 들어올 수 없습니다", "This account cannot be used here"),
    Text(
        "로그인은 되었지만 이 계정의 권한을 알 수 없습니다. 다시 시도해도 같으니 관리자에게 알려 주세요.",
        "You signed in, but not with a right to use Yeyak. Trying again will not help: please tell an administrator.",
    ),
)


class NotSignedInError(Exception):
    """The issuer, or whoever came from there, did not say what was expected."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Oidc:
    """The two steps: to the issuer, and back."""

    def __init__(self, desk: Site, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        missing = [name for name in ("console_url", "console_key", "jwt_jwks_url") if getattr(settings, name) is None]
        if missing:
            raise ValueError(f"YEYAK_OIDC_ISSUER needs {', '.join(f'YEYAK_{name.upper()}' for name in missing)}")
        self._desk = desk
        self._issuer = str(settings.oidc_issuer).rstrip("/")
        self._scope = settings.oidc_scope
        self._resource = settings.oidc_resource
        self._client = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._back_to = f"{str(settings.console_url).rstrip('/')}/sign-in/callback"
        self._http = httpx.AsyncClient(transport=transport, timeout=WAIT_SECONDS, trust_env=False)
        self._known: dict[str, Any] = {}
        desk.add("GET", "/sign-in/begin", self.begin)
        desk.add("GET", "/sign-in/callback", self.back)
        desk.add("GET", "/sign-in/end", self.end)

    async def begin(self, page: PageContext) -> Response:
        """To the issuer, with what proves later that it was this browser that asked."""
        try:
            place = (await self._discovered())["authorization_endpoint"]
        except NotSignedInError as error:
            return self._failed(page, error)
        begun = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        begun["next"] = place_here(page.asked("next"), "/")
        challenge = hashlib.sha256(begun["verifier"].encode()).digest()
        wanted = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": self._back_to,
            "scope": self._scope,
            "state": begun["state"],
            "nonce": begun["nonce"],
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
            **({"resource": self._resource, "audience": self._resource} if self._resource else {}),
        }
        response = self._desk.go(f"{place}{'&' if '?' in place else '?'}{urlencode(wanted)}")
        self._desk.sessions.keep(response, BEGUN, self._sealed(begun), BEGUN_SECONDS)
        return response

    async def back(self, page: PageContext) -> Response:
        """From the issuer, with a code that is worth a token."""
        if page.visitor.caller is not None and BEGUN not in page.request.cookies:
            return self._desk.go("/")  # looked at again, after all was done
        try:
            begun = self._opened(page.request.cookies.get(BEGUN, ""))
            if not hmac.compare_digest(begun["state"].encode(), page.asked("state").encode()):
                raise NotSignedInError(STALE, "another state came back")
            if page.asked("iss") not in ("", (await self._discovered())["issuer"]):
                raise NotSignedInError(STALE, "another issuer answered")
            if refusal := page.asked("error"):
                raise NotSignedInError(DECLINED, f"the issuer says {refusal[:100]!a}")
            token = await self._redeem(page.asked("code"), begun)
            response = self._desk.go(place_here(begun["next"], "/"))
            self._desk.sessions.begin(response, token)
        except NotSignedInError as error:
            return self._failed(page, error)
        response.delete_cookie(BEGUN, path="/")
        return response

    async def end(self, page: PageContext) -> Response:
        """To the issuer, to sign out there too."""
        try:
            place = (await self._discovered()).get("end_session_endpoint")
        except NotSignedInError as error:
            return self._failed(page, error)
        return self._desk.go(f"{place}?{urlencode({'client_id': self._client})}" if place else "/")

    async def _redeem(self, code: str, begun: dict[str, str]) -> str:
        """The access token, once the identity token is this sign-in's own and the API takes the other."""
        if not code:
            raise NotSignedInError(STALE, "no code came back")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back_to,
            "client_id": self._client,
            "code_verifier": begun["verifier"],
        }
        told = await self._exchanged(form)
        await self._check_identity(str(told.get("id_token", "")), begun["nonce"])
        token = str(told.get("access_token", ""))
        if len(token) > LONGEST_COOKIE:
            raise NotSignedInError(UNFIT, f"the access token has {len(token)} bytes, a cookie holds {LONGEST_COOKIE}")
        try:
            await self._desk.door.verifier.verify(f"Bearer {token}")
        except Problem as problem:
            if problem.code == "unavailable":
                raise NotSignedInError(AWAY, "the issuer's keys are not known") from None
            raise NotSignedInError(UNFIT, _why_unfit(token)) from None
        return token

    async def _exchanged(self, form: dict[str, str]) -> dict[str, Any]:
        """The issuer's tokens for a code; the client names itself in the way that the issuer takes."""
        known = await self._discovered()
        ways = [way for way in (BASIC, POST) if way in known.get("token_endpoint_auth_methods_supported", [BASIC])]
        answer = None
        for way in ways or [POST]:
            answer = await self._sent("POST", known["token_endpoint"], **self._named(way, form))
            if _word(answer, "error") not in ("invalid_client", "unauthorized_client"):
                break
        assert answer is not None
        if answer.is_success:
            return _document(answer)
        refusal = _word(answer, "error")
        if answer.status_code >= 500 or not refusal:
            raise NotSignedInError(AWAY, f"the issuer gives no token: {answer.status_code}")
        outcome = STALE if refusal == "invalid_grant" else UNFIT
        raise NotSignedInError(outcome, f"the issuer gives no token: {refusal[:100]!a}")

    def _named(self, way: str, form: dict[str, str]) -> dict[str, Any]:
        if self._secret is None:
            return {"data": form}
        secret = self._secret.get_secret_value()
        if way == POST:
            return {"data": {**form, "client_secret": secret}}
        return {"data": form, "auth": (quote_plus(self._client), quote_plus(secret))}

    async def _check_identity(self, id_token: str, nonce: str) -> None:
        published = self._desk.door.verifier.published
        assert published is not None
        try:
            key = await published.find(jwt.get_unverified_header(id_token).get("kid"))
            if key is None or key.algorithm_name not in ASYMMETRIC:
                raise NotSignedInError(UNFIT, "the identity token has no key of the issuer's")
            claims = jwt.decode(
                id_token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._client,
                issuer=(await self._discovered())["issuer"],
                leeway=LEEWAY_SECONDS,
            )
        except (jwt.PyJWTError, Problem) as error:
            raise NotSignedInError(UNFIT, f"the identity token is not valid: {type(error).__name__}") from None
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotSignedInError(STALE, "the identity token is of another sign-in")
        if claims.get("azp", self._client) != self._client:
            raise NotSignedInError(UNFIT, "the identity token was made for another client")

    async def _discovered(self) -> dict[str, Any]:
        """The issuer's description of itself, kept once it was read."""
        if not self._known:
            answer = await self._sent("GET", f"{self._issuer}/.well-known/openid-configuration")
            if not answer.is_success:
                raise NotSignedInError(AWAY, f"the issuer does not describe itself: {answer.status_code}")
            told = _document(answer)
            if str(told.get("issuer", "")).rstrip("/") != self._issuer:
                raise NotSignedInError(UNFIT, "the issuer calls itself something else")
            if not all(isinstance(told.get(name), str) for name in ("authorization_endpoint", "token_endpoint")):
                raise NotSignedInError(UNFIT, "the issuer does not say where to sign in")
            self._known = told
        return self._known

    async def _sent(self, method: str, place: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, place, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotSignedInError(AWAY, f"the issuer does not answer: {type(error).__name__}") from None

    # -- what this browser has begun

    def _sealed(self, begun: dict[str, str]) -> str:
        text = base64.urlsafe_b64encode(to_json(begun)).decode()
        return f"{text}.{self._desk.sessions.sign(BEGUN, text)}"

    def _opened(self, sealed: str) -> dict[str, str]:
        text, _, seal = sealed.rpartition(".")
        if not text or not hmac.compare_digest(self._desk.sessions.sign(BEGUN, text).encode(), seal.encode()):
            raise NotSignedInError(STALE, "this browser has not begun to sign in, or too long ago")
        found: dict[str, str] = from_json(base64.urlsafe_b64decode(text))
        return found

    def _failed(self, page: PageContext, error: NotSignedInError) -> Response:
        log.warning("nobody was signed in", reason=str(error))
        status, title, detail = error.outcome
        link = ("", Text("", "")) if error.outcome is UNFIT else problems.WAYS_ON["not_signed_in"]
        told = ProblemWords(title.of(page.language), detail.of(page.language), "sign_in_failed", {}, *link)
        return self._desk.problem(page, told, status)


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = from_json(answer.content)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise NotSignedInError(AWAY, "the issuer answers with something else")
    return told


def _word(answer: httpx.Response, name: str) -> str:
    """A word of what the issuer refused with; empty where it said none."""
    try:
        return str(_document(answer).get(name, ""))
    except NotSignedInError:
        return ""


def _why_unfit(token: str) -> str:
    """For the log: what of an access token the API does not take, without the token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return "the access token is no JWT: see YEYAK_OIDC_RESOURCE"
    shown = {name: claims.get(name) for name in ("iss", "aud", "role", "grade")}
    return f"the API does not take an access token with {str(shown)[:300]}"
