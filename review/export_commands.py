"""``fit-triage export``: pseudonymised rows for a named recipient, on record and for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from review.desk import AsJson, Desk, Now, UsageProblemError, console, moment, print_json, store_of
from review.typed import login
from store import RefusedError
from store.exports import FORMATS, WHAT, Format, What, Wish

if TYPE_CHECKING:
    from store import Store
    from store.exports import Export

export_app = typer.Typer(
    help="Pseudonymised rows for a named recipient, on record and for a while.",
    invoke_without_command=True,
)

_By = Annotated[str, typer.Option("--by", help="Who does it; your login name if left out.")]
_Moment = Annotated[datetime | None, typer.Option(parser=moment, metavar="ISO")]
_DAYS = 30


@export_app.callback()
def export(
    context: typer.Context,
    to: Annotated[
        Path | None, typer.Option(help="A folder; the export gets its own in it.")
    ] = None,
    recipient: Annotated[
        str, typer.Option("--for", help="Pseudonyms are this recipient's own.")
    ] = "",
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}.")] = "csv",
    what: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(WHAT)}; all of them if left out.")
    ] = None,
    *,
    since: _Moment = None,
    until: _Moment = None,
    expires: Annotated[int, typer.Option(min=1, max=3660, help="Days until it is due to go.")] = (
        _DAYS
    ),
    reason: Annotated[str, typer.Option(help="What it is for; free text asks for one.")] = "",
    by: _By = "",
    now: Now = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Redacted free text too; for the role data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write what is stored as rows without names, addresses, ids or words of anybody."""
    if context.invoked_subcommand is not None:
        return
    from review.exporting import export as write

    if to is None:
        raise UsageProblemError("say where: --to FOLDER; `export list` shows what was exported")
    clock = now or datetime.now(UTC)
    desk: Desk = context.obj
    with store_of(desk.settings()) as store:
        wish = Wish(
            by=by or login(),
            role=_role(store, by or login(), with_text=with_text),
            recipient=recipient,
            what=_all_of(what),
            format=_form(form),
            expires_at=clock + timedelta(days=expires),
            folder=str(to.resolve()),
            with_text=with_text,
            reason=reason,
            since=since,
            until=until,
        )
        try:
            made = write(store, wish, clock)
        except RefusedError as error:
            raise UsageProblemError(str(error)) from None
    if as_json:
        rows = {file.name: file.rows for file in made.files}
        told = {"export": made.number, "folder": str(made.folder), "rows": rows}
        print_json({**told, "manifest_sha256": made.manifest_sha256})
        return
    for file in made.files:
        console().print(f"{file.rows} rows in {made.folder / file.name}", soft_wrap=True)
    console().print(f"due to be deleted on {wish.expires_at:%Y-%m-%d}")


@export_app.command("list")
def export_list(
    context: typer.Context,
    recipient: Annotated[str | None, typer.Option("--for", help="Theirs alone.")] = None,
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """What was exported, to whom, why, and where it is now; newest first."""
    from review.exporting import standing_of

    desk: Desk = context.obj
    clock = now or datetime.now(UTC)
    with store_of(desk.settings()) as store:
        found = [(one, standing_of(one, clock)) for one in store.exports.made(recipient=recipient)]
    if as_json:
        for one, standing in found:
            print_json(_json(one, standing))
        return
    from rich.table import Table

    if not found:
        console().print("nothing was exported")
        return
    table = Table("export", "made", "by", "for", "what", "rows", "text", "expires", "files")
    for one, standing in found:
        wish, rows = one.wish, sum(file.rows for file in one.files)
        days = (f"{one.at:%Y-%m-%d}", f"{wish.expires_at:%Y-%m-%d}")
        text = "redacted" if wish.with_text else "none"
        cells = (str(one.id), days[0], wish.by, wish.recipient, ", ".join(wish.what))
        table.add_row(*cells, str(rows), text, days[1], standing)
    console().print(table)


@export_app.command("purge-expired")
def export_purge_expired(
    context: typer.Context, by: _By = "", now: Now = None, *, as_json: AsJson = False
) -> None:
    """Delete the files of exports past their expiry, on record. Exit code 1: some could not be."""
    from review.exporting import purge_expired

    desk: Desk = context.obj
    with store_of(desk.settings()) as store:
        done = list(purge_expired(store, by or login(), now or datetime.now(UTC)))
    for one in done:
        if as_json:
            told = {"export": one.number, "deleted": not one.problem, "was_there": one.was_there}
            print_json(told)
        if one.problem:
            typer.echo(f"fit-triage: export {one.number}: {one.problem}", err=True)
        elif not as_json:
            said = "deleted" if one.was_there else "was gone before"
            console().print(f"export {one.number}: {said}")
    if not done and not as_json:
        console().print("nothing is due")
    if any(one.problem for one in done):
        raise typer.Exit(1)


@export_app.command("pseudonym")
def export_pseudonym(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="client, therapist, session, sender, colleague, …")],
    value: Annotated[str, typer.Argument(help="The id or address as stored.")],
    recipient: Annotated[str, typer.Option("--for", help="As it was typed for the export.")],
) -> None:
    """What a recipient's files call somebody, to ask them to delete it; also under old secrets."""
    from models.masking import Pseudonyms

    desk: Desk = context.obj
    with store_of(desk.settings()) as store:
        keys = store.exports.keys(recipient)
    for key in keys:
        typer.echo(Pseudonyms(key).of(value, kind))


@export_app.command("new-secret")
def export_new_secret(context: typer.Context, by: _By = "", now: Now = None) -> None:
    """Make all later pseudonyms others: later exports join with no earlier one."""
    desk: Desk = context.obj
    with store_of(desk.settings()) as store:
        store.exports.new_secret(by or login(), now or datetime.now(UTC))
    console().print("later exports join with no earlier one")


def _role(store: Store, by: str, *, with_text: bool) -> str:
    from review.exporting import role_of

    try:
        return role_of(store, by, with_text=with_text)
    except RefusedError as error:
        raise UsageProblemError(str(error)) from None


def _all_of(typed: list[str] | None) -> tuple[What, ...]:
    asked = [name for one in typed or () for name in one.split(",")]
    if unknown := sorted(set(asked) - set(WHAT)):
        raise UsageProblemError(f"--what {unknown[0]}: there are {', '.join(WHAT)}")
    return tuple(what for what in WHAT if not asked or what in asked)


def _form(typed: str) -> Format:
    for form in FORMATS:
        if form == typed:
            return form
    raise UsageProblemError(f"--format {typed}: there are {', '.join(FORMATS)}")


def _json(one: Export, standing: str) -> dict[str, object]:
    wish = one.wish
    return {
        "export": one.id,
        "at": one.at.isoformat(),
        "by": wish.by,
        "role": wish.role,
        "recipient": wish.recipient,
        "reason": wish.reason,
        "what": list(wish.what),
        "format": wish.format,
        "with_text": wish.with_text,
        "since": wish.since.isoformat() if wish.since else None,
        "until": wish.until.isoformat() if wish.until else None,
        "expires_at": wish.expires_at.isoformat(),
        "folder": wish.folder,
        "rows": {file.name: file.rows for file in one.files},
        "manifest_sha256": one.manifest_sha256,
        "standing": standing,
    }
