"""Shadow readings as stored: each message once for each candidate, and what people say of them.

Nothing of a case is changed here. Readings are compared with those of the model in use, as its
decisions have them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from store.columns import AnyRow, clean
from store.conversations import said_by_message
from store.database import Database, insert_new
from store.erasure_schema import texts_gone
from store.errors import RefusedError
from store.leases import Lease
from store.ledger import take_turn
from store.rows import AT_ONCE
from store.schema import decisions, messages
from store.shadow_rows import (
    NOTHING,
    Candidate,
    Shadowed,
    ShadowReading,
    ShadowVerdict,
    ToShadow,
    check,
    read_from,
    row_of,
    unsaid,
)
from store.shadow_schema import shadow_candidates, shadow_readings, shadow_verdicts
from store.values import email_from
from store.writing import Turn
from triage.shadows import COSTS, Right

_HEX: Final = 8  # digits of a digest that a share is measured by


@dataclass(frozen=True, slots=True)
class Asked:
    """Which disagreements are asked for; "" and None stand for any."""

    candidate_id: int
    field: str = ""
    cost: str = ""
    open_only: bool = False  # that nobody has judged

    def conditions(self) -> list[ColumnElement[bool]]:
        found = [shadow_readings.c.candidate_id == self.candidate_id]
        found.append(shadow_readings.c.worst < NOTHING)
        if self.field:
            found.append(shadow_readings.c.fields.contains(f";{self.field};", autoescape=True))
        if self.cost:
            found.append(shadow_readings.c.worst == COSTS.index(self.cost))
        if self.open_only:
            judged = exists().where(shadow_verdicts.c.reading_id == shadow_readings.c.id)
            found.append(~judged)
        return found


@dataclass(frozen=True, slots=True)
class Listed:
    """Some of the disagreements, the worst first, and how many there are."""

    rows: tuple[ShadowReading, ...]
    total: int
    by_cost: Mapping[str, int] = field(default_factory=dict)  # of all of that candidate's
    by_field: Mapping[str, int] = field(default_factory=dict)


class Shadows:
    """What ``Store`` does for shadow readings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # What a shadow run does

    def candidate(self, name: str, digest: str, now: datetime, problem: str = "") -> int:
        """The number of the candidate, known from now on; how this try of it began."""
        row = {"first_at": now, "tried_at": now, "problem": problem}
        known = (shadow_candidates.c.name == clean(name), shadow_candidates.c.digest == digest)
        with self._database.writing() as connection:
            new = insert_new(connection, shadow_candidates, name=name, digest=digest, **row)
            connection.execute(new)
            tried = update(shadow_candidates).where(*known)
            connection.execute(tried.values(tried_at=now, problem=problem))
            return int(connection.scalars(select(shadow_candidates.c.id).where(*known)).one())

    def failed(self, candidate_id: int, problem: str, now: datetime) -> None:
        """Record how this try ended; "" where it ended well."""
        row = update(shadow_candidates).where(shadow_candidates.c.id == candidate_id)
        with self._database.writing() as connection:
            connection.execute(row.values(tried_at=now, problem=problem))

    def unread(
        self, candidate_id: int, champion: str, *, share: float, limit: int, below: int | None
    ) -> list[ToShadow]:
        """The newest messages, from under number *below* on, that the candidate has yet to read.

        Only mail of people that *champion* has read. *share* of all mail is taken, by the digest of
        its bytes: the same messages every time, and more of them where the share grows.
        """
        with self._database.reading() as connection:
            query = _unread(candidate_id, champion, share)
            if below is not None:
                query = query.where(messages.c.id < below)
            rows = connection.execute(query.order_by(messages.c.id.desc()).limit(limit)).all()
            asks = said_by_message(connection, [row.id for row in rows], champion)
        return [ToShadow(r.id, r.stored_at, email_from(r), asks.get(r.id, ())) for r in rows]

    def left(self, candidate_id: int, champion: str, *, share: float) -> int:
        """How many messages the candidate has yet to read."""
        query = _unread(candidate_id, champion, share).with_only_columns(func.count())
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def add(
        self,
        lease: Lease | None,
        candidate_id: int,
        found: Sequence[Shadowed],
        now: datetime,
        *,
        of: Sequence[ToShadow] = (),
    ) -> int:
        """Store readings, each once whoever tries again; how many are new.

        What they are *of* says what was read: a message of which words were erased meanwhile leaves
        nothing, for the reading quotes them. Raises LeaseLostError where another shadow run has
        taken over: then nothing is stored.
        """
        with self._database.writing() as connection:
            take_turn(connection)  # whoever erases holds it
            if lease is not None:
                lease.hold(connection)
            same = _as_read(connection, [one.message_id for one in found], of)
            rows = [row_of(candidate_id, one, now) for one in found if one.message_id in same]
            before = connection.scalar(_how_many(candidate_id)) or 0
            if rows:
                connection.execute(insert_new(connection, shadow_readings), rows)
            return int((connection.scalar(_how_many(candidate_id)) or 0) - before)

    def forget_failures(self, candidate_id: int) -> int:
        """Let a candidate try again what it failed on; how many messages."""
        table = shadow_readings.c
        gone = delete(shadow_readings).where(
            table.candidate_id == candidate_id, table.problem != ""
        )
        with self._database.writing() as connection:
            return connection.execute(gone).rowcount

    # What people look at

    def candidates(self) -> list[Candidate]:
        """Every candidate ever tried, the latest try first."""
        worst, problem = shadow_readings.c.worst, shadow_readings.c.problem
        query = (
            select(
                shadow_candidates,
                func.count(shadow_readings.c.id).label("read"),
                func.count().filter(problem != "").label("failed"),
                func.count().filter(worst < NOTHING).label("differing"),
            )
            .join_from(shadow_candidates, shadow_readings, isouter=True)
            .group_by(shadow_candidates.c.id)
            .order_by(shadow_candidates.c.tried_at.desc(), shadow_candidates.c.id.desc())
        )
        with self._database.reading() as connection:
            return [Candidate(**row) for row in connection.execute(query).mappings()]

    def problem(self) -> tuple[str, str]:
        """The latest candidate and what is wrong with it, "" and "" where nothing is."""
        table = shadow_candidates.c
        query = select(table.name, table.problem).order_by(table.tried_at.desc(), table.id.desc())
        with self._database.reading() as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return (row.name, row.problem) if row is not None and row.problem else ("", "")

    def disagreements(self, asked: Asked, *, skip: int = 0, size: int = 50) -> Listed:
        """The disagreements that are *asked* for, the worst first and of those the newest."""
        wanted, table = asked.conditions(), shadow_readings.c
        query = _readings().where(*wanted).order_by(table.worst, table.message_id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query.offset(skip).limit(size)).all()
            total = connection.scalar(select(func.count(table.id)).where(*wanted)) or 0
            every = Asked(asked.candidate_id).conditions()
            costs = select(table.worst, func.count(table.id)).where(*every).group_by(table.worst)
            by_cost = {COSTS[n]: count for n, count in connection.execute(costs)}
            fields = select(table.fields, func.count(table.id)).where(*every).group_by(table.fields)
            by_field: dict[str, int] = defaultdict(int)
            for names, count in connection.execute(fields):
                for name in names.strip(";").split(";"):
                    by_field[name] += count
            found = tuple(_stored(connection, rows))
        return Listed(found, int(total), by_cost, dict(by_field))

    def readings(
        self, candidate_id: int, champion: str = "", since: datetime | None = None
    ) -> list[ShadowReading]:
        """Every reading of a candidate, oldest message first, those without a difference too."""
        query = _readings().where(shadow_readings.c.candidate_id == candidate_id)
        if champion:
            query = query.where(shadow_readings.c.champion == champion)
        if since is not None:
            query = query.where(shadow_readings.c.stored_at >= since)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(shadow_readings.c.message_id)).all()
            return list(_stored(connection, rows, with_cases=False))

    def course(self, candidate_id: int, since: datetime) -> list[tuple[datetime, bool, bool]]:
        """Of each reading of mail stored from *since* on: when that was, differs it, failed it."""
        table = shadow_readings.c
        query = select(table.stored_at, table.worst, table.problem).order_by(table.stored_at)
        query = query.where(table.candidate_id == candidate_id, table.stored_at >= since)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [(row.stored_at, row.worst < NOTHING, row.problem != "") for row in rows]

    def judge(
        self,
        reading_id: int,
        sides: Mapping[tuple[str, int], Right],
        by: str,
        now: datetime,
        *,
        words: str = "",
    ) -> None:
        """Put on record who is right by (field, ask); what was said before is not said again.

        Raises:
            RefusedError: There is no such reading, the two do not differ there, or it is no answer.

        """
        with self._database.writing() as connection:
            turn = Turn(connection, clean(by), now)
            query = _readings().where(shadow_readings.c.id == reading_id)
            row = connection.execute(query).one_or_none()
            if row is None:
                raise RefusedError("there is no such reading any more")
            [found] = _stored(connection, [row], with_cases=False)
            check(found, sides)
            for (name, ask), side in unsaid(found, sides, clean(words).strip()).items():
                said = ShadowVerdict(name, ask, side, clean(by), now, clean(words).strip())
                added = {"reading_id": reading_id, **asdict(said)}
                connection.execute(insert(shadow_verdicts), added)
                told = {"field": name, "ask": ask, "side": side, "reading_id": reading_id}
                turn.tell("shadow_judged", None, found.read.message_id, **told)
            turn.end()


def _unread(candidate_id: int, champion: str, share: float) -> Select[Any]:
    told = decisions.alias()
    query = select(messages).where(
        messages.c.automatic == "",
        exists().where(
            decisions.c.message_id == messages.c.id, decisions.c.reader_version == champion
        ),
        ~exists().where(  # words that retention took say nothing of a model
            texts_gone.c.case_id == told.c.case_id, told.c.message_id == messages.c.id
        ),
        ~exists().where(
            shadow_readings.c.message_id == messages.c.id,
            shadow_readings.c.candidate_id == candidate_id,
        ),
    )
    if share < 1:
        query = query.where(messages.c.digest < f"{int(share * 16**_HEX):0{_HEX}x}")
    return query


def _as_read(connection: Connection, numbers: Sequence[int], of: Sequence[ToShadow]) -> set[int]:
    """Those of the messages that still say what was read."""
    read = {one.message_id: one.email for one in of}
    rows = connection.execute(select(messages).where(messages.c.id.in_(numbers)))
    return {row.id for row in rows if row.id not in read or email_from(row) == read[row.id]}


def _how_many(candidate_id: int) -> Select[Any]:
    mine = shadow_readings.c.candidate_id == candidate_id
    return select(func.count(shadow_readings.c.id)).where(mine)


def _readings() -> Select[Any]:
    return select(shadow_readings, messages.c.message_id.label("mail")).join_from(
        shadow_readings, messages
    )


def _stored(
    connection: Connection, rows: Sequence[AnyRow], *, with_cases: bool = True
) -> Iterator[ShadowReading]:
    said = _verdicts(connection, [row.id for row in rows])
    numbers = [row.message_id for row in rows]
    cases = _cases(connection, numbers) if with_cases else {}
    for row in rows:
        on_record = tuple(said.get(row.id, ()))
        numbered = tuple(cases.get(row.message_id, ()))
        yield ShadowReading(row.id, read_from(row), row.read_at, row.mail, on_record, numbered)


def _verdicts(connection: Connection, ids: Sequence[int]) -> dict[int, list[ShadowVerdict]]:
    found: dict[int, list[ShadowVerdict]] = defaultdict(list)
    table = shadow_verdicts.c
    for start in range(0, len(ids), AT_ONCE):
        query = select(shadow_verdicts).where(table.reading_id.in_(ids[start : start + AT_ONCE]))
        for row in connection.execute(query.order_by(table.id)):
            found[row.reading_id].append(
                ShadowVerdict(row.field, row.ask, row.side, row.by, row.at, row.words)
            )
    return found


def _cases(connection: Connection, numbers: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        query = select(decisions.c.message_id, decisions.c.case_id).distinct()
        for message_id, case_id in connection.execute(
            query.where(decisions.c.message_id.in_(some)).order_by(decisions.c.case_id)
        ):
            found[message_id].append(case_id)
    return found
