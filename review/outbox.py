"""What staff and operations type about what leaves the system: `deliver` and `outbox`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from review import logs
from review.desk import AsJson, Desk, Now, UsageProblemError, console, print_json, store_of
from review.typed import login
from settings import Settings, SettingsError
from store import OutboxRow, Store
from store.outbox import STATES, STUCK

if TYPE_CHECKING:
    from review.delivery import Delivered

outbox_app = typer.Typer(help="What is to leave the system, or has left.", no_args_is_help=True)

_Ids = Annotated[list[int] | None, typer.Argument(help="As `outbox list` gives them.")]
_By = Annotated[str, typer.Option("--by", help="Who says so; your login name if left out.")]


def deliver(context: typer.Context, now: Now = None, *, as_json: AsJson = False) -> None:
    """Send what is due: webhooks or files to the platform, letters. Exit code 1: some could not."""
    from review.delivery import deliver as send
    from review.ways_out import carriers

    settings = context.obj.settings()
    if not carriers(settings):
        msg = (
            "nothing is configured to leave: set outbox.webhook_url or outbox.export_folder for "
            "the platform, mail.sender with mail.server or an IMAP source for letters, "
            "livechat.admin_id for answers to a chat"
        )
        raise SettingsError(msg)
    with store_of(settings) as store:
        ways = carriers(settings, store.known)
        reports = send(store, ways, lambda: now or datetime.now(UTC))
    _print_reports(reports, as_json=as_json)


def deliver_after_a_run(settings: Settings, store: Store) -> None:
    """Send what is due, where the settings want runs to do so; trouble is said, the run stands.

    What could not leave is tried again, and ``health`` tells when it has waited for too long.
    """
    from review.delivery import deliver as send
    from review.delivery import line_of
    from review.ways_out import carriers

    if not settings.outbox.with_runs:
        return
    try:
        ways = carriers(settings, store.known)
    except SettingsError as error:  # mail was read, and that is what a run is for
        logs.complain(str(error), "ended", error=type(error).__name__)
        return
    for report in send(store, ways, lambda: datetime.now(UTC)):
        if report.failed or report.dead or report.uncertain:
            logs.complain(line_of(report), "delivery_failed", channel=report.channel)


def _print_reports(reports: list[Delivered], *, as_json: bool) -> None:
    from review.delivery import line_of

    for report in reports:
        if as_json:
            print_json(asdict(report))
        else:
            console().print(line_of(report), highlight=False)
    if not reports and not as_json:
        console().print("nothing is due")
    if any(report.failed for report in reports):
        raise typer.Exit(1)


@outbox_app.command("list")
def outbox_list(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="What has left as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is to leave, and what is stuck. Nothing of any letter is shown."""
    if state is not None and state not in STATES:
        raise UsageProblemError(f"state {state!r} is unknown; allowed: {', '.join(STATES)}")
    open_states = [name for name in STATES if name not in {"sent", "taken_back"}]
    with store_of(context.obj.settings()) as store:
        rows = store.outbox(state or (None if everything else open_states))
    if as_json:
        for row in rows:
            print_json(row_json(row))
    else:
        _print_rows(rows)


@outbox_app.command("retry")
def outbox_retry(
    context: typer.Context,
    ids: _Ids = None,
    by: _By = "",
    now: Now = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="All dead letters.")] = False,
) -> None:
    """Try dead letters again from the start; an uncertain one only by its number: it may go twice.

    The key by which the platform knows a message stays the same.
    """
    with store_of(context.obj.settings()) as store:
        chosen = list(ids or ())
        if dead:
            chosen += [row.id for row in store.outbox("dead")]
        _settle(store, chosen, by, now, has_left=False)


@outbox_app.command("sent")
def outbox_sent(context: typer.Context, ids: _Ids = None, by: _By = "", now: Now = None) -> None:
    """Put on record that stuck ones have left after all, as a person found out."""
    with store_of(context.obj.settings()) as store:
        _settle(store, list(ids or ()), by, now, has_left=True)


def _settle(store: Store, ids: list[int], by: str, now: datetime | None, *, has_left: bool) -> None:
    if not ids:
        raise UsageProblemError(f"say which, by number; `outbox list` shows what is {_STUCK}")
    rows = store.settle_by_hand(ids, by or login(), now or datetime.now(UTC), has_left=has_left)
    _print_rows(rows)


_STUCK = " or ".join(STUCK)


@outbox_app.command("export")
def outbox_export(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="Instead of outbox.export_folder.")] = None,
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write what is due for the platform into one new file of JSON lines, instead of webhooks."""
    from review.delivery import deliver as send
    from review.webhooks import ExportFolder

    desk: Desk = context.obj
    settings = desk.settings()
    folder = to or settings.outbox.export_folder
    if folder is None:
        raise UsageProblemError("say where: --to FOLDER, or outbox.export_folder in the settings")
    if not folder.is_dir():
        raise UsageProblemError(f"there is no folder {folder}")
    way = ExportFolder(folder)
    with store_of(settings) as store:
        reports = send(store, {"platform": way}, lambda: now or datetime.now(UTC))
    for path in way.written:
        if not as_json:
            console().print(str(path), highlight=False, soft_wrap=True)
    _print_reports(reports, as_json=as_json)


def row_json(row: OutboxRow) -> dict[str, object]:
    """A row as programs read it, without its payload: that may be a letter."""
    return {
        "id": row.id,
        "channel": row.channel,
        "action": row.action,
        "case_id": row.case_id,
        "session_id": row.session_id,
        "key": row.key,
        "state": row.state,
        "attempts": row.attempts,
        "note": row.note,
        "not_before": row.not_before.isoformat(),
        "due_at": row.due_at.isoformat(),
        "changed_at": row.changed_at.isoformat(),
    }


def _print_rows(rows: list[OutboxRow]) -> None:
    from rich.table import Table

    if not rows:
        console().print("nothing")
        return
    table = Table("id", "state", "channel", "action", "case", "session", "tries", "due", "note")
    for row in rows:
        due = f"{row.due_at:%Y-%m-%d %H:%M} UTC" if row.state == "waiting" else ""
        cells = (row.id, row.state, row.channel, row.action, row.case_id, row.session_id or "")
        table.add_row(*map(str, cells), str(row.attempts), due, row.note)
    console().print(table)
