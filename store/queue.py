"""What people look at: queues, cases with their whole story, messages, quarantine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from store.audit import AuditEvent, event_from
from store.columns import AnyRow
from store.conversations import asks_of
from store.outgoing_schema import marks
from store.rows import AT_ONCE
from store.schema import audit, cases, decisions, folders, messages, quarantine, raws
from store.sealing import is_unopened
from store.values import DAMAGED, decision_from, email_from, proposals_from, request_from
from triage.records import Decision, Email, MessageKey, Proposal, Request

#: What is left to the ordinary inbox is shown to those who ask for it, unless somebody has to check
#: whether it belongs there.
OURS: Final = or_(cases.c.queue != "general", cases.c.state == "check")


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as a queue shows it: where it stands, why, and what to do next.

    ``request`` is the request as last merged, ``decision`` the last one made on it.
    """

    case_id: int
    therapist_id: str
    session_id: str
    client_id: str
    sender: str
    sender_authenticated: bool
    opened_at: datetime
    changed_at: datetime
    version: int
    request: Request
    decision: Decision
    proposals: tuple[Proposal, ...]
    message_ids: tuple[str, ...]
    sender_is: str = ""  # how the last sender stands to the session, as in ``CaseFacts``
    assignee: str = ""
    snoozed_until: datetime | None = None  # None again as soon as a new decision is made
    decision_id: int = 0  # that which stands; an undo goes back to an earlier one
    channels: tuple[str, ...] = ()  # "email", "chat" or both, by which its messages came


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it was read, and where its bytes are."""

    id: int
    digest: str
    email: Email
    queue: str
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One decision of a case's history, and the message that brought it."""

    id: int
    message: int | None
    decided_at: datetime
    reader_version: str
    request: Request
    decision: Decision


@dataclass(frozen=True, slots=True)
class CaseStory:
    """Everything about one case: its mails in the order of writing, what was decided as it came."""

    case: CaseRow
    messages: tuple[StoredMessage, ...]
    decisions: tuple[StoredDecision, ...]
    audit: tuple[AuditEvent, ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that could not be read; its bytes are under ``digest``."""

    id: int
    key: MessageKey
    digest: str  # "" where no bytes were ever had
    received_at: datetime | None  # None where the bytes are gone
    cause: str
    detail: str
    attempts: int
    quarantined_at: datetime
    tried_at: datetime


def case_rows(connection: Connection, query: Select[Any]) -> list[CaseRow]:
    """The cases that *query* (made by ``cases_query``) selects, in its order."""
    rows = connection.execute(query).all()
    threads = _threads(connection, {row.id: row.request for row in rows})
    return [_case_row(row, threads.get(row.id, {})) for row in rows]


def cases_query(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Cases with their last decision, the most pressing first."""
    return (
        select(
            cases, decisions.c.request, decisions.c.facts, decisions.c.decision,
            marks.c.assignee, marks.c.snoozed_until, marks.c.snoozed_at_decision,
        )
        .join_from(cases, decisions, decisions.c.id == cases.c.decision_id)
        .join(marks, marks.c.case_id == cases.c.id, isouter=True)
        .where(*conditions)
        .order_by(
            cases.c.safeguarding.desc(),
            cases.c.priority,
            cases.c.deadline.is_(None),
            cases.c.deadline,
            cases.c.id,
        )
    )  # fmt: skip


def queue_conditions(
    *,
    queue: str | None,
    state: str | None,
    blocker: str | None,
    due_before: datetime | None,
    include_closed: bool,
) -> list[ColumnElement[bool]]:
    wanted = [OURS if queue is None else cases.c.queue == queue]
    if state is not None:
        wanted.append(cases.c.state == state)
    if blocker is not None:
        wanted.append(cases.c.blockers.contains(f";{blocker};", autoescape=True))
    if due_before is not None:
        wanted.append(cases.c.deadline < due_before)
    if not include_closed and state is None:
        wanted.append(cases.c.open)
    return wanted


def _decision_of(row: AnyRow) -> Decision:
    """The latest decision on a case; where it is damaged, what the case's own row tells of it."""
    if not any(map(is_unopened, (row.request, row.facts, row.decision))):
        return decision_from(row.decision)
    return Decision(
        queue=row.queue,
        state="check" if row.open else row.state,
        blockers=tuple(filter(None, row.blockers.split(";"))),
        deadline=row.deadline,
        priority=row.priority,
        reasons=(DAMAGED,),
        safeguarding=row.safeguarding,
        guarantee=row.guarantee,
    )


def _case_row(row: AnyRow, thread: Mapping[str, str]) -> CaseRow:
    return CaseRow(
        case_id=row.id,
        therapist_id=row.therapist_id,
        session_id=row.session_id,
        client_id=row.client_id,
        sender=row.sender,
        sender_authenticated=row.sender_authenticated,
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        version=row.version,
        request=request_from(row.request),
        decision=_decision_of(row),
        proposals=proposals_from(row.facts),
        message_ids=tuple(thread),
        sender_is="" if is_unopened(row.facts) else row.facts.get("sender_is", ""),
        assignee=row.assignee or "",
        snoozed_until=row.snoozed_until if row.snoozed_at_decision == row.decision_id else None,
        decision_id=row.decision_id,
        channels=tuple(sorted(set(thread.values()), reverse=True)),
    )


def _threads(
    connection: Connection, latest: Mapping[int, Mapping[str, Any]]
) -> dict[int, dict[str, str]]:
    """The Message-IDs of each case, in the order of writing where mails came out of it.

    Each with the channel by which its message came.
    """
    ids = list(latest)
    found: dict[int, dict[int, tuple[str, str]]] = defaultdict(dict)
    for start in range(0, len(ids), AT_ONCE):
        query = (
            select(
                decisions.c.case_id, messages.c.id, messages.c.message_id, messages.c.channel
            )
            .join_from(decisions, messages, messages.c.id == decisions.c.message_id)
            .where(decisions.c.case_id.in_(ids[start : start + AT_ONCE]))
            .order_by(decisions.c.id)
        )  # fmt: skip
        for case_id, number, message_id, channel in connection.execute(query):
            found[case_id].setdefault(number, (message_id, channel))
    threads = {}
    for case_id, mails in found.items():
        order = [number for number, _ in asks_of(latest[case_id], mails)]
        threads[case_id] = dict(mails[n] for n in order if n in mails)
    return threads


def case_story(connection: Connection, case_id: int) -> CaseStory | None:
    """The case with its messages, decisions and audit rows, None where there is none."""
    found = case_rows(connection, cases_query(cases.c.id == case_id))
    if not found:
        return None
    history = connection.execute(
        select(decisions).where(decisions.c.case_id == case_id).order_by(decisions.c.id)
    ).all()
    ids = {row.message_id for row in history if row.message_id is not None}
    # The last decision of all may be one that was taken back, with mails that went again.
    standing = connection.scalar(select(cases.c.decision_id).where(cases.c.id == case_id))
    latest = next(row.request for row in history if row.id == standing)
    order = {n: i for i, (n, _) in enumerate(asks_of(latest, sorted(ids)))}
    mail = sorted(
        connection.execute(select(messages).where(messages.c.id.in_(order))),
        key=lambda row: order[row.id],
    )
    told = connection.execute(
        select(audit)
        .where((audit.c.case_id == case_id) | audit.c.message_id.in_(ids))
        .order_by(audit.c.id)
    )
    # A message of two requests is told of in both cases, each with its own events only.
    events = [event_from(row) for row in told if row.case_id in {None, case_id}]
    return CaseStory(
        case=found[0],
        messages=tuple(stored_message(row) for row in mail),
        decisions=tuple(_stored_decision(row) for row in history),
        audit=tuple(events),
    )


def stored_message(row: AnyRow) -> StoredMessage:
    return StoredMessage(row.id, row.digest, email_from(row), row.queue, row.stored_at)


def _stored_decision(row: AnyRow) -> StoredDecision:
    return StoredDecision(
        row.id,
        row.message_id,
        row.decided_at,
        row.reader_version,
        request_from(row.request),
        decision_from(row.decision),
    )


def quarantine_conditions(
    *,
    cause: str | None,
    before: datetime | None,
    digest: str | None,
    ids: Collection[int] | None,
) -> list[ColumnElement[bool]]:
    """What ``Store.quarantined`` is asked, None being whatever it is."""
    wanted: list[ColumnElement[bool]] = []
    if cause is not None:
        wanted.append(quarantine.c.cause == cause)
    if before is not None:
        wanted.append(quarantine.c.quarantined_at < before)
    if digest is not None:
        wanted.append(quarantine.c.digest.startswith(digest, autoescape=True))
    if ids is not None:
        wanted.append(quarantine.c.id.in_(ids))
    return wanted


def quarantined(connection: Connection, *conditions: ColumnElement[bool]) -> list[Quarantined]:
    """Messages in quarantine, the longest there first."""
    query = (
        select(quarantine, folders.c.source, folders.c.folder, raws.c.received_at)
        .join_from(quarantine, folders)
        .join(raws, raws.c.digest == quarantine.c.digest, isouter=True)
        .where(*conditions)
        .order_by(quarantine.c.id)
    )
    return [
        Quarantined(
            row.id,
            MessageKey(row.source, row.folder, row.uidvalidity, row.uid),
            row.digest or "",
            row.received_at,
            row.cause,
            row.detail,
            row.attempts,
            row.quarantined_at,
            row.tried_at,
        )
        for row in connection.execute(query)
    ]
