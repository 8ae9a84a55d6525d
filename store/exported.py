"""The rows of an export: numbers first, then rows in whatever order the numbers are asked for.

An export must not tell by its order which row is which, so its caller sorts the numbers by
pseudonym; numbers fit into memory where rows would not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, select

from store.database import Database
from store.exports import What
from store.outgoing_schema import corrections, verdicts
from store.queue import CaseRow, StoredMessage, case_rows, cases_query, stored_message
from store.readings import NOT_READ, reader_under
from store.schema import cases, clients, decisions, messages, therapists
from store.values import request_from
from triage.records import Request
from triage.verdicts import Correction

_Row = TypeVar("_Row")
#: Rows read and written at once.
_PAGE: Final = 500
_WHEN: Final[Mapping[What, tuple[Column[int], Column[datetime]]]] = {
    "cases": (cases.c.id, cases.c.opened_at),
    "messages": (messages.c.id, messages.c.stored_at),
    "predictions": (decisions.c.id, decisions.c.decided_at),
    "verdicts": (verdicts.c.id, verdicts.c.at),
}


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message, the cases it is about, and the ids and names that those cases know."""

    stored: StoredMessage
    case_ids: tuple[int, ...]
    known_names: tuple[str, ...]
    known_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model made of a case when a message came."""

    id: int
    case_id: int
    message: int | None
    at: datetime
    reader_version: str
    request: Request


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and whose reading it judged."""

    id: int
    case_id: int
    action: str
    by: str
    at: datetime
    reason: str
    overrides: tuple[str, ...]
    corrections: tuple[Correction, ...]
    reader_version: str
    is_undone: bool


class Exported:
    """What there is to export, of any time or of a part of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def numbers(self, what: What, since: datetime | None, until: datetime | None) -> list[int]:
        """Of cases opened, messages stored, or whatever else was made from *since* to *until*."""
        number, when = _WHEN[what]
        query = select(number)
        if what == "predictions":
            query = query.where(decisions.c.reader_version.not_in(NOT_READ))
        if since is not None:
            query = query.where(when >= since)
        if until is not None:
            query = query.where(when < until)
        with self._database.reading() as connection:
            return list(connection.scalars(query))

    def cases(self, numbers: Sequence[int]) -> Iterator[CaseRow]:
        """In the order of *numbers*; what was erased meanwhile is left out. So are the others."""
        return self._paged(numbers, _cases)

    def messages(self, numbers: Sequence[int]) -> Iterator[ReadMessage]:
        return self._paged(numbers, _messages)

    def predictions(self, numbers: Sequence[int]) -> Iterator[Prediction]:
        return self._paged(numbers, _predictions)

    def verdicts(self, numbers: Sequence[int]) -> Iterator[Judged]:
        return self._paged(numbers, _verdicts)

    def registered_names(self) -> frozenset[str]:
        """Every name that the booking registry knows, of therapists and of clients."""
        with self._database.reading() as connection:
            ours = connection.scalars(select(therapists.c.name).distinct())
            found = set(ours)
            for column in (clients.c.first_name, clients.c.last_name):
                found.update(connection.scalars(select(column).distinct()))
        return frozenset(found)

    def _paged(
        self,
        numbers: Sequence[int],
        read: Callable[[Connection, Sequence[int]], Mapping[int, _Row]],
    ) -> Iterator[_Row]:
        for start in range(0, len(numbers), _PAGE):
            page = numbers[start : start + _PAGE]
            with self._database.reading() as connection:
                found = read(connection, page)
            yield from (found[number] for number in page if number in found)


def _cases(connection: Connection, page: Sequence[int]) -> dict[int, CaseRow]:
    found = case_rows(connection, cases_query(cases.c.id.in_(page)))
    return {row.case_id: row for row in found}


def _messages(connection: Connection, page: Sequence[int]) -> dict[int, ReadMessage]:
    of_cases = _cases_of(connection, page)
    known = _known_of(connection, {one for some in of_cases.values() for one in some})
    found = {}
    for row in connection.execute(select(messages).where(messages.c.id.in_(page))):
        own = tuple(of_cases.get(row.id, ()))
        names = dict.fromkeys(name for one in own for name in known[one][0])
        ids = dict.fromkeys(value for one in own for value in known[one][1])
        found[row.id] = ReadMessage(stored_message(row), own, tuple(names), tuple(ids))
    return found


def _predictions(connection: Connection, page: Sequence[int]) -> dict[int, Prediction]:
    return {
        row.id: Prediction(
            row.id, row.case_id, row.message_id, row.decided_at, row.reader_version,
            request_from(row.request),
        )
        for row in connection.execute(select(decisions).where(decisions.c.id.in_(page)))
    }  # fmt: skip


def _verdicts(connection: Connection, page: Sequence[int]) -> dict[int, Judged]:
    corrected: defaultdict[int, list[Correction]] = defaultdict(list)
    query = select(corrections).where(corrections.c.verdict_id.in_(page))
    for row in connection.execute(query.order_by(corrections.c.field)):
        item = Correction(row.field, row.before["value"], row.after["value"])
        corrected[row.verdict_id].append(item)
    read_by = reader_under(verdicts.c.case_id, verdicts.c.decision_id)
    told = select(verdicts, read_by.label("reader_version")).where(verdicts.c.id.in_(page))
    return {
        row.id: Judged(
            row.id, row.case_id, row.action, row.by, row.at, row.reason, tuple(row.overrides),
            tuple(corrected[row.id]), row.reader_version, is_undone=row.undone_at is not None,
        )
        for row in connection.execute(told)
    }  # fmt: skip


def _cases_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[int]]:
    """The cases that each message is about, by message."""
    query = (
        select(decisions.c.message_id, decisions.c.case_id)
        .where(decisions.c.message_id.in_(numbers))
        .distinct()
        .order_by(decisions.c.case_id)
    )
    found: defaultdict[int, list[int]] = defaultdict(list)
    for message, case in connection.execute(query):
        found[message].append(case)
    return found


def _known_of(
    connection: Connection, numbers: set[int]
) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
    """By case: the names of its client and therapist, and every id it knows."""
    query = (
        select(
            cases.c.id, cases.c.session_id, cases.c.therapist_id, cases.c.client_id,
            decisions.c.request, therapists.c.name, clients.c.first_name, clients.c.last_name,
        )
        .join_from(cases, decisions, decisions.c.id == cases.c.decision_id)
        .join(therapists, therapists.c.therapist_id == cases.c.therapist_id, isouter=True)
        .join(clients, clients.c.client_id == cases.c.client_id, isouter=True)
        .where(cases.c.id.in_(numbers))
    )  # fmt: skip
    found = {}
    for row in connection.execute(query):
        request: Mapping[str, Any] = row.request
        names = (row.name, row.first_name, row.last_name, request.get("client_ref"))
        ids = (row.session_id, row.therapist_id, row.client_id, *request.get("session_ids", ()))
        found[row.id] = tuple(filter(None, names)), tuple(filter(None, ids))
    return found
