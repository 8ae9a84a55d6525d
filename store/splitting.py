"""Cases that a person split or put together: stored once, with all that follows, or taken back.

Nothing is written over. A split gives the words of each part a number of their own among the asks
of their mail, so that every retelling finds them as the person cut them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from store.columns import AnyRow
from store.conversations import conversation_json, said_in
from store.errors import RefusedError
from store.joining import load, standing_of
from store.outgoing_schema import verdicts
from store.rows import Rows
from store.schema import cases, decisions
from store.values import decision_from, decision_json, facts_json, request_from, request_json
from store.verdicts import (
    case_row,
    done_before,
    key_of,
    put_marks,
    standing_before,
    store_verdict,
)
from store.writing import Turn
from triage.records import NO_ASK, Decision, OpenCase
from triage.regrouping import Regrouped, Retold, Told, renumbered
from triage.splitting import CUT, Piece, Place, Stretch, part_of, went_into
from triage.verdicts import Verdict


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
    case = case_row(connection, verdict.case_id)
    if case.version == version:
        return None
    key = key_of(verdict, version)
    reached = done_before(connection, case, key)
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
    case = case_row(connection, verdict.case_id)
    if again := repeated(connection, verdict, version):
        return again
    pieces = _numbered(connection, made.pieces)
    new = [one.said.place for one in pieces.values()]
    first, *others = (_placed(one, pieces) for one in (made.first, *made.others))
    row = row_of(first, pieces, reader_version)
    decided = turn.decide({"case_id": case.id, **row})
    opened = [turn.number_case() for _ in others]
    for number, one in zip(opened, others, strict=True):
        _open(connection, turn, number, one, row_of(one, pieces, reader_version), now)
    kept = replace(verdict, details={**verdict.details, "cases": opened})
    verdict_id = store_verdict(connection, kept, case, key_of(verdict, version), decided)
    stands(connection, case, first, decided, now)
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


def row_of(one: Retold, pieces: Mapping[Place, Piece], reader_version: str) -> dict[str, Any]:
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


def stands(connection: Connection, row: AnyRow, one: Retold, decided: int, now: datetime) -> None:
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


# --- taken back ----------------------------------------------------------------------------------


def unsplit(
    connection: Connection, turn: Turn, last: AnyRow, by: str, now: datetime
) -> list[AnyRow]:
    """Close the cases that a split had opened; raises where anything came to one since."""
    refuse_later(connection, last)
    for number in last.details["cases"]:
        row = case_row(connection, number)
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


def restore(connection: Connection, row: AnyRow, verdict: AnyRow, now: datetime) -> None:
    """The case as it stood before *verdict*, at a new version."""
    values = standing_before(verdict) | {"version": row.version + 1, "changed_at": now}
    connection.execute(update(cases).where(cases.c.id == row.id).values(**values))
    put_marks(connection, row.id, verdict.before["marks"])
    connection.execute(update(verdicts).where(verdicts.c.id == verdict.id).values(undone_at=now))


def refuse_later(connection: Connection, verdict: AnyRow) -> None:
    if case_row(connection, verdict.case_id).version != verdict.new_version:
        raise RefusedError(
            f"case {verdict.case_id} has moved on since: what came later would be lost; split or"
            " merge it as it is now"
        )
