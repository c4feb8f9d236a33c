"""The settings of the gateway, of sign-in and of the console."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from contracts.base import Role
from contracts.systems import SYSTEMS, limits
from workers.runtime.settings import Settings


class GatewaySettings(*limits(), Settings):  # type: ignore[misc]
    """Every setting that the gateway reads."""

    others: ClassVar[tuple[str, ...]] = (
        "provider_",
        "keep_journal_",
        "journal_",
        "payments_",
        *(f"{system}_" for system in SYSTEMS),
    )

    # HTTP
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(8088, ge=0, le=65535)
    gateway_rate: float = Field(50, ge=0)
    """Requests per second and member, with bursts of four times as many; 0 = off."""
    gateway_in_flight: int = Field(400, ge=1)
    """Requests at once per context before 503."""
    gateway_in_flight_per_caller: int = Field(12, ge=0)
    """Requests at once per context and caller, whose other requests wait; 0 = no limit."""
    gateway_turn_seconds: float = Field(5, gt=0)
    """How long a request waits for others of its caller before 429."""
    gateway_body_limit: int = Field(65_536, ge=1)
    gateway_failures: float = Field(5, ge=0)
    """Requests per second and address that may fail authentication, with bursts of four times as many; 0 = off."""
    gateway_streams: int = Field(300, ge=1)
    """Event streams of the console at once."""
    gateway_streams_per_person: int = Field(8, ge=1)

    # payment providers
    gateway_stripe_webhook_secret: SecretStr | None = None
    """The signing secret of Stripe's webhook endpoint (`whsec_...`); without it Stripe's webhooks are `not_found`."""
    gateway_portone_webhook_secret: SecretStr | None = None
    """The same of PortOne's V2 webhooks."""

    # connections
    gateway_connections: int = Field(1_000, ge=0)
    """Open connections at once; 0 = no limit."""
    gateway_connections_per_address: int = Field(400, ge=0)
    """Open connections of one address, or of one IPv6 /64 network; 0 = no limit."""
    gateway_trusted_proxies: list[str] = []
    """Networks of the proxies in front (JSON): their `X-Forwarded-For` is believed, and one may open any number."""
    gateway_target_bytes: int = Field(8_192, ge=1)
    """The longest path with its query before 414."""
    gateway_header_bytes: int = Field(65_536, ge=1)
    gateway_header_count: int = Field(100, ge=1)
    """The largest head of a request before 431."""
    gateway_header_seconds: float = Field(10, gt=0)
    gateway_body_seconds: float = Field(30, gt=0)
    """How long a client may take to send a head and a body before 408."""
    gateway_keep_alive_seconds: int = Field(75, ge=1)
    """How long a connection may be idle."""

    # people and tokens
    gateway_cors_origins: list[str] = []
    jwt_key: SecretStr | None = None
    """The local signing key (HS256), for runs without an issuer."""
    jwt_issuer: str = "yeyak.local"
    jwt_audience: str = "yeyak"
    jwt_more_issuers: list[str] = []
    """Other names of the issuer in its tokens: Entra ID has another one in tokens of version 1."""
    jwt_more_audiences: list[str] = []
    jwt_jwks_url: str | None = None
    """Where an issuer publishes its keys; with it, the local key is not accepted."""
    oidc_subject_claim: str = "sub"
    r"""This and the other claims of the issuer's tokens are paths: `realm_access.roles`; a dot in a name is `\.`."""
    oidc_role_claim: str = "role"
    """A text, several in one text, or a list; the highest role counts."""
    oidc_roles: dict[str, Role] = {}
    """What the values of the role's claim mean (JSON); without it they are the names of the roles."""
    oidc_default_role: Role | None = None
    """The role of a signed-in person whose token has none; without it they are refused."""
    oidc_grade_claim: str = "grade"
    oidc_grades: dict[str, Literal["STANDARD", "VIP"]] = {}
    oidc_required_claims: dict[str, str] = {}
    """Values that claims must have (JSON), by path: the policy (`tfp`) or the tenant (`tid`) of an issuer of many."""

    # sign-in and console
    console_url: str | None = None
    """Where people reach it, e.g. `https://yeyak.example`; its cookies are for https only then."""
    console_key: SecretStr | None = None
    """Seals sessions and signs forms (at least 32 bytes), the same for all gateways; on a local run the local key does.
    """
    oidc_issuer: str | None = None
    """People sign in there (OpenID Connect); without it, on a local run, they choose who to be."""
    oidc_discovery_url: str | None = None
    """The OpenID configuration, where it is not `/.well-known/openid-configuration` below the issuer."""
    oidc_client_id: str = "yeyak"
    oidc_client_secret: SecretStr | None = None
    oidc_scope: str = "openid"
    oidc_resource: str | None = None
    """The API's name at the issuer, for one that makes JWT access tokens only when it is asked for them by name."""
    session_hours: float = Field(12, gt=0, le=24)
    """After which people sign in again, however often their tokens were refreshed."""
    local_sign_in: Literal["loopback", "allowed", "off"] = "loopback"
    """Without an issuer: only beside a loopback address; anywhere, where another barrier is; never."""

    def webhook_secret(self, provider: str) -> str | None:
        """The secret with which a payment provider signs its webhooks; None when it sends us none."""
        secrets = {"stripe": self.gateway_stripe_webhook_secret, "portone": self.gateway_portone_webhook_secret}
        secret = secrets.get(provider)
        return secret.get_secret_value() if secret else None


@lru_cache
def gateway_settings() -> GatewaySettings:
    """The settings of this process, read once; raises as `Settings.read` does."""
    return GatewaySettings.read()
