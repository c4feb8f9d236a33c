"""`yeyak dead-letters list|show|replay|discard`: what nobody could handle, and what becomes of it."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import typer

from contracts.base import Refused
from contracts.journal import DeadLetter, DeadLetters, ListDeadLetters, ResolveDeadLetter, ShowDeadLetter
from ops.commands.story import clock
from ops.configured import fail
from ops.requests import Ask, NoAnswerError, ask, asking, operator, why
from ops.tables import show as show_table

dead_letters = typer.Typer(no_args_is_help=True, help="What nobody could handle: list, show, replay, discard.")


class Status(StrEnum):
    DEAD = "DEAD"
    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"
    ALL = "all"


Context = Annotated[str | None, typer.Option(help="of one context")]
Topic = Annotated[str | None, typer.Option(help="of one message, by its wire name")]
Error = Annotated[str | None, typer.Option(help="whose error holds this text")]
AsJson = Annotated[bool, typer.Option("--json", help="as JSON")]
Id = Annotated[UUID | None, typer.Argument(help="a dead letter; a filter when left out")]
Why = Annotated[str, typer.Option(help="why; it is recorded with your name")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask when there are many")]


def register(app: typer.Typer) -> None:
    app.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_(
    status: Annotated[Status, typer.Option(help="of this status")] = Status.DEAD,
    context: Context = None,
    topic: Topic = None,
    error: Error = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="the newest ones, at most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    wanted = None if status is Status.ALL else status.value
    query = ListDeadLetters.model_validate(
        {"status": wanted, "context": context, "message_topic": topic, "error": error, "limit": limit}
    )
    page: DeadLetters = asyncio.run(ask(query))
    if as_json:
        typer.echo(page.model_dump_json(indent=1))
        return
    show_table(["id", "died (Seoul)", "status", "what", "error"], map(_row, page.items))
    typer.echo(f"{len(page.items)}{' of more' if page.next_cursor else ''} dead letters")


@dead_letters.command()
def show(dead_letter_id: Annotated[UUID, typer.Argument()], as_json: AsJson = False) -> None:
    """Show one with its body, its headers and what was decided so far."""
    letter: DeadLetter = asyncio.run(ask(ShowDeadLetter(dead_letter_id=dead_letter_id)))
    if as_json:
        typer.echo(letter.model_dump_json(indent=1))
        return
    for name, value in letter.model_dump(exclude={"resolutions", "body"}).items():
        if value is not None:
            typer.echo(f"{name:15} {value}")
    for resolution in letter.resolutions:
        typer.echo(f"{resolution.action:15} {clock(resolution.at)} by {resolution.by}: {resolution.reason}")
    typer.echo(f"\n{letter.body}")


@dead_letters.command()
def replay(
    reason: Why,
    dead_letter_id: Id = None,
    context: Context = None,
    topic: Topic = None,
    error: Error = None,
    yes: Yes = False,
) -> None:
    """Have one, or all that a filter finds, handled again."""
    _resolve("replay", reason, dead_letter_id, (context, topic, error), yes)


@dead_letters.command()
def discard(
    reason: Why,
    dead_letter_id: Id = None,
    context: Context = None,
    topic: Topic = None,
    error: Error = None,
    yes: Yes = False,
) -> None:
    """Give one, or all that a filter finds, up for good."""
    _resolve("discard", reason, dead_letter_id, (context, topic, error), yes)


Action = Literal["replay", "discard"]
Filter = tuple[str | None, str | None, str | None]


def _resolve(action: Action, reason: str, dead_letter_id: UUID | None, wanted: Filter, yes: bool) -> None:
    if (dead_letter_id is None) == (not any(wanted)):
        fail("name one dead letter, or a filter: --context, --topic, --error")
    if not 1 <= len(reason) <= 500:
        fail("a reason has 1 to 500 characters")
    try:
        refused = asyncio.run(_resolve_all(action, reason, dead_letter_id, wanted, yes))
    except NoAnswerError as silence:
        fail(str(silence))
    raise typer.Exit(1 if refused else 0)


async def _resolve_all(action: Action, reason: str, dead_letter_id: UUID | None, wanted: Filter, yes: bool) -> int:
    """Resolve one after the other; returns how many were refused."""
    async with asking() as ask_again:
        ids = [dead_letter_id] if dead_letter_id else await _find(ask_again, wanted)
        if len(ids) > 1 and not yes and not typer.confirm(f"{action} {len(ids)} dead letters?"):
            fail("nothing was done")
        refused = 0
        for id in ids:
            try:
                letter = await ask_again(
                    ResolveDeadLetter(dead_letter_id=id, action=action, reason=reason, caller=operator())
                )
            except Refused as refusal:
                refused += 1
                typer.echo(f"{id} {why(refusal)}", err=True)
            else:
                typer.echo(f"{id} {letter.status} {_what(letter)}")
    if not ids:
        typer.echo("there are none")
    return refused


async def _find(ask_again: Ask, wanted: Filter) -> list[UUID]:
    context, topic, error = wanted
    ids: list[UUID] = []
    cursor: str | None = None
    while True:
        page: DeadLetters = await ask_again(
            ListDeadLetters(context=context, message_topic=topic, error=error, limit=200, cursor=cursor)
        )
        ids += [letter.dead_letter_id for letter in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return ids


def _row(letter: DeadLetter) -> list[str]:
    return [str(letter.dead_letter_id), clock(letter.died_at), letter.status, _what(letter), letter.error]


def _what(letter: DeadLetter) -> str:
    return letter.queue or letter.topic or letter.context
