"""Operations, for operators only: the status of the system, stories, and dead letters."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from contracts.journal import (
    DeadLetterStatus,
    ListDeadLetters,
    ResolveDeadLetter,
    ShowDeadLetter,
    ShowTown,
    TellStory,
)
from gateway_api.bodies import DIGITS, Filters, Form, NonBlankReason, Paging, example, optional
from gateway_api.dependencies import Commands, Operator, Queries, ResourceId
from gateway_api.routing import GatewayRoute, sends

DESCRIPTION = "For operators: the status of the system, stories, and dead letters."
router = APIRouter(prefix="/v1/operations", tags=["operations"], route_class=GatewayRoute)

FilterText = Annotated[str, Field(min_length=1, max_length=200)]


class DeadLetterFilters(Paging):
    status: DeadLetterStatus = "DEAD"
    context: FilterText = optional()
    message_topic: FilterText = optional()
    error: FilterText = optional()
    """A substring of the error."""


class StatusFilters(Filters):
    minutes: Annotated[int, Field(ge=1, le=1440), DIGITS] = 60
    """How far back to count."""


class Decision(Form):
    model_config = example(action="replay", reason="원인을 고침")

    action: Literal["replay", "discard"]
    reason: NonBlankReason


@router.get("/town")
@sends(ShowTown)
async def show_town(filters: Annotated[StatusFilters, Query()], _: Operator, queries: Queries) -> Response:
    """The status of the contexts, as they last reported it to the journal, and figures by the minute."""
    return await queries.send(ShowTown(minutes=filters.minutes))


@router.get("/stories/{id}")
@sends(TellStory)
async def tell_story(id: ResourceId, _: Operator, queries: Queries) -> Response:
    """The story of anything that has an id: a rental, a payment, a message."""
    return await queries.send(TellStory(id=id))


@router.get("/dead-letters")
@sends(ListDeadLetters)
async def list_dead_letters(filters: Annotated[DeadLetterFilters, Query()], _: Operator, queries: Queries) -> Response:
    return await queries.send(ListDeadLetters(**vars(filters)))


@router.get("/dead-letters/{dead_letter_id}")
@sends(ShowDeadLetter)
async def show_dead_letter(dead_letter_id: ResourceId, _: Operator, queries: Queries) -> Response:
    return await queries.send(ShowDeadLetter(dead_letter_id=dead_letter_id))


@router.post("/dead-letters/{dead_letter_id}/resolution")
@sends(ResolveDeadLetter)
async def resolve_dead_letter(
    dead_letter_id: ResourceId, form: Decision, caller: Operator, commands: Commands
) -> Response:
    """Replay a dead letter, or discard it."""
    return await commands.send(ResolveDeadLetter(dead_letter_id=dead_letter_id, **vars(form), caller=caller))
