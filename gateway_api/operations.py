"""Operations, for operators only: the status of the system, stories, and dead letters."""

from __future__ import annotations

from typing import Annotated, Literal

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
from gateway_api.bodies import DIGITS, Filters, Form, NonBlankReason, Paging
from gateway_api.gateway import OPERATOR, RequestContext, Routes

routes = Routes("/v1/operations", "operations")

FilterText = Annotated[str, Field(min_length=1, max_length=200)]


class DeadLetterFilters(Paging):
    status: DeadLetterStatus = "DEAD"
    context: FilterText | None = None
    message_topic: FilterText | None = None
    error: FilterText | None = None
    """A substring of the error."""


class StatusFilters(Filters):
    minutes: Annotated[int, Field(ge=1, le=1440), DIGITS] = 60
    """How far back to count."""


class Decision(Form):
    action: Literal["replay", "discard"]
    reason: NonBlankReason


@routes.get("/town", OPERATOR, ShowTown, StatusFilters)
async def show_town(request: RequestContext, filters: StatusFilters) -> Response:
    """The status of the contexts, as they last reported it to the journal, and figures by the minute."""
    return await request.send(ShowTown(minutes=filters.minutes))


@routes.get("/stories/{id}", OPERATOR, TellStory)
async def tell_story(request: RequestContext) -> Response:
    """The story of anything that has an id: a rental, a payment, a message."""
    return await request.send(TellStory(id=request.id("id")))


@routes.get("/dead-letters", OPERATOR, ListDeadLetters, DeadLetterFilters)
async def list_dead_letters(request: RequestContext, filters: DeadLetterFilters) -> Response:
    return await request.send(ListDeadLetters(**vars(filters)))


@routes.get("/dead-letters/{dead_letter_id}", OPERATOR, ShowDeadLetter)
async def show_dead_letter(request: RequestContext) -> Response:
    return await request.send(ShowDeadLetter(dead_letter_id=request.id("dead_letter_id")))


@routes.post("/dead-letters/{dead_letter_id}/resolution", OPERATOR, ResolveDeadLetter, Decision)
async def resolve_dead_letter(request: RequestContext, form: Decision) -> Response:
    """Replay a dead letter, or discard it."""
    dead_letter_id = request.id("dead_letter_id")
    return await request.send(ResolveDeadLetter(dead_letter_id=dead_letter_id, **vars(form), caller=request.caller))
