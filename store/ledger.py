"""The writer's turn: who holds it hands out numbers and continues the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from store.schema import ledger


@dataclass(slots=True)
class Counters:
    """The ledger's counters while we hold it."""

    message_id: int
    case_id: int
    decision_id: int
    quarantine_id: int
    audit_id: int
    audit_hash: str


def take_turn(connection: Connection) -> Counters:
    """Wait for the writer's turn; it lasts until the transaction ends."""
    query = select(*(ledger.c[name] for name in Counters.__slots__))
    return Counters(*connection.execute(query.with_for_update()).one())
