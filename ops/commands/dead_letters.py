"""`yeyak dead-letters list|show|replay|discard`: messages that could not be processed, and decisions about them."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import typer

from contracts.base import Refused
from contracts.journal import DeadLetter, DeadLetters, ListDeadLetters, ResolveDeadLetter, ShowDeadLetter
from ops.cli_support import fail
from ops.commands.story import clock
from ops.requests import RequestFailed, SendRequest, describe_refusal, operator, request, request_client
from ops.tables import print_table
from ops.terminal import echo, escaped

dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that could not be processed: list, show, replay, discard."
)


class Status(StrEnum):
    DEAD = "DEAD"
    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"
    ALL = "all"


Context = Annotated[str | None, typer.Option(help="only those of this context")]
Topic = Annotated[str | None, typer.Option(help="only those of this topic")]
Error = Annotated[str | None, typer.Option(help="only those whose error contains this text")]
AsJson = Annotated[bool, typer.Option("--json", help="as JSON")]
Id = Annotated[UUID | None, typer.Argument(help="one dead letter; without it, a filter is needed")]
Why = Annotated[str, typer.Option(help="the reason; it is recorded with your name")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask for confirmation when there are several")]


def register(app: typer.Typer) -> None:
    app.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_(
    status: Annotated[Status, typer.Option(help="only those with this status")] = Status.DEAD,
    context: Context = None,
    topic: Topic = None,
    error: Error = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="how many at most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    chosen = None if status is Status.ALL else status.value
    query = ListDeadLetters.model_validate(
        {"status": chosen, "context": context, "message_topic": topic, "error": error, "limit": limit}
    )
    page: DeadLetters = asyncio.run(request(query))
    if as_json:
        echo(page.model_dump_json(indent=1))
        return
    print_table(["id", "died (Seoul)", "status", "what", "error"], map(_row, page.items))
    echo(f"{len(page.items)}{' of more' if page.next_cursor else ''} dead letters")


@dead_letters.command()
def show(dead_letter_id: Annotated[UUID, typer.Argument()], as_json: AsJson = False) -> None:
    """Show one dead letter with its body, its headers and the decisions so far."""
    letter: DeadLetter = asyncio.run(request(ShowDeadLetter(dead_letter_id=dead_letter_id)))
    if as_json:
        echo(letter.model_dump_json(indent=1))
        return
    for name, value in letter.model_dump(exclude={"resolutions", "body"}).items():
        if value is not None:
            echo(f"{name:15} {escaped(str(value))}")
    for resolution in letter.resolutions:
        echo(f"{resolution.action:15} {clock(resolution.at)} by {resolution.by}: {escaped(resolution.reason)}")
    echo(f"\n{letter.body}")


@dead_letters.command()
def replay(
    reason: Why,
    dead_letter_id: Id = None,
    context: Context = None,
    topic: Topic = None,
    error: Error = None,
    yes: Yes = False,
) -> None:
    """Send one dead letter, or all that a filter finds, to their consumers again."""
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
    """Discard one dead letter, or all that a filter finds, for good."""
    _resolve("discard", reason, dead_letter_id, (context, topic, error), yes)


Action = Literal["replay", "discard"]
Filter = tuple[str | None, str | None, str | None]


def _resolve(action: Action, reason: str, dead_letter_id: UUID | None, chosen: Filter, yes: bool) -> None:
    if (dead_letter_id is None) == (not any(chosen)):
        fail("give either one dead letter or a filter: --context, --topic, --error")
    if not 1 <= len(reason) <= 500:
        fail("the reason must have 1 to 500 characters")
    try:
        refused = asyncio.run(_resolve_all(action, reason, dead_letter_id, chosen, yes))
    except RequestFailed as failure:
        fail(str(failure))
    raise typer.Exit(1 if refused else 0)


async def _resolve_all(action: Action, reason: str, dead_letter_id: UUID | None, chosen: Filter, yes: bool) -> int:
    """Resolve the dead letters one after another; returns how many were refused."""
    async with request_client() as send:
        ids = [dead_letter_id] if dead_letter_id else await _find(send, chosen)
        if len(ids) > 1 and not yes and not typer.confirm(f"{action} {len(ids)} dead letters?"):
            fail("nothing was done")
        refused = 0
        for id in ids:
            try:
                letter = await send(
                    ResolveDeadLetter(dead_letter_id=id, action=action, reason=reason, caller=operator())
                )
            except Refused as refusal:
                refused += 1
                echo(f"{id} {describe_refusal(refusal)}", err=True)
            else:
                echo(f"{id} {letter.status} {_subject(letter)}")
    if not ids:
        echo("there are none")
    return refused


async def _find(send: SendRequest, chosen: Filter) -> list[UUID]:
    context, topic, error = chosen
    ids: list[UUID] = []
    cursor: str | None = None
    while True:
        page: DeadLetters = await send(
            ListDeadLetters(context=context, message_topic=topic, error=error, limit=200, cursor=cursor)
        )
        ids += [letter.dead_letter_id for letter in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return ids


def _row(letter: DeadLetter) -> list[str]:
    return [str(letter.dead_letter_id), clock(letter.died_at), letter.status, _subject(letter), letter.error]


def _subject(letter: DeadLetter) -> str:
    return letter.queue or letter.topic or letter.context
