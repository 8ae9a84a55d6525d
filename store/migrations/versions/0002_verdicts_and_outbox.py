"""What people decide, and what leaves the system because of it."""

import sqlalchemy as sa
from alembic import op

from store.columns import CleanText, JsonText, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "verdicts",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("new_version", sa.Integer(), nullable=False),
        sa.Column("decision_id", ID, nullable=False),
        sa.Column("new_decision_id", ID, nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("by", CleanText(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("reason", CleanText(), nullable=False),
        sa.Column("overrides", JsonText(), nullable=False),
        sa.Column("details", JsonText(), nullable=False),
        sa.Column("before", JsonText(), nullable=False),
        sa.Column("undone_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
        sa.UniqueConstraint("key", name="uq_verdicts_key"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_verdicts_case_id"),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"], name="fk_verdicts_decision_id"),
        sa.ForeignKeyConstraint(
            ["new_decision_id"], ["decisions.id"], name="fk_verdicts_new_decision_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_verdicts_at", "verdicts", ["at"], unique=False)
    op.create_index("ix_verdicts_case_id", "verdicts", ["case_id"], unique=False)
    op.create_table(
        "corrections",
        sa.Column("verdict_id", ID, nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("before", JsonText(), nullable=False),
        sa.Column("after", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("verdict_id", "field", name="pk_corrections"),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdicts.id"], name="fk_corrections_verdict_id"),
    )
    op.create_table(
        "marks",
        sa.Column("case_id", ID, autoincrement=False, nullable=False),
        sa.Column("assignee", CleanText(), nullable=False),
        sa.Column("snoozed_until", UtcTime(), nullable=True),
        sa.Column("snoozed_at_decision", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name="pk_marks"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_marks_case_id"),
    )
    _outbox()


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", CleanText(), nullable=False),
        sa.Column("verdict_id", ID, nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("action", CleanText(), nullable=False),
        sa.Column("session_id", CleanText(), nullable=True),
        sa.Column("payload", JsonText(), nullable=False),
        sa.Column("message_id", CleanText(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("not_before", UtcTime(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("note", CleanText(), nullable=False),
        sa.Column("changed_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdicts.id"], name="fk_outbox_verdict_id"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_outbox_case_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_case_id", "outbox", ["case_id"], unique=False)
    op.create_index("ix_outbox_verdict_id", "outbox", ["verdict_id"], unique=False)
    op.create_index("ix_outbox_due", "outbox", ["state", "channel", "due_at"], unique=False)
    live = sa.text("state <> 'taken_back'")
    op.create_index(
        "uq_outbox_key", "outbox", ["key"], unique=True, sqlite_where=live, postgresql_where=live
    )
    effect = sa.text("channel = 'platform' AND state <> 'taken_back'")
    op.create_index(
        "uq_outbox_session_action",
        "outbox",
        ["session_id", "action"],
        unique=True,
        sqlite_where=effect,
        postgresql_where=effect,
    )
