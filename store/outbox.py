"""The outbox: what is to leave the system, exactly once, and how it went.

A row is taken under a lease whose token goes into the row, and is ``sending`` on disk before
anything is sent. A row found ``sending`` by the next holder of the lease was interrupted in
mid-flight; what that means is for its channel to say, and only there.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Connection, case, func, insert, select, update

from store.columns import AnyRow
from store.database import Database
from store.errors import AlreadyOutError, LeaseLostError, RefusedError
from store.leases import Lease
from store.outgoing_schema import outbox, verdicts
from store.writing import Turn
from triage.verdicts import Channel, Outgoing

OutboxState = Literal["waiting", "held", "sending", "sent", "dead", "uncertain", "taken_back"]
STATES: Final[tuple[str, ...]] = get_args(OutboxState)
#: A person must say what becomes of these: nothing more happens to them by itself. So it is with
#: what is held, where the person decides about the case (``store/holding.py``).
STUCK: Final = ("dead", "uncertain")
#: Where something goes that is to be tried again: not by itself, where a mail stopped it meanwhile.
_BACK: Final = case((outbox.c.held_for.is_(None), "waiting"), else_="held")
#: How the note begins of what was given to a chat and may be there, though nothing says so.
HANDED_OVER: Final = "handing over"
_MAY_BE_THERE: Final = (outbox.c.channel == "chat") & outbox.c.note.startswith(HANDED_OVER)
#: The same of what was tried. The platform or a chat may have taken what it did not answer: asking
#: again does no harm there, but to take it back would be to say that it never left.
AFTER_TRYING: Final = case(
    ((outbox.c.channel == "platform") | _MAY_BE_THERE, "uncertain"), else_="held"
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something that is to leave, or has left.

    ``note`` says how the last attempt went, in codes. ``message_id`` is that of a mail, complete
    from its first attempt on. ``held_for`` is the message that stopped it, until a person's word.
    """

    id: int
    key: str
    case_id: int
    verdict_id: int
    channel: Channel
    action: str
    session_id: str | None
    payload: Mapping[str, Any]
    message_id: str
    created_at: datetime
    not_before: datetime
    state: OutboxState
    due_at: datetime
    attempts: int
    note: str
    changed_at: datetime
    held_for: int | None


def enqueue(
    connection: Connection,
    outgoing: Sequence[Outgoing],
    verdict_id: int,
    case_id: int,
    now: datetime,
) -> None:
    """Put *outgoing* into the outbox; raises where one of them is on its way or has left."""
    _refuse_doubles(connection, outgoing, now)
    rows = [
        {
            "key": item.key,
            "verdict_id": verdict_id,
            "case_id": case_id,
            "channel": item.channel,
            "action": item.action,
            "session_id": item.session_id,
            "payload": dict(item.payload),
            # The part of the Message-ID that is ours alone; the sender's domain is not known here.
            "message_id": "" if item.channel == "platform" else secrets.token_hex(16),
            "created_at": now,
            "not_before": item.not_before,
            "state": "waiting",
            "due_at": item.not_before,
            "attempts": 0,
            "token": 0,
            "note": "",
            "changed_at": now,
        }
        for item in outgoing
    ]
    if rows:
        connection.execute(insert(outbox), rows)


#: What neither leaves by itself nor has left, and where a person decides about it.
_WAITS_FOR_SOMEBODY: Final = {
    "held": "release it there, or undo",
    "dead": "see `fit-triage outbox list`",
    "uncertain": "see `fit-triage outbox list`",
}


def _refuse_doubles(connection: Connection, outgoing: Sequence[Outgoing], now: datetime) -> None:
    found: dict[str, AnyRow] = {}
    for item in outgoing:
        same: ColumnElement[bool] = outbox.c.key == item.key
        if item.channel == "platform" and item.session_id is not None:
            same |= (
                (outbox.c.channel == "platform")
                & (outbox.c.session_id == item.session_id)
                & (outbox.c.action == item.action)
            )
        row = connection.execute(
            select(outbox, verdicts.c.by, verdicts.c.at)
            .join_from(outbox, verdicts)
            .where(same, outbox.c.state != "taken_back")
            .limit(1)
        ).one_or_none()
        if row is not None and row.state in _WAITS_FOR_SOMEBODY:
            raise RefusedError(
                f"{row.action} was decided already, in case {row.case_id}, and is {row.state}: "
                f"{_WAITS_FOR_SOMEBODY[row.state]}"
            )
        if row is not None and _can_be_taken_back(row, now):
            # Resting on it, this case would say "done" and nothing would leave if that were undone.
            raise RefusedError(
                f"{row.action} was decided already, in case {row.case_id}, and can be undone there "
                f"until {row.not_before:%H:%M:%S} UTC: decide after that, or undo it first"
            )
        if row is not None:
            found[item.key] = row
    if found:
        row = next(iter(found.values()))
        how = "has left" if row.state == "sent" else "is on its way"
        raise AlreadyOutError(
            f"{row.action} {how} already: case {row.case_id}, {row.by}, "
            f"{row.at:%Y-%m-%d %H:%M} UTC",
            tuple(found),
        )


def _can_be_taken_back(row: AnyRow, now: datetime) -> bool:
    return bool(row.state == "waiting" and not row.attempts and row.not_before > now)


def take_back(connection: Connection, verdict_id: int, now: datetime) -> list[str]:
    """Take back all that a verdict put here; raises where some of it has begun to leave."""
    mine = select(outbox).where(outbox.c.verdict_id == verdict_id)
    rows = connection.execute(mine.with_for_update()).all()  # a deliverer may be about to take them
    for row in rows:
        if not _can_be_taken_back(row, now):
            raise RefusedError(
                f"too late to undo: {row.action} "
                + ("has left" if row.state == "sent" else "has begun to leave")
            )
    connection.execute(
        update(outbox)
        .where(outbox.c.verdict_id == verdict_id)
        .values(state="taken_back", changed_at=now)
    )
    return [row.key for row in rows]


def outbox_rows(
    connection: Connection,
    *,
    states: Collection[str] = (),
    channel: Channel | None = None,
    case_id: int | None = None,
    verdict_id: int | None = None,
    ids: Collection[int] | None = None,
    limit: int | None = None,
) -> list[OutboxRow]:
    """Rows of the outbox, oldest first; all where nothing is asked for."""
    query = select(outbox).order_by(outbox.c.id).limit(limit)
    if states:
        query = query.where(outbox.c.state.in_(states))
    if channel is not None:
        query = query.where(outbox.c.channel == channel)
    if case_id is not None:
        query = query.where(outbox.c.case_id == case_id)
    if verdict_id is not None:
        query = query.where(outbox.c.verdict_id == verdict_id)
    if ids is not None:
        query = query.where(outbox.c.id.in_(ids))
    return [_row(row) for row in connection.execute(query)]


def channels_due(connection: Connection, now: datetime) -> set[Channel]:
    """The channels for which something is due, or was left in mid-flight."""
    due = (outbox.c.state == "waiting") & (outbox.c.due_at <= now)
    query = select(outbox.c.channel).where(due | (outbox.c.state == "sending")).distinct()
    return set(connection.scalars(query))


def _row(row: AnyRow) -> OutboxRow:
    return OutboxRow(**{name: getattr(row, name) for name in OutboxRow.__slots__})


@dataclass(frozen=True, slots=True)
class Left:
    """It is where it was to go, or a person says so."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """It did not go; to be tried again from then on."""

    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stuck:
    """It will not be tried again by itself: refused for good, or perhaps gone ("uncertain")."""

    note: str
    state: Literal["dead", "uncertain"] = "dead"


Settled = Left | Later | Stuck


class Sending:
    """What waits for one channel, under a lease; whoever lost that can change nothing."""

    def __init__(self, database: Database, lease: Lease, channel: Channel) -> None:
        self._database, self._lease, self._channel = database, lease, channel

    def interrupted(self) -> list[OutboxRow]:
        """Rows that an earlier deliverer began to send and never told the end of."""
        query = select(outbox).where(
            outbox.c.channel == self._channel,
            outbox.c.state == "sending",
            outbox.c.token < self._lease.token,
        )
        with self._database.writing() as connection:
            self._lease.hold(connection)
            return [_row(row) for row in connection.execute(query.order_by(outbox.c.id))]

    def take(self, now: datetime, *, most: int = 1, domain: str = "") -> list[OutboxRow]:
        """The next rows that are due, at most so many, ``sending`` on disk from here on.

        With a *domain* a mail's Message-ID is made complete, for good.
        """
        query = (
            select(outbox)
            .where(outbox.c.channel == self._channel)
            .where(outbox.c.state == "waiting", outbox.c.due_at <= now)
            .order_by(outbox.c.due_at, outbox.c.id)
            .limit(most)
            .with_for_update()
        )
        with self._database.writing() as connection:
            self._lease.hold(connection)
            rows = connection.execute(query).all()
            for row in rows:
                values = {"state": "sending", "attempts": row.attempts + 1, "note": ""}
                if domain and "@" not in row.message_id:
                    values["message_id"] = f"<{row.message_id}@{domain}>"
                values |= {"token": self._lease.token, "changed_at": now}
                connection.execute(update(outbox).where(outbox.c.id == row.id).values(**values))
            return outbox_rows(connection, ids=[row.id for row in rows])

    def note(self, row: OutboxRow, note: str) -> None:
        """Put on disk how far the sending of *row* has come.

        Raises:
            LeaseLostError: Another deliverer has taken over, and nothing may be sent any more.

        """
        with self._database.writing() as connection:
            self._lease.hold(connection)
            _ours(connection, self._lease, row)
            connection.execute(update(outbox).where(outbox.c.id == row.id).values(note=note))

    def settle(self, rows: Sequence[OutboxRow], outcome: Settled, now: datetime) -> None:
        """Tell how the sending of *rows* ended, of all of them or of none.

        Raises:
            LeaseLostError: Another deliverer has taken over; they are its business now.

        """
        with self._database.writing() as connection:
            self._lease.hold(connection)
            # The writer's turn before any row: a mail that stops things has the same order.
            turn = Turn(connection, "deliver", now)
            for row in rows:
                _ours(connection, self._lease, row)
            _settle(turn, connection, [row.id for row in rows], outcome)


def _ours(connection: Connection, lease: Lease, row: OutboxRow) -> None:
    query = select(outbox.c.state, outbox.c.token).where(outbox.c.id == row.id)
    found = connection.execute(query).one_or_none()
    if found is None or found.state != "sending" or found.token > lease.token:
        raise LeaseLostError("what was being sent was taken over by another run, or erased")


def _settle(turn: Turn, connection: Connection, ids: Collection[int], outcome: Settled) -> None:
    values: dict[str, Any] = {"note": outcome.note, "changed_at": turn.now}
    match outcome:
        case Left():
            values["state"] = "sent"
        case Later():
            back = case((outbox.c.held_for.is_(None), "waiting"), else_=AFTER_TRYING)
            values |= {"state": back, "due_at": outcome.at}
        case Stuck():
            values["state"] = outcome.state
    connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(**values))
    for row in outbox_rows(connection, ids=ids):
        if row.state != "waiting":
            turn.tell(row.state, row.case_id, outbox_id=row.id, key=row.key, why=row.note)
    turn.end()


def settle_by_hand(
    connection: Connection, ids: Collection[int], by: str, now: datetime, *, has_left: bool
) -> list[OutboxRow]:
    """A person's word on rows that are stuck: they have left, or are to be tried again."""
    turn = Turn(connection, by, now)  # before looking: two people may say two things at once
    found = outbox_rows(connection, ids=ids)
    if missing := sorted(set(ids) - {row.id for row in found}):
        raise RefusedError(f"there is no {missing[0]} in the outbox")
    for row in found:
        if row.state not in STUCK:
            raise RefusedError(f"{row.id} is {row.state}; only dead and uncertain ones need a word")
    values: dict[str, Any] = {"state": "sent", "note": "by hand", "changed_at": now}
    if not has_left:
        values = {"state": _BACK, "due_at": now, "attempts": 0, "changed_at": now}
    connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(**values))
    for row in found:
        told = "sent" if has_left else "retried"
        turn.tell(told, row.case_id, outbox_id=row.id, key=row.key, was=row.state)
    turn.end()
    return outbox_rows(connection, ids=ids)


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What operations watch of the outbox."""

    by_state: Mapping[str, int]
    overdue_since: datetime | None  # since when the longest-waiting one has been due


def outbox_counts(connection: Connection) -> OutboxCounts:
    by_state = connection.execute(
        select(outbox.c.state, func.count()).group_by(outbox.c.state)
    ).all()
    oldest = select(func.min(outbox.c.not_before)).where(outbox.c.state.in_(("waiting", "sending")))
    return OutboxCounts({row[0]: row[1] for row in by_state}, connection.scalar(oldest))
