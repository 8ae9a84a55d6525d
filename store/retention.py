"""What is kept no longer than it was said to be: a kind at a time, a few hundred at a time.

Each step is a transaction of its own with its row on the audit trail, so that nobody waits long and
whoever is stopped goes on where they were. Mail that went is not fetched again: a tombstone is in
its place. The audit trail and the access log are not here: they hold ids, and only grow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, Select, delete, exists, func, select, update

from store.cascade import cascade
from store.columns import AnyRow
from store.database import Database, insert_new
from store.erasure_schema import texts_gone
from store.outgoing_schema import corrections, outbox, second_looks, verdicts
from store.persons import among, cases_of, mails_of
from store.presence_schema import bulk_steps, bulks
from store.schema import cases, decisions, messages, places, quarantine, raws, runs
from store.sweeping import change_row, forget_readings
from store.tombstones import Tombstones
from store.writing import Turn
from triage.records import ERASED_IN_PART

Kind = Literal["raw", "closed", "general", "quarantine", "bulks", "runs"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: At once, in one transaction.
STEP: Final = 300
#: Fields of a request that are people's words.
_FREE: Final = ("client_ref", "notification_evidence")


@dataclass(frozen=True, slots=True)
class Due:
    """A kind whose time is up before *before*: how many, and of which table what went."""

    kind: Kind
    before: datetime
    count: int
    gone: Mapping[str, int]


def purge(
    database: Database,
    days: Mapping[Kind, int | None],
    by: str,
    now: datetime,
    *,
    dry_run: bool = False,
) -> Iterator[Due]:
    """Delete what is due, kind by kind; with *dry_run* only count it."""
    for kind, kept in days.items():
        if kept is None:
            continue
        before = now - timedelta(days=kept)
        if dry_run:
            with database.reading() as connection:
                count = connection.scalar(
                    select(func.count()).select_from(_DUE[kind](before).subquery())
                )
            yield Due(kind, before, count or 0, {})
            continue
        gone: Counter[str] = Counter()
        count = 0
        while done := _step(database, kind, before, by, now, gone):
            count += done
        yield Due(kind, before, count, dict(+gone))


def _step(
    database: Database, kind: Kind, before: datetime, by: str, now: datetime, gone: Counter[str]
) -> int:
    with database.writing() as connection:
        turn = Turn(connection, by, now)
        due = connection.execute(_DUE[kind](before).limit(STEP)).scalars().all()
        if not due:
            return 0
        counted = _DO[kind](connection, due, now)
        turn.tell("purged", None, kind=kind, count=len(due), gone=dict(+counted))
        turn.end()
    gone.update(counted)
    return len(due)


# --- what is due ----------------------------------------------------------------------------------


def _open_case_of(digest: Any) -> Any:  # noqa: ANN401 - expressions of SQLAlchemy
    return exists().where(
        messages.c.digest == digest,
        decisions.c.message_id == messages.c.id,
        cases.c.id == decisions.c.case_id,
        cases.c.open,
    )


def _due_raw(before: datetime) -> Select[Any]:
    waits = exists().where(quarantine.c.digest == raws.c.digest)
    return select(raws.c.digest).where(
        raws.c.kept_at < before, ~waits, ~_open_case_of(raws.c.digest)
    )


def _due_closed(before: datetime) -> Select[Any]:
    gone = exists().where(texts_gone.c.case_id == cases.c.id)
    return select(cases.c.id).where(~cases.c.open, cases.c.changed_at < before, ~gone)


def _due_general(before: datetime) -> Select[Any]:
    other, told, beside = cases.alias(), decisions.alias(), decisions.alias()
    # A mail that another case tells of stays with it, and so does the case.
    shared = exists().where(
        told.c.case_id == cases.c.id,
        beside.c.message_id == told.c.message_id,
        other.c.id == beside.c.case_id,
        other.c.queue != "general",
    )
    judged = exists().where(verdicts.c.case_id == cases.c.id)
    return select(cases.c.id).where(
        cases.c.queue == "general",
        cases.c.state != "check",
        cases.c.changed_at < before,
        ~judged,
        ~shared,
    )


_DUE: Final[Mapping[Kind, Callable[[datetime], Select[Any]]]] = {
    "raw": _due_raw,
    "closed": _due_closed,
    "general": _due_general,
    "quarantine": lambda before: select(quarantine.c.id).where(
        quarantine.c.quarantined_at < before
    ),
    "bulks": lambda before: select(bulks.c.token).where(bulks.c.at < before),
    "runs": lambda before: select(runs.c.id).where(runs.c.finished_at < before),
}


# --- what goes ------------------------------------------------------------------------------------


def _bury(connection: Connection, digests: Sequence[str], now: datetime, outcome: str) -> int:
    Tombstones(connection).lay([("raw", digest) for digest in digests], now, None)
    forgotten = update(places).where(among(places.c.digest, digests))
    if outcome:
        connection.execute(forgotten.values(digest="", outcome=outcome))
    return connection.execute(delete(raws).where(among(raws.c.digest, digests))).rowcount


def _do_raw(connection: Connection, due: Sequence[Any], now: datetime) -> Counter[str]:
    return Counter(raws=_bury(connection, due, now, ""))


def _do_general(connection: Connection, due: Sequence[Any], now: datetime) -> Counter[str]:
    mails = sorted(mails_of(connection, due))
    beside = cases_of(connection, mails)
    alone = [mail for mail in mails if beside.get(mail, set()) <= {*due}]
    here = among(messages.c.id, alone)
    digests = list(connection.scalars(select(messages.c.digest).where(here)))
    counted = cascade(connection, {cases: due, messages: alone})
    counted["raws"] += _bury(connection, digests, now, "purged")
    return counted


def _do_quarantine(connection: Connection, due: Sequence[Any], now: datetime) -> Counter[str]:
    here = among(quarantine.c.id, due)
    digests = [one for one in connection.scalars(select(quarantine.c.digest).where(here)) if one]
    counted = Counter(quarantine=connection.execute(delete(quarantine).where(here)).rowcount)
    counted["raws"] += _bury(connection, digests, now, "purged")
    return counted


def _do_bulks(connection: Connection, due: Sequence[Any], _: datetime) -> Counter[str]:
    steps = connection.execute(delete(bulk_steps).where(among(bulk_steps.c.token, due))).rowcount
    lists = connection.execute(delete(bulks).where(among(bulks.c.token, due))).rowcount
    return Counter(bulk_steps=steps, bulks=lists)


def _do_runs(connection: Connection, due: Sequence[Any], _: datetime) -> Counter[str]:
    return Counter(runs=connection.execute(delete(runs).where(among(runs.c.id, due))).rowcount)


def _do_closed(connection: Connection, due: Sequence[Any], now: datetime) -> Counter[str]:
    """Take the words of cases and leave what was decided, in codes."""
    counted: Counter[str] = Counter()
    for case_id in due:
        connection.execute(insert_new(connection, texts_gone, case_id=case_id, at=now))
        for table, here in _words_of(case_id):
            for row in connection.execute(select(table).where(here)).all():
                connection.execute(change_row(table, row, _WORDLESS[table](row)))
                counted[table.name] += 1
    mails = mails_of(connection, due)
    beside = cases_of(connection, mails)
    others = {one for numbers in beside.values() for one in numbers}
    done = set(
        connection.scalars(
            select(texts_gone.c.case_id).where(among(texts_gone.c.case_id, sorted(others)))
        )
    )
    for mail in sorted(mails):
        if beside.get(mail, set()) <= done:
            row = connection.execute(select(messages).where(messages.c.id == mail)).one()
            connection.execute(change_row(messages, row, _mail_without_words(row)))
            forget_readings(connection, mail)
            counted["messages"] += 1
            counted["raws"] += _bury(connection, [row.digest], now, "")
    return counted


def _words_of(case_id: int) -> Iterator[tuple[Any, Any]]:
    given = select(verdicts.c.id).where(verdicts.c.case_id == case_id)
    yield decisions, decisions.c.case_id == case_id
    yield verdicts, verdicts.c.case_id == case_id
    yield corrections, corrections.c.verdict_id.in_(given) & corrections.c.field.in_(_FREE)
    yield second_looks, second_looks.c.verdict_id.in_(given)
    leaving = outbox.c.state.in_(("waiting", "held", "sending"))
    yield outbox, (outbox.c.case_id == case_id) & ~leaving


def _mail_without_words(row: AnyRow) -> dict[str, Any]:
    nothing = {"sender_name": "", "reply_to": [], "recipients": [], "attachments": []}
    defects = [one for one in row.details["defects"] if one != ERASED_IN_PART]
    details = {**row.details, **nothing, "defects": [*defects, ERASED_IN_PART]}
    texts = dict.fromkeys(("subject", "new_text", "quoted_text", "signature"), "")
    return {**texts, "sender": row.sender, "details": details}


def _request_without_words(request: Mapping[str, Any]) -> dict[str, Any]:
    left = {**request, "client_ref": None, "notification_evidence": ""}
    left["findings"] = [
        {**one, "span": None} for one in request.get("findings", ()) if one["label"] not in _FREE
    ]
    return left | ({"said": _request_without_words(request["said"])} if "said" in request else {})


def _decision_without_words(row: AnyRow) -> dict[str, Any]:
    facts = {**row.facts, "disagreements": [], "proposals": []}
    decision = {**row.decision, "reasons": [], "draft": None}
    return {
        "request": _request_without_words(row.request),
        "facts": facts,
        "decision": {**decision, "alternatives": []},
    }


_WORDLESS: Final[Mapping[Any, Callable[[AnyRow], dict[str, Any]]]] = {
    decisions: _decision_without_words,
    verdicts: lambda _: {"reason": "", "details": {}},
    corrections: lambda _: {"before": {"value": None}, "after": {"value": None}},
    second_looks: lambda _: {"words": ""},
    outbox: lambda _: {"payload": {}},
}
_DO: Final[Mapping[Kind, Callable[[Connection, Sequence[Any], datetime], Counter[str]]]] = {
    "raw": _do_raw,
    "closed": _do_closed,
    "general": _do_general,
    "quarantine": _do_quarantine,
    "bulks": _do_bulks,
    "runs": _do_runs,
}
