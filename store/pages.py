"""A queue page by page: what fits the filters, from a place on, in the order of urgency.

Open cases come first, those in danger above all, then by priority and the time left; closed ones
follow, the newest first. A page begins after the last case of the one before it, by that case's own
place in the order. So a page costs the same however far down it is, and a case that goes or comes
meanwhile shifts no other.

Each of the three ranks is a question of its own, asked only while the page has room: however many
cases are closed, a page of open ones looks at none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from store.joining import CLOSED
from store.outgoing_schema import marks
from store.queue import CaseRow, case_rows, cases_query, queue_conditions
from store.schema import cases
from store.search import Term, few_found_in, found_in, terms_of

#: Whose a case is, where no name is meant.
NOBODY: Final = "@nobody"

Rank = Literal["danger", "open", "closed"]
_RANKS: Final[tuple[Rank, ...]] = ("danger", "open", "closed")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case stands in the order; of a closed one its number alone counts."""

    safeguarding: bool
    priority: int
    deadline: datetime | None
    case_id: int
    is_closed: bool = False

    @property
    def rank(self) -> Rank:
        if self.is_closed:
            return "closed"
        return "danger" if self.safeguarding else "open"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases: None and "" stand for any.

    ``words`` are as typed and must all be found in the case: its number or ids, the names of its
    therapist and client, its senders, or its mails. ``blocker`` is asked of open cases alone, for
    nothing is in the way of a closed one, and ``safeguarding=False`` leaves open ones out alone.
    ``confidence`` is that of the kind: from, and below.
    """

    queue: str | None = None
    state: str | None = None
    blocker: str | None = None
    due_before: datetime | None = None
    assignee: str | None = None  # a name, or NOBODY
    therapist_id: str | None = None
    confidence: tuple[float, float] | None = None
    safeguarding: bool | None = None
    words: str = ""
    include_closed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some cases in order, and where the next page begins; None on the last."""

    rows: tuple[CaseRow, ...]
    following: Place | None


def page(connection: Connection, wanted: Wanted, after: Place | None, size: int) -> Page:
    terms = terms_of(wanted.words)
    if wanted.words and not terms:
        return Page((), None)
    found: list[tuple[int, Rank]] = []
    for rank in _ranks(wanted):
        if len(found) > size or (after and _RANKS.index(rank) < _RANKS.index(after.rank)):
            continue
        begin = after if after and after.rank == rank else None
        query = _numbers(connection, rank, wanted, terms, begin).limit(size + 1 - len(found))
        found += [(number, rank) for number in connection.scalars(query)]
    shown = _rows(connection, [number for number, _ in found[:size]])
    more = len(found) > size
    return Page(shown, _place(shown[-1], found[size - 1][1]) if more else None)


def place_of(row: CaseRow) -> Place:
    """Where an open case stands; of a closed one where it stood when it was open."""
    decision = row.decision
    return Place(decision.safeguarding, decision.priority, decision.deadline, row.case_id)


def open_counts(connection: Connection, views: Sequence[Wanted] = ()) -> list[dict[str, int]]:
    """How many open cases there are by queue: of all that the queues show, then of each view."""
    conditions = [and_(*_filters(one), *_whose(one)) for one in (Wanted(), *views)]
    counted = [func.count().filter(condition) for condition in conditions]
    query = select(cases.c.queue, *counted).where(cases.c.open).group_by(cases.c.queue)
    rows = connection.execute(query).all()
    return [{row[0]: row[n] for row in rows if row[n]} for n in range(1, len(counted) + 1)]


def _ranks(wanted: Wanted) -> Iterator[Rank]:
    """The ranks in which there can be any such case."""
    if wanted.state not in CLOSED:
        if wanted.safeguarding is not False:
            yield "danger"
        if not wanted.safeguarding:
            yield "open"
    shows_closed = wanted.include_closed if wanted.state is None else wanted.state in CLOSED
    if shows_closed and not wanted.blocker:
        yield "closed"


def _numbers(
    connection: Connection, rank: Rank, wanted: Wanted, terms: Sequence[Term], after: Place | None
) -> Select[Any]:
    """The numbers of the cases of one rank, in order."""
    if rank == "closed":
        return _closed(connection, wanted, terms, after)
    danger = cases.c.safeguarding.is_(rank == "danger")
    query = select(cases.c.id).where(cases.c.open, danger, *_filters(wanted), *_whose(wanted))
    if after:
        query = query.where(_beyond(after))
    if terms:
        query = query.where(cases.c.id.in_(found_in(connection, terms, is_open=True)))
    return query.order_by(cases.c.priority, cases.c.deadline.nulls_last(), cases.c.id)


def _closed(
    connection: Connection, wanted: Wanted, terms: Sequence[Term], after: Place | None
) -> Select[Any]:
    """Closed cases, the newest first: from what is rarest on, for there are many.

    Where words or a name are given, the database is to begin at their index, which holds numbers
    in order, and not at the cases.
    """
    number: ColumnElement[int] = cases.c.id
    query = select(cases.c.id).where(~cases.c.open, *_filters(wanted))
    if wanted.safeguarding:
        query = query.where(cases.c.safeguarding)
    few = few_found_in(connection, terms, is_open=False) if terms else None
    if few is not None:
        query = query.where(cases.c.id.in_(few), *_whose(wanted))
    elif terms:
        found = found_in(connection, terms, is_open=False).subquery()
        number = found.c.case_id
        query = query.join(found, number == cases.c.id).where(*_whose(wanted))
    elif wanted.assignee not in (None, NOBODY):
        number = marks.c.case_id
        query = query.join(marks, number == cases.c.id).where(marks.c.assignee == wanted.assignee)
    else:
        query = query.where(*_whose(wanted))
    if after:  # said of both: PostgreSQL does not conclude the one from the other
        query = query.where(number < after.case_id, cases.c.id < after.case_id)
    return query.order_by(number.desc())


def _filters(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield from queue_conditions(
        queue=wanted.queue,
        state=wanted.state,
        blocker=wanted.blocker,
        due_before=wanted.due_before,
        include_closed=True,  # the rank says so
    )
    if wanted.therapist_id is not None:
        yield cases.c.therapist_id == wanted.therapist_id
    if wanted.confidence is not None:
        low, high = wanted.confidence
        yield and_(cases.c.confidence >= low, cases.c.confidence < high)


def _whose(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.assignee == NOBODY:
        yield ~_is_marked(marks.c.assignee != "")
    elif wanted.assignee is not None:
        yield _is_marked(marks.c.assignee == wanted.assignee)


def _is_marked(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(marks.c.case_id == cases.c.id, condition)


def _beyond(place: Place) -> ColumnElement[bool]:
    """What stands below *place* in its rank."""
    later = cases.c.id > place.case_id
    if place.deadline is None:
        below = and_(cases.c.deadline.is_(None), later)
    else:
        below = or_(
            cases.c.deadline.is_(None),
            cases.c.deadline > place.deadline,
            and_(cases.c.deadline == place.deadline, later),
        )
    return or_(cases.c.priority > place.priority, and_(cases.c.priority == place.priority, below))


def _rows(connection: Connection, numbers: Sequence[int]) -> tuple[CaseRow, ...]:
    """The cases with these numbers, in this order."""
    if not numbers:
        return ()
    rows = case_rows(connection, cases_query(cases.c.id.in_(numbers)))
    by_number = {row.case_id: row for row in rows}
    return tuple(by_number[number] for number in numbers)


def _place(row: CaseRow, rank: Rank) -> Place:
    return replace(place_of(row), is_closed=rank == "closed")
