"""The audit trail: append-only rows, each sealed with the one before it.

A row's hash covers the hash before it, so that a row changed, removed or slipped in later breaks
every seal after it. Rows hold ids, codes and counts, never words of a message.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from store.columns import AnyRow, clean, dump_json
from store.schema import audit, ledger

#: The seal before the first row.
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened, and who did it."""

    id: int
    at: datetime
    actor: str
    event: str
    case_id: int | None
    message_id: int | None
    detail: dict[str, Any]


def sealed_row(previous: str, event: AuditEvent) -> dict[str, object]:
    """The row for *event*, sealed onto the hash *previous*."""
    row: dict[str, object] = {
        "id": event.id,
        "at": event.at.astimezone(UTC),
        "actor": clean(event.actor),
        "event": event.event,
        "case_id": event.case_id,
        "message_id": event.message_id,
        "detail": dump_json(event.detail),
    }
    row["hash"] = _seal(previous, row)
    return row


def _seal(previous: str, row: dict[str, Any]) -> str:
    told = [
        row["id"],
        row["at"].isoformat(),
        row["actor"],
        row["event"],
        row["case_id"],
        row["message_id"],
        row["detail"],
    ]
    return hashlib.sha256(f"{previous}\n{dump_json(told)}".encode()).hexdigest()


def first_broken(connection: Connection) -> int | None:
    """The id of the first row that does not follow from those before it, None when all do.

    The ledger knows the last one, so that rows cut off the end show too.
    """
    last, head = connection.execute(select(ledger.c.audit_id, ledger.c.audit_hash)).one()
    previous, expected = GENESIS, 1
    query = select(audit).where(audit.c.id <= last).order_by(audit.c.id)
    with connection.execute(query.execution_options(yield_per=1_000)) as rows:
        for row in rows:
            if row.id != expected or row.hash != _seal(previous, dict(row._mapping)):  # noqa: SLF001 - SQLAlchemy's public name for it
                return expected
            previous, expected = row.hash, expected + 1
    return None if (expected - 1, previous) == (last, head) else expected


def event_from(row: AnyRow) -> AuditEvent:
    """The event of a row of ``audit``."""
    detail = json.loads(row.detail)
    return AuditEvent(row.id, row.at, row.actor, row.event, row.case_id, row.message_id, detail)
