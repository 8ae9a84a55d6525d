"""What people decide about cases: stored beside what the model said, once, and taken back whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from store.columns import AnyRow, dump_json
from store.database import insert_new
from store.errors import ConflictError, RefusedError
from store.holding import before_held, is_held, release, take_back_held, times_held
from store.joining import CLOSED, standing_of
from store.outbox import enqueue, outbox_rows, take_back
from store.outgoing_schema import corrections, marks, verdicts
from store.readings import reader_under
from store.rows import AT_ONCE
from store.schema import cases, decisions
from store.values import decision_json, facts_json, request_from, request_json
from store.writing import Turn
from triage.labels import State
from triage.records import NO_ASK, CaseFacts, Decision, Request
from triage.verdicts import Correction, Outgoing, Verdict

#: What an undo brings back; a case's history (versions, decisions, audit) only ever grows.
RESTORED: Final = (
    "queue", "state", "open", "blockers", "kind", "session_id", "therapist_id", "client_id",
    "safeguarding", "priority", "deadline", "guarantee", "decision_id", "confidence",
)  # fmt: skip
#: After these there is nothing to take back.
_FINAL: Final = {
    "undo": "has taken the last step back already",
    "release": "has released it: it is leaving",
}
#: How much of a request's row tells which asks of which mails it was merged from.
_CONVERSATION: Final = ("asks", "said")


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict, with what the model had made of the case when the person saw it.

    ``request`` is the request as merged then, corrections not applied, ``reader_version`` of the
    model that read what lies under it; ``message_ids`` are the store's numbers of its mails.
    """

    id: int
    verdict: Verdict
    request: Request
    reader_version: str
    message_ids: tuple[int, ...]
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did. Not ``restored`` where a mail came since: the case stays as it left it."""

    version: int
    action: str  # of the verdict that was taken back
    taken_back: tuple[str, ...]  # keys of what will not leave
    restored: bool


class Change(NamedTuple):
    """What becomes of the case; None leaves that as it is."""

    state: State | None = None
    request: Request | None = None
    decision: Decision | None = None
    facts: CaseFacts | None = None


def act(
    connection: Connection,
    verdict: Verdict,
    change: Change,
    outgoing: Sequence[Outgoing],
    *,
    version: int,
    now: datetime,
) -> int:
    """Store *verdict* and all that follows from it; the case's new version."""
    turn = Turn(connection, verdict.by, now)
    case = case_row(connection, verdict.case_id)
    key = key_of(verdict, version)
    if case.version != version:
        return done_before(connection, case, key)
    seen = connection.execute(select(decisions).where(decisions.c.id == case.decision_id)).one()
    decided = _decide(turn, case, seen, change)
    number = store_verdict(connection, verdict, case, key, decided)
    _change_case(connection, case, seen, change, decided, now)
    _mark(connection, verdict, case, decided)
    enqueue(connection, outgoing, number, case.id, now)
    released = release(connection, case.id, now) if verdict.action == "release" else []
    turn.tell(
        verdict.action,
        case.id,
        verdict_id=number,
        version=version + 1,
        decision_id=decided,
        state=_state(change),
        corrected=sorted(item.field for item in verdict.corrections),
        overrides=list(verdict.overrides),
        outgoing=[*(item.key for item in outgoing), *released],
    )
    turn.end()
    return version + 1


def undo(
    connection: Connection, case_id: int, by: str, now: datetime, version: int | None = None
) -> Undone:
    """Take the last verdict about a case back, and what has not begun to leave because of it."""
    turn = Turn(connection, by, now)
    case = case_row(connection, case_id)
    if version not in (None, case.version):
        raise conflict_about(connection, case)
    last = last_of(connection, case_id)
    if last is None:
        raise RefusedError(f"nobody has decided anything about case {case_id}")
    held = is_held(connection, case.decision_id)
    if last.action in _FINAL and not held:
        raise RefusedError(f"case {case_id}: {last.by} {_FINAL[last.action]}")
    if held:
        last, taken, restored = _stop_held(connection, case, now)
    else:
        taken = take_back(connection, last.id, now)
        # A mail that came since was decided on as the case stood then; that must not be lost.
        restored = case.version == last.new_version
    again = Verdict(case_id, "undo", by, now, details={"undoes": last.id})
    number = store_verdict(connection, again, case, key_of(again, case.version), None)
    values = before_held(connection, case_id) if held else {}
    if restored:
        values = standing_before(last)
    if restored and not held:
        put_marks(connection, case_id, last.before["marks"])
    raised = {"version": case.version + 1, "changed_at": now}
    connection.execute(update(cases).where(cases.c.id == case_id).values(**values, **raised))
    if not held:
        connection.execute(update(verdicts).where(verdicts.c.id == last.id).values(undone_at=now))
    turn.tell("undo", case_id, verdict_id=number, undoes=last.id, taken_back=taken)
    turn.end()
    return Undone(case.version + 1, last.action, tuple(taken), restored)


def standing_before(verdict: AnyRow) -> dict[str, Any]:
    """The columns of a case as they were before *verdict*."""
    kept = [name for name in RESTORED if name in verdict.before]  # older verdicts kept less
    due = verdict.before["deadline"]
    values = {name: verdict.before[name] for name in kept}
    return {**values, "deadline": datetime.fromisoformat(due) if due else None}


def _stop_held(
    connection: Connection, case: AnyRow, now: datetime
) -> tuple[AnyRow, list[str], bool]:
    """Take back all that a mail holds up: since which verdict, what, and if all is as before it."""
    rows = take_back_held(connection, case.id, now)
    if not rows:
        raise RefusedError("too late to undo: nothing that was held is still here")
    putting = {row.verdict_id for row in rows}
    whole = all(
        row.state == "taken_back"
        for number in putting
        for row in outbox_rows(connection, verdict_id=number)
    )
    given = select(verdicts).where(verdicts.c.case_id == case.id, verdicts.c.id >= min(putting))
    first, *later = connection.execute(given.order_by(verdicts.c.id)).all()
    holds = times_held(connection, case.id, first.new_decision_id or first.decision_id)
    no_mail_since = case.version == first.new_version + len(later) + holds
    alone = all(one.id in putting or one.action == "assign" for one in later)
    if whole:
        undone = update(verdicts).where(verdicts.c.id.in_(putting))
        connection.execute(undone.values(undone_at=now))
    return first, [row.key for row in rows], whole and no_mail_since and alone


def last_of(connection: Connection, case_id: int) -> AnyRow | None:
    """The row of the last verdict about a case, taken back or not."""
    query = select(verdicts).where(verdicts.c.case_id == case_id)
    return connection.execute(query.order_by(verdicts.c.id.desc())).first()


def stored_verdicts(
    connection: Connection, *, since: datetime | None, case_id: int | None, include_undone: bool
) -> list[StoredVerdict]:
    """Verdicts in the order they were given."""
    read_by = reader_under(verdicts.c.case_id, verdicts.c.decision_id)
    query = (
        select(verdicts, decisions.c.request, read_by.label("reader_version"))
        .join_from(verdicts, decisions, decisions.c.id == verdicts.c.decision_id)
        .order_by(verdicts.c.id)
    )
    query = query if since is None else query.where(verdicts.c.at >= since)
    if case_id is not None:
        query = query.where(verdicts.c.case_id == case_id)
    if not include_undone:
        query = query.where(verdicts.c.undone_at.is_(None), verdicts.c.action != "undo")
    rows = connection.execute(query).all()
    corrected = _corrections(connection, {row.id for row in rows})
    return [_stored(row, corrected.get(row.id, ())) for row in rows]


def _stored(row: AnyRow, corrected: Iterable[Correction]) -> StoredVerdict:
    verdict = Verdict(
        case_id=row.case_id,
        action=row.action,
        by=row.by,
        at=row.at,
        corrections=tuple(corrected),
        reason=row.reason,
        overrides=tuple(row.overrides),
        details=row.details,
    )
    mails = dict.fromkeys(number for number, _ in row.request.get("asks", ()))
    request = request_from(row.request)
    return StoredVerdict(row.id, verdict, request, row.reader_version, tuple(mails), row.undone_at)


def _corrections(connection: Connection, wanted: set[int]) -> dict[int, list[Correction]]:
    found: dict[int, list[Correction]] = {}
    numbers = sorted(wanted)
    for start in range(0, len(numbers), AT_ONCE):
        some = corrections.c.verdict_id.in_(numbers[start : start + AT_ONCE])
        for row in connection.execute(select(corrections).where(some)):
            item = Correction(row.field, row.before["value"], row.after["value"])
            found.setdefault(row.verdict_id, []).append(item)
    return found


def case_row(connection: Connection, case_id: int) -> AnyRow:
    row = connection.execute(select(cases).where(cases.c.id == case_id)).one_or_none()
    if row is None:
        raise RefusedError(f"there is no case {case_id}")
    return row


def key_of(verdict: Verdict, version: int) -> str:
    """What makes a second click the same verdict: who did what to the case as it stood."""
    told = [
        verdict.case_id,
        version,
        verdict.action,
        verdict.by,
        [[item.field, item.before, item.after] for item in verdict.corrections],
        verdict.reason,
        list(verdict.overrides),
        _plain(verdict.details),
    ]
    return hashlib.sha256(dump_json(told).encode()).hexdigest()


def _plain(details: Mapping[str, object]) -> dict[str, object]:
    """*details* ready for JSON."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in details.items()
    }


def done_before(connection: Connection, case: AnyRow, key: str) -> int:
    """The version that this very verdict led to; raises where it was another that came first."""
    version = connection.scalar(select(verdicts.c.new_version).where(verdicts.c.key == key))
    if version is not None:
        return int(version)
    raise conflict_about(connection, case)


def conflict_about(connection: Connection, case: AnyRow) -> ConflictError:
    """Who brought the case to the version it is at."""
    first = connection.execute(
        select(verdicts.c.by, verdicts.c.action, verdicts.c.at)
        .where(verdicts.c.case_id == case.id, verdicts.c.new_version == case.version)
        .limit(1)
    ).one_or_none()
    by, action, at = first or ("", "", case.changed_at)
    return ConflictError(case.id, case.version, by, action, at)


def _state(change: Change) -> State | None:
    return change.state or (change.decision.state if change.decision else None)


def _decide(turn: Turn, case: AnyRow, seen: AnyRow, change: Change) -> int | None:
    """The person's own decision beside the model's, None where nothing was decided."""
    if change == Change():
        return None
    request = dict(seen.request)
    if change.request is not None:
        kept = {name: request[name] for name in _CONVERSATION if name in request}
        request = {**request_json(change.request), **kept}
    decision = decision_json(change.decision) if change.decision else dict(seen.decision)
    return turn.decide(
        {
            "case_id": case.id,
            "reader_version": "person",
            "request": {**request, "ask": NO_ASK},
            "facts": facts_json(change.facts) if change.facts else seen.facts,
            "decision": {**decision, "state": _state(change) or case.state},
        }
    )


def store_verdict(
    connection: Connection, verdict: Verdict, case: AnyRow, key: str, decided: int | None
) -> int:
    before = {name: getattr(case, name) for name in RESTORED}
    before["deadline"] = case.deadline.isoformat() if case.deadline else None
    before["marks"] = _marks(connection, case.id)
    row = {
        "key": key,
        "case_id": case.id,
        "version": case.version,
        "new_version": case.version + 1,
        "decision_id": case.decision_id,
        "new_decision_id": decided,
        "action": verdict.action,
        "by": verdict.by,
        "at": verdict.at,
        "reason": verdict.reason,
        "overrides": list(verdict.overrides),
        "details": _plain(verdict.details),
        "before": before,
    }
    number = int(connection.scalars(insert(verdicts).returning(verdicts.c.id), [row]).one())
    rows = [
        {
            "verdict_id": number,
            "field": item.field,
            "before": {"value": item.before},  # wrapped, for None is a value here
            "after": {"value": item.after},
            "differs": dump_json(item.before) != dump_json(item.after),
        }
        for item in verdict.corrections
    ]
    if rows:
        connection.execute(insert(corrections), rows)
    return number


def _change_case(
    connection: Connection,
    case: AnyRow,
    seen: AnyRow,
    change: Change,
    decided: int | None,
    now: datetime,
) -> None:
    values: dict[str, Any] = {"version": case.version + 1, "changed_at": now}
    if decided is not None:
        values["decision_id"] = decided
    if decision := change.decision:
        values |= standing_of(decision)
    if state := _state(change):
        values |= {"state": state, "open": state not in CLOSED}
    if change.request is not None:
        values |= {"kind": change.request.kind, "confidence": change.request.confidence}
    if facts := change.facts:
        told = facts_json(facts)
        values |= {name: told[name] for name in ("session_id", "therapist_id", "client_id")}
    connection.execute(update(cases).where(cases.c.id == seen.case_id).values(**values))


def _mark(connection: Connection, verdict: Verdict, case: AnyRow, decided: int | None) -> None:
    """Put assignee or snooze on the case; both are the staff's own business."""
    found = dict(_marks(connection, case.id))
    details = _plain(verdict.details)
    if verdict.action == "assign":
        found["assignee"] = str(details.get("assignee", ""))
    elif verdict.action == "snooze":
        found["snoozed_until"] = details.get("until")
        found["snoozed_at_decision"] = decided or case.decision_id
    else:
        return
    put_marks(connection, case.id, found)


def _marks(connection: Connection, case_id: int) -> dict[str, Any]:
    row = connection.execute(select(marks).where(marks.c.case_id == case_id)).one_or_none()
    if row is None:
        return {"assignee": "", "snoozed_until": None, "snoozed_at_decision": None}
    until = row.snoozed_until.isoformat() if row.snoozed_until else None
    return {
        "assignee": row.assignee,
        "snoozed_until": until,
        "snoozed_at_decision": row.snoozed_at_decision,
    }


def put_marks(connection: Connection, case_id: int, found: Mapping[str, Any]) -> None:
    until = found["snoozed_until"]
    values = {**found, "snoozed_until": datetime.fromisoformat(until) if until else None}
    changed = connection.execute(update(marks).where(marks.c.case_id == case_id).values(**values))
    if not changed.rowcount:
        connection.execute(insert_new(connection, marks, case_id=case_id, **values))
