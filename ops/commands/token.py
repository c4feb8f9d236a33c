"""`yeyak token`: issue a token for a local system."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from contracts.ticketing.pricing import Grade
from gateway_api.tokens import issue
from ops.cli_support import configuration, fail
from ops.terminal import echo


class Role(StrEnum):
    CUSTOMER = "customer"
    STAFF = "staff"
    OPERATOR = "operator"


def register(app: typer.Typer) -> None:
    app.command()(token)


def token(
    role: Annotated[Role, typer.Option(help="the role of the member")],
    subject: Annotated[str, typer.Option(help="the member id")],
    grade: Annotated[Grade | None, typer.Option(help="the member's grade")] = None,
    hours: Annotated[float, typer.Option(min=0.001, max=24 * 365, help="hours of validity")] = 12,
) -> None:
    """Print a bearer token for a local system, and nothing else."""
    configured = configuration()
    if configured.jwt_key is None:
        fail("there is no key to sign with: start the system (`yeyak up`), or set YEYAK_JWT_KEY")
    try:
        signed = issue(
            subject,
            role.value,
            grade.value if grade else None,
            key=configured.jwt_key.get_secret_value(),
            issuer=configured.jwt_issuer,
            audience=configured.jwt_audience,
            lifetime=timedelta(hours=hours),
        )
    except ValueError as error:
        fail(f"the gateway would not accept this token: {error}")
    echo(signed)
