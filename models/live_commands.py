"""``fit-triage models compare --live``: a candidate against the model in use on live mail."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import typer

from models.terminal import archive_of, print_table

if TYPE_CHECKING:
    from models.live import LiveComparison

_LONDON: Final = ZoneInfo("Europe/London")


def day_of(text: str) -> date:
    """A day as it is typed."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day such as 2026-11-22") from None


def compare_on_live_mail(
    context: typer.Context, candidate: str, champion: str, since: date | None, *, as_json: bool
) -> None:
    """Print the comparison; exit code 2 where the candidate has read nothing yet."""
    from models.feedback import collect
    from models.live import compare_live, settled_requests

    archive = archive_of(context)
    begin = None if since is None else datetime.combine(since, time(), _LONDON)
    readings = archive.shadows(candidate, champion, begin)
    if readings is None or not readings.readings:
        who, beside = candidate or "no candidate", champion or "the model in use"
        raise typer.BadParameter(
            f"{who} has read no live mail beside {beside}; see `fit-triage models shadow`"
        )
    rows = collect(archive.cases()).rows
    settled = settled_requests((r.example.email.message_id, r.example.requests) for r in rows)
    found = compare_live(readings, settled)
    if as_json:
        content = asdict(found) | {"too_few_verdicts": found.has_too_few}
        typer.echo(json.dumps(content, indent=1))
    else:
        _show(found)


def _show(found: LiveComparison) -> None:
    print_table(
        ["field", "agree", "95 %", "differ", "judged", found.champion, found.candidate, "finding"],
        [
            (
                one.field,
                one.agreement,
                f"{one.low:.3f} .. {one.high:.3f}",
                one.differ,
                one.judged,
                one.champion_right,
                one.candidate_right,
                one.finding
                if one.finding == "too few verdicts"
                else f"{one.finding} {one.apart:+.3f} ({one.apart_low:+.3f} .. "
                f"{one.apart_high:+.3f}, p {one.p:.3f})",
            )
            for one in found.fields
        ],
        title=f"{found.candidate} against {found.champion} on {found.messages} live messages",
        width=130,
    )
    print_table(["worst of a message", "messages"], [(name, n) for name, n in found.costs.items()])
    harms = found.harms
    typer.echo(
        f"By people's word, {found.champion} and {found.candidate}: urgent risk missed "
        f"{harms.urgent_missed[0]} and {harms.urgent_missed[1]}, client wrongly taken as told "
        f"{harms.false_clear[0]} and {harms.false_clear[1]}."
    )
    if harms.unjudged_urgent or harms.unjudged_told:
        typer.echo(
            f"Nobody has looked at {harms.unjudged_urgent} urgent risks that {found.candidate} "
            f"does not see, and at {harms.unjudged_told} clients that it alone takes as told."
        )
    typer.echo(
        f"{found.judged} messages judged on the page, {found.settled} settled in their cases. "
        f"{found.candidate}: {found.per_second:.0f} messages/s in one process, "
        f"{found.failed} failed{f', latest try: {found.problem}' if found.problem else ''}."
    )
    if found.has_too_few:
        typer.echo("Too few verdicts: nothing here says which of the two is right.")
