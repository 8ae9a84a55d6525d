"""The queues: tabs with counts, filters, safeguarding on top, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from review import due as pressing
from review.access.rights import MAY
from review.bulk import ACTIONS as BULK
from review.desk import UsageProblemError
from review.terminal import MISSING
from review.web import words
from review.web.filters import (
    address_of,
    chips,
    chosen_in,
    options,
    place_read,
    place_written,
    wanted_by,
)
from review.web.office import Office, name_of, office_of, render
from review.web.presence import in_queues
from store import CLOSED, CaseRow, RefusedError, Store, Wanted
from triage.deadlines import OfficeHours, Step
from triage.records import Directory

PAGE: Final = 50
#: How many in danger are listed above everything, whatever the filters; the rest is a click away.
_DANGER_SHOWN: Final = 10
#: How many saved views are counted on each page; the rest are listed without.
_COUNTED: Final = 12


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
    has_chat: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A saved view beside the queues; ``count`` is None where it would cost too much."""

    id: int
    name: str
    address: str
    count: int | None
    is_mine: bool
    is_shared: bool
    is_on: bool


async def queues(request: Request) -> Response:
    """The queue that the address asks for, with its filters."""
    asked = request.query_params
    return await run_in_threadpool(_page, request, asked, "")


async def search(request: Request) -> Response:
    """As ``queues``, for words. Posted, since words are names and addresses are kept in logs."""
    form = await request.form()
    return await run_in_threadpool(_page, request, form, str(form.get("words", "")).strip()[:200])


async def choose(request: Request) -> Response:
    """From the filter form to the address with these filters.

    Posted, since a therapist may be typed by name; the address holds their id.
    """
    form = await request.form()
    return await run_in_threadpool(_chosen, request, form)


async def save_view(request: Request) -> Response:
    """Keep the filters that are on under a name."""
    form = await request.form()
    return await run_in_threadpool(_view_saved, request, form)


def delete_view(request: Request) -> Response:
    """Delete a view of one's own."""
    if not office_of(request).store.views.delete(request.path_params["view"], name_of(request)):
        raise HTTPException(404, "There is no such view of yours.")
    return RedirectResponse("/queues", 303)


def _chosen(request: Request, form: Mapping[str, Any]) -> Response:
    chosen = chosen_in(form)
    if colleague := str(form.get("colleague", "")).strip()[:80]:
        chosen["assignee"] = colleague
    typed = str(form.get("therapist_typed", "")).strip()[:80]
    if not typed:
        chosen.pop("therapist", None)
    elif typed != str(form.get("therapist_shown", "")) or "therapist" not in chosen:
        found = office_of(request).store.therapists_named(typed)
        if len(found) != 1:
            left = {name: value for name, value in chosen.items() if name != "therapist"}
            offered = [(one, address_of({**left, "therapist": one.therapist_id})) for one in found]
            return render(
                request, "which_therapist.html", title="Which therapist?", offered=offered,
                back=address_of(left),
            )  # fmt: skip
        chosen["therapist"] = found[0].therapist_id
    return RedirectResponse(address_of(chosen), 303)


def _view_saved(request: Request, form: Mapping[str, Any]) -> Response:
    office, chosen = office_of(request), chosen_in(form)
    name = " ".join(str(form.get("name", "")).split())[:60]
    if not name:
        raise HTTPException(400, "A view needs a name.")
    is_shared = bool(form.get("shared")) and _may_share(request)
    try:
        wanted_by(chosen, name_of(request), office.clock())
        office.store.views.save(name_of(request), name, chosen, office.clock(), is_shared=is_shared)
    except (UsageProblemError, ValueError):
        raise HTTPException(400, "That filter is unknown.") from None
    except RefusedError as error:
        raise HTTPException(409, f"Not saved: {error}.") from None
    return RedirectResponse(address_of(chosen), 303)


def _may_share(request: Request) -> bool:
    """What a whole team works by is for leads to say."""
    return "see_overview" in MAY[request.state.person.role]


def _page(request: Request, asked: Mapping[str, Any], searched: str) -> Response:
    office, chosen = office_of(request), chosen_in(asked)
    now, store = office.clock(), office.store
    try:
        wanted = wanted_by(chosen, name_of(request), now)
        after = place_read(str(asked.get("after", "")))
    except (UsageProblemError, ValueError):
        raise HTTPException(400, "That filter is unknown.") from None
    danger: tuple[CaseRow, ...] = ()
    if searched:
        wanted = replace(wanted, words=searched, include_closed=True)
    else:
        above = store.page(Wanted(safeguarding=True), size=_DANGER_SHOWN)
        danger = above.rows if after is None else ()
        if above.following is None:  # they all stand above the list already
            wanted = replace(wanted, safeguarding=False)
    found = store.page(wanted, after, size=PAGE)
    numbered = () if after else _numbered(store, searched)
    directory = store.directory((*danger, *numbered, *found.rows))
    views, counts = _views(store, name_of(request), chosen, now)
    return render(
        request,
        "queues.html",
        title=words.TABS[chosen.get("queue", "")],
        danger=_lines(office, danger, directory, now),
        numbered=_lines(office, numbered, directory, now),
        lines=_lines(office, found.rows, directory, now),
        counts={"": sum(counts.values()), **counts},
        chosen=chosen,
        chips=chips(chosen, directory),
        views=views,
        may_share=_may_share(request),
        therapist=_therapist_shown(chosen, directory),
        searched=searched,
        search_note=words.SEARCH_NOTES.get(store.mail_is_found_by, ""),
        following=place_written(found.following) if found.following else "",
        later=bool(after),
        options=options(),
        remarks=_remarks(office, directory, now),
        present=in_queues(request),
        bulk_actions=BULK,
    )


def _numbered(store: Store, searched: str) -> tuple[CaseRow, ...]:
    """The case whose number was typed."""
    number = searched.removeprefix("#")
    if not (number.isascii() and number.isdecimal() and len(number) < 18):
        return ()
    story = store.case(int(number))
    return (story.case,) if story else ()


def _therapist_shown(chosen: Mapping[str, str], directory: Directory) -> str:
    found = directory.therapist(chosen["therapist"]) if "therapist" in chosen else None
    return found.name if found else chosen.get("therapist", "")


def _views(
    store: Store, me: str, chosen: Mapping[str, str], now: datetime
) -> tuple[list[View], dict[str, int]]:
    """The views beside the queues, and how many open cases each queue holds."""
    saved = store.views.of(me)
    asked: dict[int, Wanted] = {}
    for view in saved[:_COUNTED]:
        with suppress(UsageProblemError, ValueError):  # a code of an older version
            wanted = wanted_by(chosen_in(view.filters), me, now)
            if not wanted.include_closed and wanted.state not in CLOSED:
                asked[view.id] = wanted
    by_queue, *counted = store.open_counts(list(asked.values()))
    counts = {number: sum(found.values()) for number, found in zip(asked, counted, strict=True)}
    views = [
        View(
            view.id, view.name, address_of(chosen_in(view.filters)), counts.get(view.id),
            is_mine=view.owner == me, is_shared=view.is_shared, is_on=chosen == dict(view.filters),
        )
        for view in saved
    ]  # fmt: skip
    return views, by_queue


def _lines(
    office: Office, rows: tuple[CaseRow, ...], directory: Directory, now: datetime
) -> list[Line]:
    hours, ladder = office.rules().office, pressing.ladder_of(office.settings)
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
        has_chat="chat" in row.channels,
    )


def therapist_name(row: CaseRow, directory: Directory) -> str:
    found = directory.therapist(row.therapist_id) if row.therapist_id else None
    return found.name if found else row.sender


def client_name(row: CaseRow, directory: Directory) -> str:
    found = directory.client(row.client_id) if row.client_id else None
    return (
        f"{found.first_name} {found.last_name}".strip() if found else row.request.client_ref or ""
    )


def _remarks(office: Office, directory: Directory, now: datetime) -> list[str]:
    from triage.limits import staleness

    stale = staleness(directory.as_of, office.settings.limits(), now)
    return [stale] if stale else []
