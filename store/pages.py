"""A queue page by page: what fits the filters, from a place on, in the order of urgency.

A page begins after the last case of the one before it, by that case's own place in the order. So a
page costs the same however far down it is, and a case that goes or comes meanwhile shifts no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from store.outgoing_schema import marks
from store.queue import CaseRow, case_rows, cases_query, queue_conditions
from store.schema import cases, clients, decisions, messages, therapists

#: Words beyond these are not looked for: nobody types more to find a case.
MOST_WORDS: Final = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case stands in the order of urgency."""

    safeguarding: bool
    priority: int
    deadline: datetime | None
    case_id: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases: None and "" stand for any.

    ``words`` must all be found in the case: its number or ids, the names of its therapist and
    client, its sender, or subject and new text of one of its mails.
    """

    queue: str | None = None
    state: str | None = None
    blocker: str | None = None
    due_before: datetime | None = None
    assignee: str | None = None
    safeguarding: bool | None = None
    words: str = ""
    include_closed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some cases in order, and where the next page begins; None on the last."""

    rows: tuple[CaseRow, ...]
    following: Place | None


def page(connection: Connection, wanted: Wanted, after: Place | None, size: int) -> Page:
    conditions = [*_conditions(wanted), *([_beyond(after)] if after else [])]
    rows = case_rows(connection, cases_query(*conditions).limit(size + 1))
    shown = tuple(rows[:size])
    return Page(shown, place_of(shown[-1]) if len(rows) > size else None)


def place_of(row: CaseRow) -> Place:
    decision = row.decision
    return Place(decision.safeguarding, decision.priority, decision.deadline, row.case_id)


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield from queue_conditions(
        queue=wanted.queue,
        state=wanted.state,
        blocker=wanted.blocker,
        due_before=wanted.due_before,
        include_closed=wanted.include_closed,
    )
    if wanted.assignee is not None:
        yield marks.c.assignee == wanted.assignee
    if wanted.safeguarding is not None:
        yield cases.c.safeguarding.is_(wanted.safeguarding)
    for word in wanted.words.split()[:MOST_WORDS]:
        yield _holds(word)


def _holds(word: str) -> ColumnElement[bool]:
    """Whether *word* stands somewhere in a case; upper and lower case are alike."""
    names = select(therapists.c.therapist_id).where(
        therapists.c.name.icontains(word, autoescape=True)
    )
    people = select(clients.c.client_id).where(
        clients.c.first_name.icontains(word, autoescape=True)
        | clients.c.last_name.icontains(word, autoescape=True)
    )
    mail = exists().where(
        decisions.c.case_id == cases.c.id,
        messages.c.id == decisions.c.message_id,
        messages.c.subject.icontains(word, autoescape=True)
        | messages.c.new_text.icontains(word, autoescape=True),
    )
    ids = (cases.c.session_id, cases.c.therapist_id, cases.c.client_id, cases.c.sender)
    found = [column.icontains(word, autoescape=True) for column in ids]
    if word.isdecimal() and len(word) < 10:
        found.append(cases.c.id == int(word))
    return or_(*found, cases.c.therapist_id.in_(names), cases.c.client_id.in_(people), mail)


def _beyond(place: Place) -> ColumnElement[bool]:
    """What stands below *place* in the order of ``cases_query``."""
    later = cases.c.id > place.case_id
    if place.deadline is None:
        below = and_(cases.c.deadline.is_(None), later)
    else:
        below = or_(
            cases.c.deadline.is_(None),
            cases.c.deadline > place.deadline,
            and_(cases.c.deadline == place.deadline, later),
        )
    same = or_(cases.c.priority > place.priority, and_(cases.c.priority == place.priority, below))
    alike = and_(cases.c.safeguarding.is_(place.safeguarding), same)
    return or_(cases.c.safeguarding.is_(False), alike) if place.safeguarding else alike
