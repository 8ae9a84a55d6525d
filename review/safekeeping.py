"""Keeping what is stored safe: backups and the way back, seals looked at, roles of PostgreSQL."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from review.desk import AsJson, Desk, UsageProblemError, console, print_json, store_of
from review.typed import login
from settings import Settings

log = logging.getLogger(__name__)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
database_app = typer.Typer(help="The database itself.", no_args_is_help=True)


@audit_app.command("verify")
def audit_verify(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Look at every seal of the audit trail and of the access log; 1 where one is broken."""
    desk: Desk = context.obj
    with store_of(desk.settings()) as store:
        broken = {
            "audit": store.first_broken_audit_row(),
            "access_log": store.access_log.first_broken(),
        }
    if as_json:
        print_json({name: {"broken_at": row} for name, row in broken.items()})
    else:
        for name, row in broken.items():
            said = "whole" if row is None else f"broken from row {row} on"
            console().print(f"{name.replace('_', ' ')}: {said}")
    if any(row is not None for row in broken.values()):
        raise typer.Exit(1)


@database_app.command("grant")
def database_grant(
    context: typer.Context,
    role: Annotated[str, typer.Argument(help="A role of the server that owns no table.")],
) -> None:
    """Let a PostgreSQL role do the daily work; the audit trail it can only add to.

    Run it as the tables' owner, and again after each new version.
    """
    from store.roles import grant

    desk: Desk = context.obj
    grant(desk.settings().database_url, role)
    console().print(f"granted; now let the program connect as {role}")


def backup(
    context: typer.Context,
    to: Annotated[
        Path | None, typer.Option(help="A folder for the copy and its manifest; else the set one.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Delete all but so many of the newest.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the database as it is now, while others go on working; the copy is looked at.

    Old ones are deleted once the new one is whole, where the settings or --keep say how many.
    """
    from store.backups import back_up
    from store.backups_kept import thin_out

    desk: Desk = context.obj
    settings, now = desk.settings(), datetime.now(UTC)
    folder, kept = to or settings.backup.folder, keep or settings.backup.keep
    if folder is None:
        raise UsageProblemError("say where: --to FOLDER, or backup.folder in the settings")
    path, manifest = back_up(settings.database_url, folder, now)
    deleted = thin_out(folder, kept, now) if kept else []
    if as_json:
        print_json({"path": str(path), **asdict(manifest), "deleted": len(deleted)})
    else:
        size = f"{manifest.size / 1e6:.1f} MB"
        held = f"{manifest.messages} messages, {manifest.cases} cases"
        console().print(f"{path}: {held}, {manifest.audit_rows} rows of audit, {size}")
        if manifest.keys:
            console().print(f"to be read with key {', '.join(manifest.keys)} alone: keep it too")
    if manifest.audit_broken_at is not None:
        typer.echo(f"fit-triage: audit broken from row {manifest.audit_broken_at} on", err=True)
        raise typer.Exit(1)


def restore(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="As `backup` wrote it, its manifest beside it.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who restores; your login name if left out.")] = "",
    *,
    trial: Annotated[
        bool, typer.Option("--trial", help="Into a place of its own that is thrown away.")
    ] = False,
) -> None:
    """Bring a backup back into the configured database, which must hold nothing yet.

    A trial changes nothing, and takes the newest backup where none is named.
    """
    from store.backups import restore as bring_back
    from store.backups_kept import try_out

    desk: Desk = context.obj
    settings, now = desk.settings(), datetime.now(UTC)
    if file is None and not trial:
        raise UsageProblemError("say which: a file that `fit-triage backup` wrote")
    chosen, keys = file or _newest(settings), settings.encryption.place()
    if trial:
        held = try_out(chosen, settings.database_url, now, keys=keys).manifest
        said = f"{chosen} comes back whole: {held.messages} messages, {held.cases} cases"
        console().print(said, soft_wrap=True)
        return
    restored = bring_back(chosen, settings.database_url, by or login(), now, keys=keys)
    held = restored.manifest
    told = {"event": "restored", "messages": held.messages, "cases": held.cases}
    log.info("restored", extra={**told, "count": restored.uncertain})
    say = console().print
    say(f"restored as of {held.made_at}: {held.messages} messages, {held.cases} cases")
    say("What came since is fetched again by the next run, as far as the mailbox still holds it.")
    say("What people decided since is lost: look at the platform, and at who was written to.")
    say("Who was erased since is here again: repeat it with `fit-triage erase --again REPORT`.")
    if restored.uncertain:
        say(f"{restored.uncertain} mails may have left since: `fit-triage outbox list`")


def _newest(settings: Settings) -> Path:
    from store.backups_kept import backups_in

    folder = settings.backup.folder
    found = backups_in(folder) if folder else []
    if not found:
        raise UsageProblemError("there is no backup: name one, or set backup.folder")
    return found[-1]
