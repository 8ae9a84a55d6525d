"""Open cases that a message may belong to, as candidates; ``triage`` decides which one it joins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, exists, select

from store.columns import AnyRow, clean
from store.conversations import asks_of
from store.rows import AT_ONCE
from store.schema import cases, decisions, messages
from store.sealing import is_unopened
from store.values import request_from
from triage.records import Decision, OpenCase
from triage.threads import ENDED

#: Nobody has to do anything about a case in these states.
CLOSED: Final = frozenset({"done", "withdrawn", "dismissed"})

#: In place of a reader's version: nobody read anything, a mail held up what was to leave.
HELD: Final = "held"

_LATEST: Final = decisions.c.id == cases.c.decision_id
#: What a mail closed, a mail may speak of again; what a person closed stays closed, and what is
#: held waits for a person.
_JOINABLE: Final = (cases.c.open & ~exists().where(_LATEST, decisions.c.reader_version == HELD)) | (
    (cases.c.state == "withdrawn") & exists().where(_LATEST, decisions.c.message_id.is_not(None))
)

#: A conversation that rested for longer starts anew; it also bounds what a batch must look at.
JOINABLE_FOR: Final = timedelta(days=180)

#: Of one therapist or sender, at most this many newest cases are offered besides those that share
#: a session or a thread: somebody who writes for a whole practice must not slow every batch.
NEWEST: Final = 20

_OPEN_CASE = (
    cases.c.id,
    cases.c.sender,
    cases.c.authenticated,
    cases.c.therapist_id,
    cases.c.session_id,
    cases.c.client_id,
    cases.c.state,
    decisions.c.request,
)

_MAIL = (messages.c.id, messages.c.message_id, messages.c.sent_at, messages.c.details)

#: What a case is found by: ("sender", address), ("thread", Message-ID), …
_Mark = tuple[str, str]


@dataclass(slots=True)
class OpenCases:
    """The open cases around one batch, with those the batch itself has made so far."""

    _connection: Connection
    _now: datetime
    _by_id: dict[int, OpenCase] = field(default_factory=dict)
    _by_mark: dict[_Mark, set[int]] = field(default_factory=lambda: defaultdict(set))
    _looked_up: set[_Mark] = field(default_factory=set)
    _ended: set[int] = field(default_factory=set)  # by this batch; the database still has them open

    def candidates(self, marks: Iterable[_Mark]) -> list[OpenCase]:
        """The cases with any of *marks*, oldest first."""
        marks = [mark for mark in marks if mark[1]]
        self.prefetch(marks)
        exact: set[int] = set()
        near: set[int] = set()
        for mark in marks:
            found = self._by_mark.get(mark, set())
            (exact if mark[0] in {"session", "thread"} else near).update(found)
        chosen = exact.union(sorted(near)[-NEWEST:])
        return [self._by_id[case_id] for case_id in sorted(chosen)]

    def put(self, case: OpenCase) -> None:
        """Remember *case* as it stands now; one that has ended is forgotten."""
        self.forget(case.case_id)
        if case.state not in ENDED:
            self._ended.discard(case.case_id)
            self._index(case)

    def forget(self, case_id: int) -> None:
        """No mail of this batch joins the case any more."""
        earlier = self._by_id.pop(case_id, None)
        if earlier is not None:
            for mark in _marks(earlier):
                self._by_mark[mark].discard(case_id)
        self._ended.add(case_id)

    def get(self, case_id: int) -> OpenCase | None:
        return self._by_id.get(case_id)

    def prefetch(self, marks: Iterable[_Mark]) -> None:
        """Fetch in one go the cases that ``candidates`` will be asked for."""
        new = {mark for mark in marks if mark[1] and clean(mark[1]) is mark[1]} - self._looked_up
        if not new:
            return
        self._looked_up |= new
        wanted: dict[str, list[str]] = defaultdict(list)
        for name, value in sorted(new):
            wanted[name].append(value)
        ids = self._find(wanted) - self._by_id.keys() - self._ended
        for case in load(self._connection, ids):
            self._index(case)

    def _find(self, wanted: dict[str, list[str]]) -> set[int]:
        found: set[int] = set()
        for name, values in wanted.items():
            newest: dict[str, int] = defaultdict(int)
            for value, case_id in self._rows(name, values):
                newest[value] += 1
                if newest[value] <= NEWEST or name in {"session", "thread"}:
                    found.add(case_id)
        return found

    def _rows(self, name: str, values: Sequence[str]) -> Iterable[tuple[str, int]]:
        column = _COLUMNS[name]
        told = decisions.alias()
        for start in range(0, len(values), AT_ONCE):
            query = select(column, cases.c.id).where(
                column.in_(values[start : start + AT_ONCE]),
                _JOINABLE,
                cases.c.changed_at >= self._now - JOINABLE_FOR,
            )
            if name == "thread":
                query = query.join_from(cases, told, told.c.case_id == cases.c.id).join(
                    messages, messages.c.id == told.c.message_id
                )
            rows = self._connection.execute(query.order_by(cases.c.id.desc()))
            yield from ((value, case_id) for value, case_id in rows)

    def _index(self, case: OpenCase) -> None:
        self._by_id[case.case_id] = case
        for mark in _marks(case):
            self._by_mark[mark].add(case.case_id)


_COLUMNS: Final[dict[str, ColumnElement[str]]] = {
    "sender": cases.c.sender,
    "therapist": cases.c.therapist_id,
    "session": cases.c.session_id,
    "thread": messages.c.message_id,
}


def _marks(case: OpenCase) -> set[_Mark]:
    own = {
        ("sender", case.sender),
        ("therapist", case.therapist_id),
        ("session", case.session_id),
    }
    return own | {("thread", message_id) for message_id in case.message_ids}


def load(connection: Connection, ids: Collection[int]) -> list[OpenCase]:
    """The cases with these ids, each with the request as last merged and all its messages."""
    found: dict[int, Any] = {}
    mails: dict[int, dict[int, Any]] = defaultdict(dict)
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        some = ordered[start : start + AT_ONCE]
        latest = select(*_OPEN_CASE).join_from(
            cases, decisions, decisions.c.id == cases.c.decision_id
        )
        for row in connection.execute(latest.where(cases.c.id.in_(some))):
            if not is_unopened(row.request):  # nobody can say what a mail would join
                found[row.id] = row
        joined = (
            select(decisions.c.case_id, *_MAIL)
            .join_from(decisions, messages, messages.c.id == decisions.c.message_id)
            .where(decisions.c.case_id.in_(some))
            .order_by(decisions.c.id)
        )
        for mail in connection.execute(joined):
            mails[mail.case_id].setdefault(mail.id, mail)
    return [_open_case(found[case_id], mails[case_id]) for case_id in ordered if case_id in found]


def _open_case(row: AnyRow, mails: Mapping[int, AnyRow]) -> OpenCase:
    asks = asks_of(row.request, mails)
    # A mail that a retold conversation brought in stands in another case's decisions.
    own = [mails[number] for number in dict.fromkeys(n for n, _ in asks) if number in mails]
    answers = (
        name for mail in own if not is_unopened(mail.details) for name in _answered(mail.details)
    )
    return OpenCase(
        case_id=row.id,
        sender=row.sender,
        authenticated=row.authenticated,
        therapist_id=row.therapist_id,
        session_id=row.session_id,
        client_id=row.client_id,
        state=row.state,
        request=request_from(row.request),
        message_ids=tuple(dict.fromkeys(mail.message_id for mail in own)),
        answers=tuple(dict.fromkeys(answers)),
        latest_at=max((mail.sent_at for mail in own), default=None),
        asks=asks,
    )


def standing_of(decision: Decision) -> dict[str, object]:
    """A decision as the row of its case has it."""
    return {
        "queue": decision.queue,
        "state": decision.state,
        "open": decision.state not in CLOSED,
        "blockers": f";{';'.join(decision.blockers)};",
        "safeguarding": decision.safeguarding,
        "priority": decision.priority,
        "deadline": decision.deadline,
        "guarantee": decision.guarantee,
    }


def _answered(details: Mapping[str, Any]) -> Iterable[str]:
    return sorted({details["in_reply_to"], *details["references"]} - {""})
