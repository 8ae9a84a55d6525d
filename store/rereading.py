"""What another reading of the mail that is kept would change, and that change, once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select

from store.conversations import REREAD, conversation_json
from store.database import Database
from store.outgoing_schema import verdicts
from store.raws import content_of
from store.readings import NOT_READ
from store.rows import AT_ONCE, present
from store.schema import cases, decisions, folders, messages, places, quarantine, raws
from store.sealing import KeyRing
from store.splitting import stands
from store.values import decision_json, facts_json, request_from
from store.writing import Turn
from triage.records import MessageKey, RawMessage, Request
from triage.regrouping import Retold
from triage.rereading import Again

_PAGE: Final = 100  # mails in memory at a time
ACTOR: Final = "retriage"


@dataclass(slots=True)
class StoredReading:
    """What the store has of a mail: its asks as last read, and the cases that they are in."""

    message_id: int
    asks: dict[int, Request] = field(default_factory=dict)
    cases: dict[int, bool] = field(default_factory=dict)  # whether each is open

    @property
    def in_order(self) -> list[Request]:
        return [self.asks[number] for number in sorted(self.asks)]


class Rereadings:
    """What the store does for whoever reads its mail again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> int:
        """Mails whose bytes are kept."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(raws)) or 0

    def raws(self, lower: str, upper: str) -> Iterator[RawMessage]:
        """The mails with digests from *lower* to before *upper*, by digest; none of one purged."""
        after = raws.c.digest >= lower
        while True:
            with self._database.reading() as connection:
                page = _kept(connection, after, upper, self._database.ring)
            yield from page
            if len(page) < _PAGE:
                return
            after = raws.c.digest > page[-1].digest

    def stored(self, digests: Collection[str]) -> dict[str, StoredReading]:
        """What was read of the mails with these digests, by digest; unknown ones are left out."""
        found: dict[str, StoredReading] = {}
        with self._database.reading() as connection:
            query = select(messages.c.digest, messages.c.id).where(messages.c.digest.in_(digests))
            for digest, number in connection.execute(query):
                found[digest] = StoredReading(number)
            _fill(connection, {one.message_id: one for one in found.values()})
        return found

    def set_aside(self, digests: Collection[str]) -> set[str]:
        """Those of *digests* that are in quarantine."""
        with self._database.reading() as connection:
            return present(connection, quarantine.c.digest, digests)

    def touched(self, case_ids: Collection[int]) -> set[int]:
        """Those of the cases that a person, or a mail that held them up, has decided about."""
        found: set[int] = set()
        with self._database.reading() as connection:
            ids = sorted(case_ids)
            for start in range(0, len(ids), AT_ONCE):
                found |= _touched(connection, ids[start : start + AT_ONCE])
        return found

    def apply(self, again: Again, version: int, reader_version: str, now: datetime) -> bool:
        """Store a case as the other reader has it; False where it has moved on from *version*.

        All of it or nothing. A second time the case is at another version, and stays as it is.
        """
        number = again.case.case_id
        with self._database.writing() as connection:
            turn = Turn(connection, ACTOR, now)
            row = connection.execute(select(cases).where(cases.c.id == number)).one_or_none()
            if row is None or row.version != version or _touched(connection, [number]):
                return False
            decided = [
                turn.decide(_decision(again, place, request, reader_version))
                for place, request in sorted(again.asks.items())
            ]
            stands(connection, row, Retold(again.case, again.outcome), decided[-1], now)
            turn.tell(
                "reread", number, decision_id=decided[-1], queue=again.outcome.decision.queue,
                state=again.outcome.decision.state, changed=sorted(again.changed),
            )  # fmt: skip
            turn.end()
        return True


def _kept(
    connection: Connection, after: ColumnElement[bool], upper: str, ring: KeyRing | None
) -> list[RawMessage]:
    query = select(raws).where(after, raws.c.digest < upper).order_by(raws.c.digest).limit(_PAGE)
    rows = connection.execute(query).all()
    seen = _seen_at(connection, [row.digest for row in rows])
    nowhere = MessageKey(ACTOR, "", 0, 0)
    return [
        RawMessage(
            seen.get(row.digest, nowhere), row.received_at, row.digest, content_of(row, ring)
        )
        for row in rows
    ]


def _seen_at(connection: Connection, digests: Sequence[str]) -> dict[str, MessageKey]:
    query = (
        select(
            places.c.digest, folders.c.source, folders.c.folder, places.c.uidvalidity, places.c.uid
        )
        .join_from(places, folders)
        .where(places.c.digest.in_(digests))
    )
    return {digest: MessageKey(*key) for digest, *key in connection.execute(query)}


def _fill(connection: Connection, by_number: Mapping[int, StoredReading]) -> None:
    query = (
        select(decisions.c.message_id, decisions.c.request, decisions.c.case_id, cases.c.open)
        .join_from(decisions, cases, cases.c.id == decisions.c.case_id)
        .where(decisions.c.message_id.in_(by_number))
        .order_by(decisions.c.id)
    )
    for row in connection.execute(query):
        stored, request = by_number[row.message_id], row.request
        stored.cases[row.case_id] = row.open
        # Rows of the first version do not say which ask they are: each was a case of its own.
        ask = request.get("ask", list(stored.cases).index(row.case_id))
        if ask >= 0 and (ask not in stored.asks or request.get(REREAD)):
            stored.asks[ask] = request_from(request.get("said", request))


def _touched(connection: Connection, case_ids: Sequence[int]) -> set[int]:
    by_person = select(verdicts.c.case_id).where(verdicts.c.case_id.in_(case_ids))
    by_others = select(decisions.c.case_id).where(
        decisions.c.case_id.in_(case_ids), decisions.c.reader_version.in_(NOT_READ)
    )
    return {*connection.scalars(by_person), *connection.scalars(by_others)}


def _decision(
    again: Again, place: tuple[int, int], request: Request, reader_version: str
) -> dict[str, object]:
    message_id, ask = place
    outcome = again.outcome._replace(ask=ask, said=request)
    return {
        "case_id": again.case.case_id,
        "message_id": message_id,
        "reader_version": reader_version,
        "request": {**conversation_json(outcome, again.case.asks), REREAD: True},
        "facts": facts_json(outcome.facts),
        "decision": decision_json(outcome.decision),
    }
