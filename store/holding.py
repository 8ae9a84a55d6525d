"""What is still to leave because of a case, stopped by a mail until a person decides.

Stopping happens in the transaction that stores the mail: either a row was being sent by then, or it
goes no more. A row that was being sent and comes back untaken is stopped when it does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, case, exists, func, select, update

from store.columns import AnyRow
from store.errors import RefusedError
from store.joining import HELD, load, standing_of
from store.outbox import AFTER_TRYING, STUCK, OutboxRow, outbox_rows
from store.outgoing_schema import outbox
from store.rows import Rows
from store.schema import cases, clients, decisions, messages
from store.values import decision_from, decision_json
from triage.records import NO_ASK, Email, OpenCase, Outcome

if TYPE_CHECKING:
    from triage.holding import Hold

#: What a mail can stop, or could when it comes back or is tried again.
_STOPPABLE: Final = ("waiting", "sending", "dead", "uncertain")
_LOOSE: Final = ("withdrawal", "update")
_IS_OUT: Final = outbox.c.state != "taken_back"


class Leaving:
    """The cases of which something has yet to leave, as one batch finds them.

    No more of them come about while a batch lasts: whoever puts something out waits for its turn.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found: list[AnyRow] | None = None

    def around(
        self, email: Email, outcomes: Iterable[Outcome], therapist_ids: Collection[str]
    ) -> list[OpenCase]:
        """Those around a mail: of its writer, its client, its thread, or a session it is about.

        Where it says more of a request that is not open, also those of which all has left.
        """
        own = [one for one in outcomes if one.ask != NO_ASK]
        sessions = {name for one in own for name in (one.said or one.request).session_ids}
        sessions |= {one.facts.session.session_id for one in own if one.facts.session}
        sender, threads = email.sender.email, {email.in_reply_to, *email.references} - {""}
        ids = {
            row.id
            for row in self._all()
            if row.session_id in sessions
            or row.therapist_id in therapist_ids
            or sender in {row.sender, row.email}
        }
        asks = [one.said or one.request for one in own if one.joined_case_id is None]
        finds_nothing = any(ask.kind in _LOOSE for ask in asks)
        if threads and (self._all() or finds_nothing):
            answered = self._of_threads(threads)
            ids |= answered if finds_nothing else answered & {row.id for row in self._all()}
        if finds_nothing and sessions:
            of_sessions = select(outbox.c.case_id).where(outbox.c.session_id.in_(sessions), _IS_OUT)
            ids.update(self._connection.scalars(of_sessions))
        return load(self._connection, ids)

    def _all(self) -> Sequence[AnyRow]:
        if self._found is None:
            query = (
                select(
                    cases.c.id, cases.c.session_id, cases.c.therapist_id, cases.c.sender,
                    clients.c.email,
                )
                .join_from(outbox, cases)
                .join(clients, clients.c.client_id == cases.c.client_id, isouter=True)
                .where(outbox.c.state.in_((*_STOPPABLE, "held")))
                .distinct()
            )  # fmt: skip
            self._found = list(self._connection.execute(query))
        return self._found

    def _of_threads(self, threads: Collection[str]) -> set[int]:
        query = (
            select(decisions.c.case_id)
            .join_from(decisions, messages, messages.c.id == decisions.c.message_id)
            .where(messages.c.message_id.in_(threads))
            .where(exists().where(outbox.c.case_id == decisions.c.case_id, _IS_OUT))
        )
        return set(self._connection.scalars(query))


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a mail stopped of one case, and what it came too late for."""

    hold: Hold
    waits: tuple[OutboxRow, ...]  # goes no more by itself
    stuck: tuple[OutboxRow, ...]  # was tried, and may have left
    on_its_way: tuple[OutboxRow, ...]  # goes no more if it comes back
    left: tuple[OutboxRow, ...]

    @property
    def is_in_time(self) -> bool:
        return bool(self.waits or self.stuck or self.on_its_way)

    @property
    def words(self) -> tuple[str, ...]:
        """What staff should know of it."""
        told = (
            ("Held until a person decides", self.waits),
            ("May have left (find out, then say so: `fit-triage outbox`)", self.stuck),
            ("Was on its way when the mail came", self.on_its_way),
            ("Has left already", self.left),
        )
        return tuple(f"{what}: {_named(rows)}." for what, rows in told if rows)

    @property
    def detail(self) -> Mapping[str, object]:
        """The same for the audit trail."""
        return {
            "why": list(self.hold.blockers),
            "held": [row.key for row in self.waits],
            "stuck": [row.key for row in self.stuck],
            "on_its_way": [row.key for row in self.on_its_way],
            "left": [row.key for row in self.left],
        }


def _named(rows: Iterable[OutboxRow]) -> str:
    return ", ".join(
        f"{row.action} {row.session_id or ''}".rstrip()
        if row.channel == "platform"
        else f"letter {row.action}"
        for row in rows
    )


def stop(connection: Connection, hold: Hold, message_id: int, now: datetime) -> Stopped:
    """Let nothing more leave because of a case by itself, from here to a person's word."""
    mine = outbox.c.case_id == hold.case_id
    # One statement: what a deliverer takes meanwhile is seen as it leaves it.
    connection.execute(
        update(outbox)
        .where(mine, outbox.c.state.in_(_STOPPABLE), outbox.c.held_for.is_(None))
        .values(
            held_for=message_id,
            state=case(
                (outbox.c.state != "waiting", outbox.c.state),
                (outbox.c.attempts == 0, "held"),
                else_=AFTER_TRYING,
            ),
            changed_at=now,
        )
    )
    rows = outbox_rows(connection, case_id=hold.case_id)
    latest = max((row.verdict_id for row in rows if row.state != "taken_back"), default=0)
    return Stopped(
        hold,
        tuple(row for row in rows if row.held_for and row.state == "held"),
        tuple(row for row in rows if row.held_for and row.state in STUCK),
        tuple(row for row in rows if row.held_for and row.state == "sending"),
        tuple(row for row in rows if row.verdict_id == latest and row.state == "sent"),
    )


def told_of(outcome: Outcome, stopped: Iterable[Stopped]) -> Outcome:
    """*outcome* with words about the cases that its mail stopped or came too late for."""
    if outcome.ask == NO_ASK:
        return outcome
    words = [
        f"Case {one.hold.case_id}: {said}"
        for one in stopped
        if one.hold.case_id != outcome.joined_case_id
        for said in one.words
    ]
    decision = replace(outcome.decision, reasons=(*outcome.decision.reasons, *words))
    return outcome._replace(decision=decision) if words else outcome


def hold_case(
    connection: Connection,
    rows: Rows,
    one: Stopped,
    decision_id: int,
    mail_is_in: Collection[int],
    now: datetime,
) -> None:
    """Put the case before a person, in ``check``; nothing else about it changes."""
    from triage.holding import held  # brings all of deciding along, and is rarely needed

    case_id = one.hold.case_id
    pending = (row for row in reversed(rows.decisions) if row["case_id"] == case_id)
    latest = next(pending, None) or _latest(connection, case_id)
    elsewhere = ", ".join(f"case {number}" for number in mail_is_in if number != case_id)
    words = (*one.words, *([f"The mail is in {elsewhere}."] if elsewhere else []))
    decision = held(decision_from(latest["decision"]), one.hold, words)
    rows.decisions.append(
        {
            **latest,
            "id": decision_id,
            "message_id": None,
            "decided_at": now,
            "reader_version": HELD,
            "decision": decision_json(decision),
        }
    )
    standing = {**standing_of(decision), "decision_id": decision_id, "changed_at": now}
    rows.held_cases.append((case_id, standing))


def _latest(connection: Connection, case_id: int) -> dict[str, Any]:
    query = select(decisions).join_from(cases, decisions, decisions.c.id == cases.c.decision_id)
    return dict(connection.execute(query.where(cases.c.id == case_id)).mappings().one())


# --- what a person decides about it ---------------------------------------------------------------


def is_held(connection: Connection, decision_id: int) -> bool:
    """Whether a case whose latest decision this is waits for a person's word on what is held."""
    query = select(decisions.c.reader_version).where(decisions.c.id == decision_id)
    return connection.scalar(query) == HELD


def before_held(connection: Connection, case_id: int) -> dict[str, object]:
    """How a case stood before it was held up, as its row has it."""
    row = connection.execute(
        select(decisions.c.id, decisions.c.decision)
        .where(decisions.c.case_id == case_id, decisions.c.reader_version != HELD)
        .order_by(decisions.c.id.desc())
        .limit(1)
    ).one()
    return {**standing_of(decision_from(row.decision)), "decision_id": row.id}


def times_held(connection: Connection, case_id: int, since: int) -> int:
    """How often mail held a case up since the decision with the number *since*."""
    query = select(func.count()).where(
        decisions.c.case_id == case_id, decisions.c.reader_version == HELD, decisions.c.id > since
    )
    return connection.scalar(query) or 0


def release(connection: Connection, case_id: int, now: datetime) -> list[str]:
    """Let what is held of a case leave after all; the keys of what goes."""
    mine = (outbox.c.case_id == case_id) & outbox.c.held_for.is_not(None)
    rows = connection.execute(select(outbox).where(mine, outbox.c.state == "held")).all()
    for row in rows:
        due = max(row.not_before, now)
        freed = update(outbox).where(outbox.c.id == row.id)
        connection.execute(freed.values(state="waiting", due_at=due, changed_at=now))
    connection.execute(update(outbox).where(mine).values(held_for=None))
    return [row.key for row in rows]


def take_back_held(connection: Connection, case_id: int, now: datetime) -> list[OutboxRow]:
    """Take back what is held of a case; raises while nobody knows whether some of it has left."""
    rows = [row for row in outbox_rows(connection, case_id=case_id) if row.held_for]
    for row in rows:
        if row.state == "sending":
            raise RefusedError(f"{row.action} is on its way this moment: look again in a while")
        if row.state in STUCK:
            raise RefusedError(
                f"{row.action} may have left: find out, then `outbox sent {row.id}` or, where it "
                f"has not, `outbox retry {row.id}`, which leaves it held"
            )
    here = [row for row in rows if row.state == "held"]
    taken = update(outbox).where(outbox.c.id.in_([row.id for row in here]))
    connection.execute(taken.values(state="taken_back", changed_at=now))
    return here
