"""The writer's turn outside a batch: decisions of people, and the audit rows of what they do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, update

from store.audit import AuditEvent, sealed_row
from store.ledger import take_turn
from store.schema import audit, decisions, ledger


class Turn:
    """The right to write, from here to the end of the transaction; call ``end`` before it."""

    def __init__(self, connection: Connection, actor: str, now: datetime) -> None:
        self._connection, self._actor, self.now = connection, actor, now
        self._ledger = take_turn(connection)

    def decide(self, decision: Mapping[str, object], number: int | None = None) -> int:
        """Store a decision that no mail brought; its number, which may have been given before.

        *decision* is the rest of its row.
        """
        number = number or self.number_decision()
        # Without a message: mail may speak again of what a mail closed, never of what a person did.
        row = {"id": number, "message_id": None, "decided_at": self.now, **decision}
        self._connection.execute(insert(decisions), row)
        return number

    def number_decision(self) -> int:
        """The number of a decision that ``decide`` is to store."""
        self._ledger.decision_id += 1
        return self._ledger.decision_id

    def number_case(self) -> int:
        """The number of a case that is to be opened."""
        self._ledger.case_id += 1
        return self._ledger.case_id

    def tell(
        self, event: str, case_id: int | None, message_id: int | None = None, **detail: object
    ) -> None:
        """Add to the audit trail; *detail* is codes, ids and counts only."""
        self._ledger.audit_id += 1
        happened = AuditEvent(
            self._ledger.audit_id, self.now, self._actor, event, case_id, message_id, detail
        )
        row = sealed_row(self._ledger.audit_hash, happened)
        self._ledger.audit_hash = str(row["hash"])
        self._connection.execute(insert(audit), row)

    def end(self) -> None:
        turn = self._ledger
        self._connection.execute(
            update(ledger).values(
                case_id=turn.case_id,
                decision_id=turn.decision_id,
                audit_id=turn.audit_id,
                audit_hash=turn.audit_hash,
            )
        )
