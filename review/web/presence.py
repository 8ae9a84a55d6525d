"""Who else has a case open, and whether it changed under one's eyes.

The page of a case says every few seconds that it is still open, and is told who else is there. No
word of a mail is in the answer, and asking keeps nobody signed in.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from review.web import words
from review.web.office import Office, name_of, office_of
from store import StoreError
from store.presence import WRITING, Latest, Present, Writing

_VISIT: Final = re.compile(r"[0-9a-f]{32}")
_AT_CASE: Final[Mapping[Writing, str]] = {
    "": "looking at this case",
    "letter": "writing a letter here",
    "words": "writing here",
}
_IN_LIST: Final[Mapping[Writing, str]] = {
    "": "looking at it",
    "letter": "writing a letter",
    "words": "writing",
}
#: What was done to a case, after the name of who did it.
_DID: Final[Mapping[str, str]] = {
    "approve": "approved this case",
    "refer": "recommended therapists here",
    "send_back": "wrote to the therapist",
    "note_reason": "noted the reason",
    "correct": "corrected this case",
    "general": "left this case to the ordinary inbox",
    "dismiss": "dismissed this case",
    "withdraw": "withdrew this case",
    "reopen": "reopened this case",
    "snooze": "put this case aside",
    "assign": "assigned this case",
    "confirm_guarantee": "confirmed the Guarantee",
    "split": "split this case",
    "merge": "merged another case with this one",
    "release": "let leave what a mail had held up",
    "undo": "took the last step back",
}


@dataclass(frozen=True, slots=True)
class Company:
    """An open page of a case: its number, and who else is there as lines."""

    visit: str
    lines: tuple[str, ...]


def arrived(request: Request, case_id: int) -> Company:
    """Somebody opened a case. A page is shown all the same where this cannot be kept."""
    office, visit = office_of(request), secrets.token_hex(16)
    try:
        office.store.presence.here(case_id, visit, name_of(request), "", office.clock())
        # Whoever has no script leaves no word when they leave, and would meet themselves again.
        found = office.store.presence.at(office.clock(), [case_id])
        return Company(visit, _lines(found, name_of(request)))
    except StoreError:
        return Company(visit, ())


async def presence(request: Request) -> Response:
    """A page of a case tells that it is open or was left; who else is there, and what changed."""
    form = await request.form()
    told = {name: str(form.get(name, "")) for name in ("visit", "writing", "version", "left")}
    if not _VISIT.fullmatch(told["visit"]) or told["writing"] not in WRITING:
        raise HTTPException(400, "That is no page of ours.")
    if not (told["version"].isdecimal() and len(told["version"]) < 10):
        raise HTTPException(400, "The form does not say which version it is about.")
    return await run_in_threadpool(_heard, request, told)


def _heard(request: Request, told: Mapping[str, str]) -> Response:
    office, who, case_id = office_of(request), name_of(request), request.path_params["case"]
    visit, desk = told["visit"], office.store.presence
    if told["left"]:
        desk.gone(visit, who)
        return Response(status_code=204)
    latest = desk.latest(case_id)
    if latest is None:
        raise HTTPException(404, "There is no such case.")
    writing: Writing = told["writing"]  # type: ignore[assignment]  # checked against WRITING
    desk.here(case_id, visit, who, writing, office.clock())
    return JSONResponse(
        {
            "people": _others(office, case_id, visit, who),
            "version": latest.version,
            "changed": changed(latest, who) if latest.version > int(told["version"]) else "",
        }
    )


def presences(request: Request) -> Response:
    """Who is at which case, for the queues: lines by the case's number."""
    return JSONResponse(in_queues(request))


def in_queues(request: Request) -> dict[int, str]:
    """Who else is at which case, as one line for each."""
    office, me = office_of(request), name_of(request)
    at: dict[int, list[Present]] = {}
    for one in office.store.presence.at(office.clock()):
        if one.who != me:
            at.setdefault(one.case_id, []).append(one)
    return {
        case_id: ", ".join(f"{one.who} is {_IN_LIST[one.writing]}" for one in _people(found))
        for case_id, found in at.items()
    }


def changed(latest: Latest, me: str) -> str:
    """Who or what changed a case, and when, for somebody who is about to act on it."""
    who = "You" if latest.by == me else latest.by
    what = "This case changed (a new mail, or another case beside it)"
    if who:
        where = " in another window" if who == "You" else ""
        what = f"{who} {_DID.get(latest.action, 'changed this case')}{where}"
    return f"{what} at {_clock(latest.at)}. Look at it again before you act."


def _others(office: Office, case_id: int, visit: str, me: str) -> tuple[str, ...]:
    found = office.store.presence.at(office.clock(), [case_id])
    again = any(one.who == me and one.visit != visit for one in found)
    mine = ("You have this case open in another window.",) if again else ()
    return (*_lines(found, me), *mine)


def _lines(found: Iterable[Present], me: str) -> tuple[str, ...]:
    return tuple(
        f"{one.who} is {_AT_CASE[one.writing]}, since {_clock(one.since)}."
        for one in _people(one for one in found if one.who != me)
    )


def _people(found: Iterable[Present]) -> list[Present]:
    """One for each person, whatever the number of their windows: one who writes counts as that."""
    people: dict[str, Present] = {}
    for one in found:
        known = people.setdefault(one.who, one)
        if one.writing and not known.writing:
            people[one.who] = Present(one.case_id, one.visit, one.who, one.writing, known.since)
    return list(people.values())


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(words.LONDON):%H:%M}"
