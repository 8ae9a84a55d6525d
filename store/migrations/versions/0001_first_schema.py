"""The first schema."""

from alembic import op

from store.schema import ledger, metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    op.bulk_insert(
        ledger,
        [
            {
                "id": 1,
                "message_id": 0,
                "case_id": 0,
                "decision_id": 0,
                "quarantine_id": 0,
                "audit_id": 0,
                "audit_hash": "0" * 64,
            }
        ],
    )
