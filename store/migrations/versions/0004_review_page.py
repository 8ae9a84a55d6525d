"""What the review page needs: searching, views that people keep, who is looking, who signs in."""

import sqlalchemy as sa
from alembic import op

from store.append_only import append_only
from store.columns import CleanText, JsonText, UtcTime
from store.search_schema import index_cases

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Each part is a function of its own."""
    _audit_only_grows()
    _presence()
    _bulks()
    _signing_in()
    _overview()
    _searching()
    _holding()


def _audit_only_grows() -> None:
    for statement in append_only("audit", op.get_bind().dialect.name):
        op.execute(statement)


def _presence() -> None:
    op.create_table(
        "presence",
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("who", CleanText(), nullable=False),
        sa.Column("writing", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("visit", name="pk_presence"),
    )
    op.create_index("ix_presence_case_id", "presence", ["case_id"], unique=False)
    op.create_index("ix_presence_seen_at", "presence", ["seen_at"], unique=False)


def _bulks() -> None:
    op.create_table(
        "bulks",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("by", CleanText(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", CleanText(), nullable=False),
        sa.Column("details", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_bulks"),
    )
    op.create_index("ix_bulks_at", "bulks", ["at"], unique=False)
    op.create_table(
        "bulk_steps",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("told", JsonText(), nullable=False),
        sa.Column("new_version", sa.Integer(), nullable=True),
        sa.Column("undo_until", UtcTime(), nullable=True),
        sa.Column("undone", CleanText(), nullable=False),
        sa.PrimaryKeyConstraint("token", "case_id", name="pk_bulk_steps"),
        sa.ForeignKeyConstraint(["token"], ["bulks.token"], name="fk_bulk_steps_token"),
    )


def _signing_in() -> None:
    op.add_column("users", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("subject", CleanText(), nullable=True))
    op.create_index("uq_users_issuer_subject", "users", ["issuer", "subject"], unique=True)
    op.create_table(
        "invitations",
        sa.Column("id_hash", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("made_by", CleanText(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name="pk_invitations"),
        sa.UniqueConstraint("user_id", name="uq_invitations_user_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_invitations_user_id"),
    )
    op.create_table(
        "spent_answers",
        sa.Column("state_hash", sa.Text(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name="pk_spent_answers"),
    )
    op.create_index("ix_access_log_kind", "access_log", ["kind", "id"], unique=False)
    op.create_index("ix_access_log_at", "access_log", ["at"], unique=False)


def _overview() -> None:
    op.create_index("ix_messages_stored_at", "messages", ["stored_at", "queue", "automatic"])
    op.create_index("ix_decisions_reader_version", "decisions", ["reader_version", "decided_at"])
    op.create_index("ix_sessions_status", "sessions", ["status", "starts_at"])
    overridden = sa.text("overrides <> '[]'")
    op.create_index(
        "ix_verdicts_overridden",
        "verdicts",
        ["at"],
        sqlite_where=overridden,
        postgresql_where=overridden,
    )
    verdict_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "second_looks",
        sa.Column("verdict_id", verdict_id, autoincrement=False, nullable=False),
        sa.Column("by", CleanText(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.Column("words", CleanText(), nullable=False),
        sa.PrimaryKeyConstraint("verdict_id", name="pk_second_looks"),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdicts.id"], name="fk_second_looks_verdict_id"),
    )


def _searching() -> None:
    op.add_column("cases", sa.Column("confidence", sa.Float(), nullable=True))
    said = {"sqlite": "json_extract(request, '$.confidence')"}.get(
        op.get_bind().dialect.name, "(request::json ->> 'confidence')::float"
    )
    op.execute(
        f"UPDATE cases SET confidence = (SELECT {said} FROM decisions "
        "WHERE decisions.id = cases.decision_id)"
    )
    op.create_index(
        "ix_cases_waiting",
        "cases",
        [
            "safeguarding",
            "priority",
            "deadline",
            "id",
            "queue",
            "state",
            "blockers",
            "therapist_id",
            "confidence",
            "opened_at",
            "open",
        ],
        sqlite_where=sa.text("open = 1"),
        postgresql_where=sa.text("open"),
    )
    op.drop_index("ix_cases_open", "cases")
    op.create_index("ix_cases_state", "cases", ["state", "id"])
    op.create_index("ix_marks_assignee", "marks", ["assignee", "case_id"])
    op.create_table(
        "saved_views",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner", CleanText(), nullable=False),
        sa.Column("name", CleanText(), nullable=False),
        sa.Column("filters", JsonText(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_saved_views"),
        sa.UniqueConstraint("owner", "name", name="uq_saved_views_owner_name"),
        sqlite_autoincrement=True,
    )
    index_cases(op.get_bind())


def _holding() -> None:
    op.add_column("outbox", sa.Column("held_for", sa.BigInteger(), nullable=True))
