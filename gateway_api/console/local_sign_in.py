"""Sign-in without a password, on a local run: who may reach it.

A page of another site can point its own name to this machine (DNS rebinding), and a browser then sends it here with
that name as `Host`; therefore only names of the machine itself are served.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway_api.console.words import Text
from gateway_api.language import Language
from gateway_api.settings import GatewaySettings

log = structlog.get_logger()

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
FOREIGN_HOST: Final = Text(
    "로컬 실행의 콘솔은 비밀번호 없이 로그인하므로 localhost로만 열 수 있습니다.",
    "The console of a local run signs people in without a password, and can only be opened as localhost.",
)


class LocalSignIn:
    """Whether people may choose who to be, and under which names of the machine."""

    def __init__(self, settings: GatewaySettings, *, has_issuer: bool) -> None:
        is_wanted = not has_issuer and settings.oidc_issuer is None and settings.local_sign_in != "off"
        is_private = _is_loopback(settings.gateway_host)
        self.is_on = is_wanted and (is_private or settings.local_sign_in == "allowed")
        names = [*LOOPBACK_NAMES]
        if settings.local_sign_in == "allowed" and settings.console_url:
            names.append(urlsplit(settings.console_url).netloc.rpartition("@")[2].partition(":")[0])
        self._hosts = re.compile(rf"(?:{'|'.join(map(re.escape, names))})(?::[0-9]{{1,5}})?", re.IGNORECASE)
        if is_wanted and not is_private:
            self._warn(settings.gateway_host)

    def _warn(self, host: str) -> None:
        if self.is_on:
            log.warning("local_sign_in_reachable", gateway_host=host, setting="YEYAK_LOCAL_SIGN_IN")
        else:
            log.warning("local_sign_in_off", gateway_host=host, setting="YEYAK_LOCAL_SIGN_IN")

    def accepts(self, request: Request) -> bool:
        """Whether a request was sent to a name of this machine; without local sign-in every name is accepted."""
        hosts = request.headers.getlist("host")
        return not self.is_on or (len(hosts) == 1 and self._hosts.fullmatch(hosts[0]) is not None)

    def refusal(self, language: Language) -> Response:
        """Respond 421 Misdirected Request, with nothing that the other name could use."""
        return PlainTextResponse(FOREIGN_HOST.of(language), 421, {"cache-control": "no-store"})


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
