"""`yeyak seed`: fill an empty system with sample data."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx
import typer

from gateway_api import tokens
from gateway_api.console import sample
from gateway_api.console.internal_api import ApiResponse
from ops.cli_support import configuration, fail
from ops.terminal import echo

SUBJECT = "seed"
WAIT_SECONDS = 30.0


def register(app: typer.Typer) -> None:
    app.command()(seed)


def seed(
    url: Annotated[str, typer.Option(help="the gateway; default: the local system's")] = "",
    token: Annotated[str, typer.Option(help="a staff token; needed where an identity provider signs the tokens")] = "",
) -> None:
    """Register some videos, tickets, bikes, products, drinks and phones; repeating it changes nothing."""
    settings = configuration()
    if not token:
        if settings.jwt_key is None:
            fail("the tokens are signed by an identity provider: pass one with --token")
        token = tokens.issue(
            SUBJECT,
            "staff",
            key=settings.jwt_key.get_secret_value(),
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
    address = url or f"http://{settings.gateway_host}:{settings.gateway_port}"
    try:
        refused = asyncio.run(_seed(address, token))
    except httpx.HTTPError as error:
        fail(f"the gateway at {address} does not answer: {type(error).__name__}")
    if refused:
        fail(f"{refused} requests were refused")
    echo("The system has sample data.")


async def _seed(address: str, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=WAIT_SECONDS, trust_env=False) as client:

        async def send(path: str, body: dict[str, Any], key: str) -> ApiResponse:
            answer = await client.post(path, json=body, headers={"idempotency-key": key})
            return ApiResponse(answer.status_code, answer.json())

        return await sample.seed(send)
