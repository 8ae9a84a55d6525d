"""The pages of doing one thing to many cases: what would happen, yes, what happened, undo.

Nothing is done before the preview was seen, and of it only what is still ticked. The form of the
preview has a token: posted again, it acts no second time and leads to the same result.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from review import bulk
from review.bulk import ACTIONS, MOST, Trial
from review.case_printing import outbox_lines
from review.web import words
from review.web.deeds import moment
from review.web.office import Office, name_of, office_of, render
from review.web.presence import in_queues
from review.web.queues import client_name, therapist_name
from store import StoreError
from store.bulks import Bulk, BulkStep
from triage.records import Directory
from triage.verdicts import Outgoing

_TOKEN: Final = re.compile(r"[\w-]{32}")
_ITEM: Final = re.compile(r"(\d{1,15})(?::(\d{1,9}))?")
_MOST_REASON: Final = 2_000  # characters
_WITH_LETTERS: Final = ("approve", "note_reason")
_WITH_REASON: Final = ("note_reason", "general", "dismiss")
#: What becomes of a case, where nothing leaves.
_QUIETLY: Final[Mapping[str, str]] = {
    "approve": "closes the case; nothing leaves",
    "send_back": "no letter leaves",
    "note_reason": "closes the case; nothing leaves",
    "general": "leaves the case to the ordinary inbox",
    "dismiss": "closes the case; nothing leaves",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A case on the preview or on the result."""

    case_id: int
    version: int
    who: str
    therapist: str
    kind: str
    state: str
    left: str
    lines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    rule: str = ""
    why: str = ""
    instead: tuple[str, ...] = ()
    present: str = ""


async def preview(request: Request) -> Response:
    """What would happen to each of the cases that were ticked; nothing is done."""
    form = await request.form()
    return await run_in_threadpool(_previewed, request, form, "")


def _previewed(request: Request, form: FormData, notice: str) -> Response:
    office = office_of(request)
    asked = _asked(request, form, office, secrets.token_urlsafe(24))
    trials = list(bulk.rehearse(office.store, asked, office.rules(), office.sending))
    directory, present = office.store.directory(), in_queues(request)
    shown = [_tried(one, asked, office, directory, present) for one in trials]
    return render(
        request,
        "bulk.html",
        title=f"{words.ACTIONS[asked.action]}: preview",
        bulk=asked,
        notice=notice,
        will=[one for one in shown if not one.why],
        wont=[one for one in shown if one.why],
        previewed=_options_seen(asked),
        with_reason=asked.action in _WITH_REASON,
        until=_field(asked.details.get("until")),
        with_letters=asked.action in _WITH_LETTERS,
        undo=words.span(office.sending.undo),
    )


async def carry_out(request: Request) -> Response:
    """Do what the preview showed to the cases still ticked, and lead to what came of it."""
    form = await request.form()
    token = str(form.get("token", ""))
    if not _TOKEN.fullmatch(token):
        raise HTTPException(400, "This form is not from a preview.")
    return await run_in_threadpool(_carried_out, request, form, token)


def _carried_out(request: Request, form: FormData, token: str) -> Response:
    office = office_of(request)
    asked = _asked(request, form, office, token)
    if any(not step.version for step in asked.steps):
        raise HTTPException(400, "The form does not say which versions it is about.")
    if str(form.get("previewed", "")) != _options_seen(asked):
        notice = "You changed what is to be done: look at it again, then say yes."
        return _previewed(request, form, notice)
    kept = office.store.bulks.begin(asked)
    if not kept.asks_the_same(asked):
        return _page(request, kept, "This form was sent before, with other cases or words. "
                     "Nothing more was done: this is what came of it then.", 409)  # fmt: skip
    return _worked_off(request, kept)


async def go_on(request: Request) -> Response:
    """Do the rest of what was stopped in the middle."""
    await request.form()
    return await run_in_threadpool(lambda: _worked_off(request, _found(request)))


def _worked_off(request: Request, kept: Bulk) -> Response:
    office = office_of(request)
    if kept.by != name_of(request):
        raise HTTPException(404, "There is no such list.")
    with suppress(StoreError):  # what was done is done: the page says how far it came
        bulk.carry_out(office.store, kept, office.rules, office.sending)
    return _to_result(request, kept)


def result(request: Request) -> Response:
    """What became of each case."""
    return _page(request, _found(request), "", 200)


async def undo(request: Request) -> Response:
    """Take all back that can be taken back."""
    await request.form()
    return await run_in_threadpool(_undone, request)


def _undone(request: Request) -> Response:
    office, kept = office_of(request), _found(request)
    bulk.take_back(office.store, kept, name_of(request), office.clock())
    return _to_result(request, kept)


def _found(request: Request) -> Bulk:
    kept = office_of(request).store.bulks.find(request.path_params["token"])
    if kept is None:
        raise HTTPException(404, "There is no such list.")
    return kept


def _to_result(request: Request, kept: Bulk) -> Response:
    return RedirectResponse(request.url_for("bulk_result", token=kept.token).path, 303)


# --- from the form --------------------------------------------------------------------------------


def _asked(request: Request, form: FormData, office: Office, token: str) -> Bulk:
    action = str(form.get("action", ""))
    if action not in ACTIONS:
        raise HTTPException(400, "That cannot be done to many cases at once.")
    reason = str(form.get("reason", "")).replace("\r\n", "\n").strip()
    if len(reason) > _MOST_REASON:
        raise HTTPException(400, "That reason is too long.")
    me = name_of(request)
    details = _details(action, form, me, office.clock())
    return Bulk(token, me, office.clock(), action, reason, details, _steps(form))


def _steps(form: FormData) -> tuple[BulkStep, ...]:
    """The cases that were ticked, or all of the list that was shown, each once."""
    chosen = [str(value) for value in form.getlist("case")]
    if form.get("all"):
        chosen = str(form.get("shown", "")).split()
    items = [_ITEM.fullmatch(text) for text in dict.fromkeys(chosen)]
    steps = {int(item[1]): BulkStep(int(item[1]), int(item[2] or 0)) for item in items if item}
    if None in items:
        raise HTTPException(400, "The form names something that is no case.")
    if not steps:
        raise HTTPException(422, "No case was ticked. Nothing was done.")
    if len(steps) > MOST:
        raise HTTPException(
            422, f"{len(steps)} cases are ticked; at most {MOST} go together. Nothing was done."
        )
    return tuple(steps.values())


def _details(action: str, form: FormData, me: str, now: datetime) -> dict[str, Any]:
    """As the form of one case has them; where a preview is yet to ask, what is likely meant."""
    if action == "assign":
        return {"assignee": str(form.get("assignee", me)).strip()}
    if action == "snooze":
        try:
            until = moment(str(form["until"])) if form.get("until") else _tomorrow(now)
        except ValueError as error:
            raise HTTPException(422, f"{error}. Nothing was done.".capitalize()) from None
        return {"until": until.isoformat()}
    if action in _WITH_LETTERS and form.get("has_letters") and not form.get("letters"):
        return {"letters": False}
    return {}


def _tomorrow(now: datetime) -> datetime:
    """Nine in the morning of the next day that is no weekend."""
    day = now.astimezone(words.LONDON).date() + timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return datetime.combine(day, time(9), words.LONDON).astimezone(UTC)


def _options_seen(asked: Bulk) -> str:
    """What else than the choice of cases decides on what happens; the reason is words alone."""
    return json.dumps([asked.action, asked.details], sort_keys=True)


def _field(until: object) -> str:
    """A moment as a date and time field holds it, on the London clock."""
    if not isinstance(until, str):
        return ""
    return f"{datetime.fromisoformat(until).astimezone(words.LONDON):%Y-%m-%dT%H:%M}"


# --- what is shown --------------------------------------------------------------------------------


def _tried(
    one: Trial, asked: Bulk, office: Office, directory: Directory, present: Mapping[int, str]
) -> Shown:
    refused = one.acted.refused
    told: dict[str, Any] = {}
    if refused:
        told = {"rule": refused.rule, "why": refused.why, "instead": refused.allowed}
    else:
        leaving = tuple(_leaving(item) for item in one.acted.outgoing)
        told = {"lines": leaving or (_quietly(asked),), "remarks": one.acted.remarks}
    if one.story is None:
        return Shown(one.case_id, 0, "", "", "", "", "", **told)
    row, now = one.story.case, office.clock()
    return Shown(
        row.case_id,
        row.version,
        client_name(row, directory),
        therapist_name(row, directory),
        row.request.kind,
        row.decision.state,
        words.time_left(row.decision.deadline, now),
        present=present.get(row.case_id, ""),
        **told,
    )


def _leaving(item: Outgoing) -> str:
    """What is to leave; a letter with its title."""
    title = item.payload.get("subject") if item.channel in ("mail", "drafts") else ""
    return f"{words.leaving(item)}: “{title}”" if title else words.leaving(item)


def _quietly(asked: Bulk) -> str:
    if asked.action == "assign":
        who = asked.details["assignee"]
        return f"goes to {who}" if who else "goes back to nobody in particular"
    if asked.action == "snooze":
        return f"put aside until {words.at(datetime.fromisoformat(asked.details['until']))}"
    return _QUIETLY[asked.action]


def _page(request: Request, kept: Bulk, notice: str, status: int) -> Response:
    office = office_of(request)
    undoable = list(_undoable(kept, office.clock()))
    return render(
        request,
        "bulk_result.html",
        status,
        title=f"{words.ACTIONS[kept.action]}: what came of it",
        bulk=kept,
        notice=notice,
        said=words.DONE[kept.action],
        steps=[(step, _left(office, step)) for step in kept.steps],
        counts=Counter(step.outcome for step in kept.steps),
        undoable=len(undoable),
        until=_until(undoable),
        mine=kept.by == name_of(request),
    )


def _until(undoable: Iterable[BulkStep]) -> str:
    """Until when all of it can be taken back, "" where nothing leaves."""
    times = [step.undo_until for step in undoable if step.undo_until]
    return f"{min(times).astimezone(words.LONDON):%H:%M:%S}" if times else ""


def _left(office: Office, step: BulkStep) -> list[str]:
    """What leaves or has left of a case because of it."""
    if step.undo_until is None:
        return []
    rows = office.store.outbox(case_id=step.case_id)
    return outbox_lines(row for row in rows if row.not_before >= step.undo_until)


def _undoable(kept: Bulk, now: datetime) -> Iterable[BulkStep]:
    for step in kept.steps:
        standing = step.outcome == "done" and step.undone != "undone"
        if standing and (step.undo_until is None or now < step.undo_until):
            yield step
