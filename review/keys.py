"""The keys with which texts are sealed in the database: made, rotated, looked through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from review.desk import AsJson, Desk, console, print_json
from settings import SettingsError

if TYPE_CHECKING:
    from store.keys import KeyPlace
    from store.resealing import Damaged, Rotated

keys_app = typer.Typer(help="Keys that texts are sealed with at rest.", no_args_is_help=True)


def _place(desk: Desk) -> KeyPlace:
    place = desk.settings().encryption.place()
    if place is None:
        msg = "encryption is off: set key_file or keyring in [encryption]"
        raise SettingsError(msg)
    return place


@keys_app.command("new")
def new(context: typer.Context) -> None:
    """Make a key where the settings say; a database takes it with `keys rotate`."""
    place = _place(context.obj)
    key = place.add()
    say = console().print
    say(f"key {key.id} is in {place}", soft_wrap=True)
    say("Copy it to a safe place away from the database: without it nothing can be read again.")
    say("Then `fit-triage keys rotate` seals with it; a new database takes it by itself.")


@keys_app.command("rotate")
def rotate(
    context: typer.Context,
    *,
    take_plain: Annotated[
        bool, typer.Option("--take-plain", help="Seal also what was stored plain since.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal everything with the newest key, plain texts too; may be stopped and run again."""
    _rotated(context.obj, to_plain=False, take_plain=take_plain, as_json=as_json)


@keys_app.command("off")
def off(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Open everything that is sealed; after that the settings need name no key."""
    _rotated(context.obj, to_plain=True, take_plain=False, as_json=as_json)


@keys_app.command("list")
def list_keys(context: typer.Context, *, as_json: AsJson = False) -> None:
    """How many rows need which key; a key that none needs may go, but for older backups."""
    from store.resealing import rows_by_key

    desk: Desk = context.obj
    found = rows_by_key(desk.settings().database_url, _place(desk))
    if as_json:
        print_json({key_id or "plain": dict(rows) for key_id, rows in found.items()})
        return
    for key_id, rows in found.items():
        told = ", ".join(f"{count} {name}" for name, count in sorted(rows.items())) or "no rows"
        console().print(f"{key_id or 'plain'}: {told}", soft_wrap=True)


@keys_app.command("verify")
def verify(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Open every sealed value; 1 where one was changed or moved."""
    from store.resealing import damaged

    desk: Desk = context.obj
    rows, found = damaged(desk.settings().database_url, _place(desk))
    if as_json:
        print_json({"rows": rows, "damaged": [_told(one) for one in found]})
    else:
        console().print(f"{rows} rows opened, {len(found)} damaged")
        _say(found)
    if found:
        raise typer.Exit(1)


def _rotated(desk: Desk, *, to_plain: bool, take_plain: bool, as_json: bool) -> None:
    from store.resealing import rotate as rotate_all

    place = _place(desk)
    with _counting() as progress:
        done = rotate_all(
            desk.settings().database_url,
            place,
            to_plain=to_plain,
            takes_plain=take_plain,
            progress=progress,
        )
    if as_json:
        print_json(_as_json(done))
    else:
        how = f"sealed with key {done.key_id}" if done.key_id else "plain"
        console().print(f"everything is {how}: {done.rows.total()} rows changed", soft_wrap=True)
        if done.given_up:
            gone = ", ".join(done.given_up)
            console().print(f"no row needs {gone} any more; keep it for older backups")
        for line in done.left:
            console().print(f"old words may be left in the files: {line}", soft_wrap=True)
        _say(done.damaged)
    if done.damaged:
        raise typer.Exit(1)


def _as_json(done: Rotated) -> dict[str, object]:
    return {
        "key": done.key_id or None,
        "rows": dict(done.rows),
        "damaged": [_told(one) for one in done.damaged],
        "given_up": list(done.given_up),
        "left": done.left,
    }


def _told(one: Damaged) -> dict[str, str]:
    return {"table": one.table, "row": one.row, "why": one.why}


def _say(found: list[Damaged]) -> None:
    for one in found:
        typer.echo(f"fit-triage: {one.table} {one.row} does not open: {one.why}", err=True)


@contextmanager
def _counting() -> Iterator[Callable[[str, int], None]]:
    """A line that counts, where somebody watches; a scheduler's log stays clean."""
    if not sys.stderr.isatty():
        yield lambda _table, _rows: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), "{task.completed} rows of {task.description}", TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda table, rows: bar.update(task, description=table, completed=rows)
