"""The queues: tabs with counts, filters, safeguarding on top, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from review import due as pressing
from review.bulk import ACTIONS as BULK
from review.desk import UsageProblemError, one_of
from review.terminal import MISSING
from review.web import words
from review.web.office import Office, office_of, render
from review.web.presence import in_queues
from store import CaseRow, Place, Wanted
from triage.deadlines import OfficeHours, Step
from triage.labels import BLOCKERS, STATES
from triage.records import Directory

PAGE: Final = 50
#: How many in danger are listed above everything, whatever the filters; the rest is a click away.
_DANGER_SHOWN: Final = 10
_FILTERS: Final = ("queue", "state", "blocker", "due", "assignee", "closed")
_DUE: Final = {"2": "2 hours", "8": "8 hours", "24": "a day", "72": "three days"}


@dataclass(frozen=True, slots=True)
class Line:
    """A case as a line of its queue."""

    case_id: int
    kind: str
    state: str
    therapist: str
    client: str
    session_id: str
    due: datetime | None
    left: str
    pressing: str  # "over", "soon" or ""
    level: int
    missing: tuple[str, ...]
    safeguarding: bool
    assignee: str
    snoozed_until: datetime | None


async def queues(request: Request) -> Response:
    """The queue that the address asks for, with its filters."""
    asked = {name: request.query_params.get(name, "") for name in (*_FILTERS, "after")}
    return await run_in_threadpool(_page, request, asked, "")


async def search(request: Request) -> Response:
    """As ``queues``, for words. Posted, since words are names and addresses are kept in logs."""
    form = await request.form()
    asked = {name: str(form.get(name, "")) for name in (*_FILTERS, "after")}
    return await run_in_threadpool(_page, request, asked, str(form.get("words", "")).strip()[:200])


def _page(request: Request, asked: Mapping[str, str], searched: str) -> Response:
    office = office_of(request)
    now = office.clock()
    try:
        wanted, after = _wanted(asked, searched, now), _place(asked["after"])
    except (UsageProblemError, ValueError):
        raise HTTPException(400, "That filter is unknown.") from None
    above = office.store.page(Wanted(safeguarding=True), size=_DANGER_SHOWN)
    danger = above.rows
    if not searched and above.following is None:  # they all stand above the list already
        wanted = replace(wanted, safeguarding=False)
    found = office.store.page(wanted, after, size=PAGE)
    lines = _lines(office, (*danger, *found.rows), now)
    counts = office.store.counts()
    chosen = {name: value for name, value in asked.items() if name in _FILTERS and value}
    return render(
        request,
        "queues.html",
        title=words.TABS[asked["queue"]],
        danger=lines[: len(danger)],
        lines=lines[len(danger) :],
        counts={"": counts.open_cases, **counts.open_by_queue},
        chosen=chosen,
        searched=searched,
        following=_written(found.following) if found.following else "",
        later=bool(after),
        options=_options(),
        remarks=_remarks(office, now),
        present=in_queues(request),
        bulk_actions=BULK,
    )


def _wanted(asked: Mapping[str, str], searched: str, now: datetime) -> Wanted:
    due = float(asked["due"]) if asked["due"] else None
    if due is not None and not 0 <= due <= 24 * 366:
        raise ValueError("no such time")
    return Wanted(
        queue=one_of("queue", asked["queue"] or None),
        state=one_of("state", asked["state"] or None),
        blocker=one_of("blocker", asked["blocker"] or None),
        due_before=None if due is None else now + timedelta(hours=due),
        assignee=asked["assignee"] or None,
        words=searched,
        include_closed=bool(asked["closed"] or searched),
    )


def _lines(office: Office, rows: tuple[CaseRow, ...], now: datetime) -> list[Line]:
    hours, ladder = office.rules().office, pressing.ladder_of(office.settings)
    directory = office.store.directory()
    return [_line(row, directory, now, hours, ladder) for row in rows]


def _line(
    row: CaseRow, directory: Directory, now: datetime, hours: OfficeHours, ladder: tuple[Step, ...]
) -> Line:
    decision = row.decision
    level = pressing.levels([row], now, hours, ladder)[row.case_id]
    return Line(
        case_id=row.case_id,
        kind=row.request.kind,
        state=decision.state,
        therapist=therapist_name(row, directory),
        client=client_name(row, directory),
        session_id=row.session_id,
        due=decision.deadline,
        left=words.time_left(decision.deadline, now),
        pressing=words.pressing(decision.deadline, now),
        level=level,
        missing=tuple(MISSING.get(code, code) for code in decision.blockers),
        safeguarding=decision.safeguarding,
        assignee=row.assignee,
        snoozed_until=row.snoozed_until,
    )


def therapist_name(row: CaseRow, directory: Directory) -> str:
    found = directory.therapist(row.therapist_id) if row.therapist_id else None
    return found.name if found else row.sender


def client_name(row: CaseRow, directory: Directory) -> str:
    found = directory.client(row.client_id) if row.client_id else None
    return (
        f"{found.first_name} {found.last_name}".strip() if found else row.request.client_ref or ""
    )


def _remarks(office: Office, now: datetime) -> list[str]:
    from triage.limits import staleness

    stale = staleness(office.store.directory().as_of, office.settings.limits(), now)
    return [stale] if stale else []


def _options() -> dict[str, Any]:
    return {
        "state": [(code, words.STATES[code]) for code in STATES],
        "blocker": [(code, MISSING.get(code, code)) for code in BLOCKERS],
        "due": list(_DUE.items()),
    }


def _written(place: Place) -> str:
    due = place.deadline.isoformat() if place.deadline else ""
    return f"{int(place.safeguarding)}_{place.priority}_{place.case_id}_{due}"


def _place(text: str) -> Place | None:
    if not text:
        return None
    danger, priority, number, due = text.split("_")
    moment = datetime.fromisoformat(due.replace(" ", "+")) if due else None
    if moment and moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return Place(danger == "1", int(priority), moment, int(number))
