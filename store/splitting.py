"""Cases that a person split or put together: stored once, with all that follows, or taken back.

Nothing is written over. A split gives the words of each part a number of their own among the asks
of their mail, so that every retelling finds them as the person cut them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from store.conversations import conversation_json, said_in
from store.errors import RefusedError
from store.joining import load, standing_of
from store.outbox import OutboxRow, outbox_rows
from store.outgoing_schema import outbox, verdicts
from store.rows import Rows
from store.schema import AnyRow, cases, decisions
from store.values import decision_from, decision_json, facts_json, request_from, request_json
from store.verdicts import (
    _RESTORED,
    Undone,
    _add,
    _case,
    _conflict,
    _done_before,
    _key,
    _put_marks,
)
from store.writing import Turn
from triage.records import NO_ASK, Decision, OpenCase
from triage.regrouping import Regrouped, Retold, Told, renumbered
from triage.splitting import CUT, Piece, Place, Stretch, part_of, went_into
from triage.verdicts import Verdict

#: What came of one person's word; the cases that were opened by it.
REGROUPING = ("split", "merge")


class Split(NamedTuple):
    """The version of the case that was split, and the numbers of those that came of it."""

    version: int
    cases: tuple[int, ...]


# --- what is there -------------------------------------------------------------------------------


def told(connection: Connection, case_id: int) -> Told | None:
    """A case with all that was said in it, None where there is none."""
    row = connection.execute(select(cases).where(cases.c.id == case_id)).one_or_none()
    if row is None:
        return None
    [case] = load(connection, [case_id])
    said = tuple(said_in(connection, Rows(), [case]))
    mails = {number for number, _ in case.asks}
    stored = connection.execute(
        select(decisions.c.decision).where(decisions.c.id == row.decision_id)
    ).scalar_one()
    words, beside = _words(connection, mails)
    siblings = [other for other in load(connection, beside - {case_id}) if _shares(other, mails)]
    return Told(case, decision_from(stored), row.version, said, words, tuple(siblings))


def _words(
    connection: Connection, mails: Collection[int]
) -> tuple[dict[Place, tuple[Stretch, ...]], set[int]]:
    """The words of asks that were cut out of their mails, and every case of these mails."""
    found: dict[Place, tuple[Stretch, ...]] = {}
    beside = set()
    query = select(decisions.c.case_id, decisions.c.message_id, decisions.c.request)
    for row in connection.execute(query.where(decisions.c.message_id.in_(mails))):
        beside.add(row.case_id)
        if "words" in row.request:
            stretches = tuple((part, start, end) for part, start, end in row.request["words"])
            found.setdefault((row.message_id, row.request["ask"]), stretches)
    return found, beside


def _shares(case: OpenCase, mails: Collection[int]) -> bool:
    own = {number for number, _ in case.asks}
    return bool(own & {*mails}) and went_into(case.request) is None


def merged_into(connection: Connection, case_id: int) -> int | None:
    """The case that this one went into, None where it is a case of its own."""
    query = (
        select(decisions.c.request)
        .join_from(cases, decisions, decisions.c.id == cases.c.decision_id)
        .where(cases.c.id == case_id, cases.c.state == "dismissed")
    )
    request = connection.scalar(query)
    return None if request is None else went_into(request_from(request))


def repeated(connection: Connection, verdict: Verdict, version: int) -> Split | None:
    """What this very verdict led to before; None where the case is as the person saw it.

    Raises:
        ConflictError: The case is no longer at *version*, and it was another that changed it.

    """
    case = _case(connection, verdict.case_id)
    if case.version == version:
        return None
    key = _key(verdict, version)
    reached = _done_before(connection, case, key)
    details = connection.scalar(select(verdicts.c.details).where(verdicts.c.key == key)) or {}
    return Split(reached, tuple(details.get("cases") or [details["into"]]))


# --- another ask in a mail -----------------------------------------------------------------------


def split(
    connection: Connection,
    verdict: Verdict,
    made: Regrouped,
    reader_version: str,
    *,
    version: int,
    now: datetime,
) -> Split:
    """Store *verdict*, the case as it stands without the words, and the cases that those are."""
    turn = Turn(connection, verdict.by, now)
    case = _case(connection, verdict.case_id)
    if again := repeated(connection, verdict, version):
        return again
    pieces = _numbered(connection, made.pieces)
    new = [one.said.place for one in pieces.values()]
    first, *others = (_placed(one, pieces) for one in (made.first, *made.others))
    row = _row_of(first, pieces, reader_version)
    decided = turn.decide({"case_id": case.id, **row})
    opened = [turn.number_case() for _ in others]
    for number, one in zip(opened, others, strict=True):
        _open(connection, turn, number, one, _row_of(one, pieces, reader_version), now)
    kept = replace(verdict, details={**verdict.details, "cases": opened})
    verdict_id = _add(connection, kept, case, _key(verdict, version), decided)
    _stands(connection, case, first, decided, now)
    turn.tell(
        "split", case.id, new[0][0],
        verdict_id=verdict_id, version=version + 1, decision_id=decided, cases=opened,
    )  # fmt: skip
    for number in opened:
        turn.tell("split_off", number, new[0][0], case=case.id, by_verdict=verdict_id)
    turn.end()
    return Split(version + 1, tuple(opened))


def _numbered(connection: Connection, pieces: Sequence[Piece]) -> dict[Place, Piece]:
    """Each new ask by the place it was told at, now with a number among those of its mail."""
    found = {}
    for piece in pieces:
        message, ask = piece.said.place
        place = (message, _asks_in(connection, message) + ask - CUT)
        found[message, ask] = replace(piece, said=replace(piece.said, place=place))
    return found


def _asks_in(connection: Connection, message_id: int) -> int:
    """How many asks of a mail were ever told; numbers begin at 0."""
    query = select(decisions.c.request).where(decisions.c.message_id == message_id)
    return 1 + max((row.get("ask", 0) for row in connection.scalars(query)), default=0)


def _placed(one: Retold, pieces: Mapping[Place, Piece]) -> Retold:
    """The case with its new asks where they are numbered; so in the marks on its request."""
    return renumbered(one, {place: piece.said.place for place, piece in pieces.items()})


def _row_of(one: Retold, pieces: Mapping[Place, Piece], reader_version: str) -> dict[str, Any]:
    """The decision of a case: of its new ask, or of none where it only lost one."""
    mine = [piece for piece in pieces.values() if piece.said.place in one.case.asks]
    request = conversation_json(one.outcome._replace(ask=NO_ASK, said=None), one.case.asks)
    row: dict[str, Any] = {
        "reader_version": reader_version if mine else "person",
        "facts": facts_json(one.outcome.facts),
        "decision": decision_json(one.outcome.decision),
        "request": request,
    }
    if mine:
        message, ask = mine[0].said.place
        own: dict[str, Any] = {"ask": ask, "said": request_json(mine[0].said.request)}
        own["words"] = [list(stretch) for stretch in mine[0].words]
        row |= {"message_id": message, "request": {**request, **own}}
    return row


def _open(
    connection: Connection,
    turn: Turn,
    number: int,
    one: Retold,
    told_so: Mapping[str, Any],
    now: datetime,
) -> None:
    decided = turn.number_decision()
    row = _standing(one) | {
        "sender": one.case.sender,
        "authenticated": one.case.authenticated,
        "sender_authenticated": one.case.authenticated,
        "opened_at": now,
        "changed_at": now,
        "version": 1,
        "decision_id": decided,
    }
    connection.execute(insert(cases).values(id=number, **row))
    turn.decide({"case_id": number, **told_so}, decided)


def _stands(connection: Connection, row: AnyRow, one: Retold, decided: int, now: datetime) -> None:
    """Bring the row of a case to what it is now."""
    changed = {"version": row.version + 1, "changed_at": now, "decision_id": decided}
    values = _standing(one) | changed
    connection.execute(update(cases).where(cases.c.id == row.id).values(**values))


def _standing(one: Retold) -> dict[str, object]:
    case, request = one.case, one.outcome.request
    return {
        **standing_of(one.outcome.decision),
        "kind": request.kind,
        "confidence": request.confidence,
        "session_id": case.session_id,
        "therapist_id": case.therapist_id,
        "client_id": case.client_id,
    }


# --- two cases that are one ask ------------------------------------------------------------------


def merge(
    connection: Connection,
    verdict: Verdict,
    made: Regrouped,
    *,
    versions: tuple[int, int],
    now: datetime,
) -> Split:
    """Store that the case of *verdict* went into ``made.first``, with all its mails.

    *versions* are those at which the person saw the case that goes, and the one that stays. What
    waited to leave because of either is taken back.
    """
    turn = Turn(connection, verdict.by, now)
    gone, kept = _case(connection, verdict.case_id), _case(connection, made.first.case.case_id)
    if again := repeated(connection, verdict, versions[0]):
        return again
    if kept.version != versions[1]:
        raise _conflict(connection, kept)
    taken = _take_back(connection, gone.id, now) + (
        [] if settled(connection, kept.id, now) else _take_back(connection, kept.id, now)
    )
    decided = _join(connection, turn, made.first, gone.id)
    closed = turn.decide({"case_id": gone.id, **_row_of(made.others[0], {}, "person")})
    details = {**verdict.details, "taken_back": taken}
    told_gone = replace(verdict, details=details)
    here = replace(verdict, case_id=kept.id, details={"merged": gone.id, "version": versions[1]})
    first = _add(connection, told_gone, gone, _key(verdict, versions[0]), closed)
    second = _add(connection, here, kept, _key(here, versions[1]), decided)
    _stands(connection, kept, made.first, decided, now)
    _stands(connection, gone, made.others[0], closed, now)
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
    row = {"case_id": whole.case.case_id, **_row_of(whole, {}, "person")}
    for said in said_in(connection, Rows(), [before]):
        number, ask = said.place
        own = {"ask": ask, "said": request_json(said.request)}
        turn.decide({**row, "message_id": number, "request": {**row["request"], **own}})
    return turn.decide(row)


def settled(connection: Connection, case_id: int, now: datetime) -> bool:
    """Whether what a case asks for has begun to leave: the platform was told, or soon will be."""
    rows = outbox_rows(connection, case_id=case_id)
    return any(row.channel == "platform" and _begun(row, now) for row in rows)


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
    taken = update(outbox).where(outbox.c.id.in_(ids))
    connection.execute(taken.values(state="taken_back", changed_at=now))
    return ids


# --- taken back ----------------------------------------------------------------------------------


def undo(
    connection: Connection, last: AnyRow, by: str, now: datetime, version: int | None
) -> Undone:
    """Take *last*, a split or merge that nothing has come after, back in all its cases."""
    turn = Turn(connection, by, now)
    case = _case(connection, last.case_id)
    if version not in (None, case.version):
        raise _conflict(connection, case)
    if last.action == "split":
        touched = _unsplit(connection, turn, last, by, now)
    else:
        touched = _unmerge(connection, last, now)
    for verdict in touched:
        row = _case(connection, verdict.case_id)
        again = Verdict(row.id, "undo", by, now, details={"undoes": verdict.id})
        number = _add(connection, again, row, _key(again, row.version), None)
        _restore(connection, row, verdict, now)
        turn.tell("undo", row.id, verdict_id=number, undoes=verdict.id)
    turn.end()
    return Undone(case.version + 1, last.action, (), restored=True)


def _unsplit(
    connection: Connection, turn: Turn, last: AnyRow, by: str, now: datetime
) -> list[AnyRow]:
    """Close the cases that a split had opened; raises where anything came to one since."""
    _refuse_later(connection, last)
    for number in last.details["cases"]:
        row = _case(connection, number)
        if row.version != 1:
            raise RefusedError(
                f"case {number}, which came of it, has moved on: merge it into"
                f" case {last.case_id} instead"
            )
        [case] = load(connection, [number])
        stored = connection.execute(
            select(decisions).where(decisions.c.id == row.decision_id)
        ).one()
        decision = _gone(decision_from(stored.decision), f"Taken back by {by}.")
        request = {**stored.request, **request_json(part_of(case.request, last.case_id, by))}
        closed = turn.decide(
            {
                "case_id": number,
                "reader_version": "person",
                "facts": stored.facts,
                "decision": decision_json(decision),
                "request": {**request, "ask": NO_ASK},
            }
        )
        changed = {"version": 2, "changed_at": now, "decision_id": closed}
        connection.execute(
            update(cases).where(cases.c.id == number).values(**standing_of(decision), **changed)
        )
        turn.tell("split_undone", number, case=last.case_id)
    return [last]


def _gone(decision: Decision, why: str) -> Decision:
    return replace(
        decision, state="dismissed", blockers=(), deadline=None, priority=4, safeguarding=False,
        guarantee="", reasons=(why,), draft=None, alternatives=(),
    )  # fmt: skip


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
        _refuse_later(connection, one)
    gone = last if "into" in last.details else side
    _wait_again(connection, gone.details["taken_back"], now)
    return [last, side]


def _restore(connection: Connection, row: AnyRow, verdict: AnyRow, now: datetime) -> None:
    """The case as it stood before *verdict*, at a new version."""
    values = {name: verdict.before[name] for name in _RESTORED}
    if values.get("deadline"):
        values["deadline"] = datetime.fromisoformat(values["deadline"])
    raised = {"version": row.version + 1, "changed_at": now}
    connection.execute(update(cases).where(cases.c.id == row.id).values(**values, **raised))
    _put_marks(connection, row.id, verdict.before["marks"])
    connection.execute(update(verdicts).where(verdicts.c.id == verdict.id).values(undone_at=now))


def _refuse_later(connection: Connection, verdict: AnyRow) -> None:
    if _case(connection, verdict.case_id).version != verdict.new_version:
        raise RefusedError(
            f"case {verdict.case_id} has moved on since: what came later would be lost; split or"
            " merge it as it is now"
        )


def _wait_again(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    """What a merge took back is to leave after all; as long from now as it had been given first."""
    for row in outbox_rows(connection, ids=[*ids]):
        same = select(func.count()).where(outbox.c.key == row.key, outbox.c.state != "taken_back")
        if connection.scalar(same):
            raise RefusedError(f"{row.action} is on its way from another case by now")
        due = now + (row.not_before - row.created_at)
        waits = {"state": "waiting", "not_before": due, "due_at": due, "changed_at": now}
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(**waits))
