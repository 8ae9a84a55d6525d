"""Two cases put together because a person said that they are one ask; and how such steps end.

What waited to leave because of either case is taken back in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from store.columns import AnyRow
from store.conversations import said_in
from store.errors import RefusedError
from store.joining import load
from store.outbox import OutboxRow, outbox_rows
from store.outgoing_schema import outbox, verdicts
from store.rows import Rows
from store.splitting import Split, refuse_later, repeated, restore, row_of, stands, unsplit
from store.values import request_json
from store.verdicts import Undone, case_row, conflict_about, key_of, store_verdict
from store.writing import Turn
from triage.regrouping import Regrouped, Retold
from triage.verdicts import Verdict

#: Actions that are of more than one case.
REGROUPING = ("split", "merge")

# --- two cases that are one ask ------------------------------------------------------------------


def merge(
    connection: Connection,
    verdict: Verdict,
    made: Regrouped,
    *,
    versions: tuple[int, int],
    is_settled: bool,
    now: datetime,
) -> Split:
    """Store that the case of *verdict* went into ``made.first``, with all its mails.

    *versions* are those at which the person saw the case that goes, and the one that stays;
    *is_settled* whether that one stays as it is because its effects have begun to leave.
    """
    turn = Turn(connection, verdict.by, now)
    gone, kept = (
        case_row(connection, verdict.case_id),
        case_row(connection, made.first.case.case_id),
    )
    if again := repeated(connection, verdict, versions[0]):
        return again
    if kept.version != versions[1]:
        raise conflict_about(connection, kept)
    if settled(connection, gone.id, now) or settled(connection, kept.id, now) != is_settled:
        raise RefusedError("something of it has begun to leave this moment: look at both again")
    taken = _take_back(connection, gone.id, now)
    taken += [] if is_settled else _take_back(connection, kept.id, now)
    decided = _join(connection, turn, made.first, gone.id)
    closed = turn.decide({"case_id": gone.id, **row_of(made.others[0], {}, "person")})
    details = {**verdict.details, "taken_back": taken}
    told_gone = replace(verdict, details=details)
    here = replace(verdict, case_id=kept.id, details={"merged": gone.id, "version": versions[1]})
    first = store_verdict(connection, told_gone, gone, key_of(verdict, versions[0]), closed)
    second = store_verdict(connection, here, kept, key_of(here, versions[1]), decided)
    stands(connection, kept, made.first, decided, now)
    stands(connection, gone, made.others[0], closed, now)
    turn.tell("merged", gone.id, verdict_id=first, into=kept.id, taken_back=len(taken))
    turn.tell(
        "merge", kept.id,
        verdict_id=second, version=versions[1] + 1, decision_id=decided, merged=gone.id,
    )  # fmt: skip
    turn.end()
    return Split(versions[0] + 1, (kept.id,))


def _join(connection: Connection, turn: Turn, whole: Retold, gone: int) -> int:
    """The mails of the case that went, and then the decision over all, among those of the other."""
    [before] = load(connection, [gone])
    row = {"case_id": whole.case.case_id, **row_of(whole, {}, "person")}
    for said in said_in(connection, Rows(), [before]):
        number, ask = said.place
        own = {"ask": ask, "said": request_json(said.request)}
        turn.decide({**row, "message_id": number, "request": {**row["request"], **own}})
    return turn.decide(row)


def settled(connection: Connection, case_id: int, now: datetime) -> bool:
    """Whether what a case asks for has begun to leave, or it is done and nothing more waits."""
    rows = outbox_rows(connection, case_id=case_id)
    if any(row.channel == "platform" and _begun(row, now) for row in rows):
        return True
    waits = any(row.state in ("waiting", "held") and not _begun(row, now) for row in rows)
    return case_row(connection, case_id).state == "done" and not waits


def _begun(row: OutboxRow, now: datetime) -> bool:
    if row.state in ("taken_back", "held"):
        return False
    return row.state != "waiting" or row.attempts > 0 or row.not_before <= now


def _take_back(connection: Connection, case_id: int, now: datetime) -> list[int]:
    """Take back what still waits; raises where a mail has stopped some of it for a person."""
    rows = outbox_rows(connection, case_id=case_id)
    if any(row.state == "held" for row in rows):
        raise RefusedError(f"case {case_id}: decide first about what a mail has held up")
    ids = [row.id for row in rows if row.state == "waiting" and not _begun(row, now)]
    taken = update(outbox).where(outbox.c.id.in_(ids), outbox.c.state == "waiting")
    done = connection.execute(taken.values(state="taken_back", changed_at=now))
    if done.rowcount != len(ids):
        raise RefusedError(f"case {case_id}: something of it is on its way this moment")
    return ids


# --- taken back ----------------------------------------------------------------------------------


def undo(
    connection: Connection, last: AnyRow, by: str, now: datetime, version: int | None
) -> Undone:
    """Take *last*, a split or merge that nothing has come after, back in all its cases."""
    turn = Turn(connection, by, now)
    case = case_row(connection, last.case_id)
    if version not in (None, case.version):
        raise conflict_about(connection, case)
    if last.action == "split":
        touched = unsplit(connection, turn, last, by, now)
    else:
        touched = _unmerge(connection, last, now)
    for verdict in touched:
        row = case_row(connection, verdict.case_id)
        again = Verdict(row.id, "undo", by, now, details={"undoes": verdict.id})
        number = store_verdict(connection, again, row, key_of(again, row.version), None)
        restore(connection, row, verdict, now)
        turn.tell("undo", row.id, verdict_id=number, undoes=verdict.id)
    turn.end()
    return Undone(case.version + 1, last.action, (), restored=True)


def _unmerge(connection: Connection, last: AnyRow, now: datetime) -> list[AnyRow]:
    """Both sides of a merge, with what it had taken back waiting again; raises as above."""
    other = last.details.get("into", last.details.get("merged"))
    side = connection.execute(
        select(verdicts)
        .where(verdicts.c.case_id == other, verdicts.c.action == "merge")
        .order_by(verdicts.c.id.desc())
    ).first()
    if side is None:
        raise RefusedError(f"case {other} does not know of it")
    for one in (last, side):
        refuse_later(connection, one)
    gone = last if "into" in last.details else side
    _wait_again(connection, gone.details["taken_back"], now)
    return [last, side]


def _wait_again(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    """What a merge took back is to leave after all; as long from now as it had been given first."""
    for row in outbox_rows(connection, ids=[*ids]):
        same = select(func.count()).where(outbox.c.key == row.key, outbox.c.state != "taken_back")
        if connection.scalar(same):
            raise RefusedError(f"{row.action} is on its way from another case by now")
        due = now + (row.not_before - row.created_at)
        waits = {"state": "waiting", "not_before": due, "due_at": due, "changed_at": now}
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(**waits))
