"""The overview for leads: figures of a period, and overrides for a second look."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from review.terminal import MISSING
from review.web import words
from review.web.office import Office, name_of, office_of, render
from review.web.tables import csv_of
from review.web.told_figures import SHOWN, Near, charts, is_by_week, tables
from store import RefusedError
from store.figures import Figures
from store.periods import Period

DAYS: Final = (7, 30, 90)
#: The longest period that may be asked for.
MOST_DAYS: Final = 366
_MOST_WORDS: Final = 2_000  # characters of an objection


def overview(request: Request) -> Response:
    """The figures of the period that the address names; of 30 days where it names none."""
    office = office_of(request)
    today = office.clock().astimezone(words.LONDON).date()
    period, problem = _period(request, today)
    figures, near = _found(office, period)
    limits = office.settings.limits()
    return render(
        request,
        "overview.html",
        title="Overview",
        problem=problem,
        period=period,
        today=today,
        days=DAYS,
        chosen=_chosen(period, today),
        query=urlencode({"from": period.first.isoformat(), "to": period.last.isoformat()}),
        figures=figures,
        by_week=is_by_week(figures),
        tables=tables(figures, near, limits),
        charts=charts(figures),
        most=SHOWN,
        limits=limits,
        waiting=len(office.store.second_looks.waiting()),
    )


def figures_csv(request: Request) -> Response:
    """One table of the overview, whole, for a spreadsheet."""
    office = office_of(request)
    period, problem = _period(request, office.clock().astimezone(words.LONDON).date())
    if problem:
        raise HTTPException(400, problem)
    figures, near = _found(office, period)
    table = tables(figures, near, office.settings.limits()).get(request.path_params["table"])
    if table is None:
        raise HTTPException(404, "There is no such table.")
    name = f"{table.name}-{period.first}-{period.last}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(csv_of(table), media_type="text/csv; charset=utf-8", headers=headers)


def _found(office: Office, period: Period) -> tuple[Figures, list[Near]]:
    now, limits = office.clock(), office.settings.limits()
    counts = office.store.unconfirmed(now - limits.window, now)
    directory = office.store.directory()
    near = []
    for therapist_id, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count >= min(limits.warn_at, limits.pause_at):
            therapist = directory.therapist(therapist_id)
            near.append(Near(therapist_id, therapist.name if therapist else "", count))
    return office.store.overview.figures(period, now), near


def _period(request: Request, today: date) -> tuple[Period, str]:
    """The period asked for; where it makes no sense, the usual one and what is wrong."""
    asked = request.query_params
    usual = Period(today - timedelta(days=29), today)
    try:
        if "from" in asked or "to" in asked:
            last = date.fromisoformat(asked["to"]) if asked.get("to") else today
            first = date.fromisoformat(asked["from"]) if asked.get("from") else last
        else:
            days = int(asked.get("days", 30))
            first, last = today - timedelta(days=days - 1), today
        length = (last - first).days + 1
    except (ValueError, OverflowError):
        return usual, "That is no period; a day is written as in 2026-11-22."
    if not 1 <= length <= MOST_DAYS:
        return usual, f"A period has 1 to {MOST_DAYS} days, the first day before the last."
    if last > today:
        return usual, "A period ends today at the latest."
    return Period(first, last), ""


def _chosen(period: Period, today: date) -> int:
    """Which of the usual periods it is; 0 where it is none."""
    length = len(period.days)
    return length if period.last == today and length in DAYS else 0


# --- the second look -----------------------------------------------------------------------------


def second_looks(request: Request) -> Response:
    """Overrides of the client gate, those that wait for somebody else first."""
    return _looks(request, "", 200)


async def second_look(request: Request) -> Response:
    """Put on record that somebody else looked: they agree, or object in words."""
    form = await request.form()
    verdict, said = str(form.get("verdict", "")), str(form.get("agrees", ""))
    typed = str(form.get("words", "")).replace("\r\n", "\n").strip()
    if not (verdict.isdecimal() and len(verdict) < 18) or said not in ("yes", "no"):
        raise HTTPException(400, "Say which override, and whether it was right.")
    if len(typed) > _MOST_WORDS:
        raise HTTPException(400, "That is too long.")
    return await run_in_threadpool(_looked, request, int(verdict), typed, agrees=said == "yes")


def _looked(request: Request, verdict: int, typed: str, *, agrees: bool) -> Response:
    office = office_of(request)
    try:
        office.store.second_looks.look(
            verdict, name_of(request), office.clock(), agrees=agrees, words=typed
        )
    except RefusedError as error:
        return _looks(request, f"Not put on record: {error}.", 409, {verdict: typed})
    return RedirectResponse("/second-looks", 303)


def _looks(
    request: Request, problem: str, status: int, typed: dict[int, str] | None = None
) -> Response:
    store = office_of(request).store
    return render(
        request,
        "second_looks.html",
        status,
        title="Second look",
        problem=problem,
        typed=typed or {},
        waiting=store.second_looks.waiting(),
        done=store.second_looks.done(),
        blockers=MISSING,
        me=name_of(request),
    )
