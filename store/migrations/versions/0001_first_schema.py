"""The first schema."""

import sqlalchemy as sa
from alembic import op

from store.columns import CleanText, JsonText, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("actor", CleanText(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", CleanText(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_case_id", "audit", ["case_id"], unique=False)
    op.create_index("ix_audit_message_id", "audit", ["message_id"], unique=False)
    op.create_table(
        "cases",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("blockers", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("session_id", CleanText(), nullable=False),
        sa.Column("therapist_id", CleanText(), nullable=False),
        sa.Column("client_id", CleanText(), nullable=False),
        sa.Column("sender", CleanText(), nullable=False),
        sa.Column("authenticated", sa.Boolean(), nullable=False),
        sa.Column("sender_authenticated", sa.Boolean(), nullable=False),
        sa.Column("safeguarding", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("deadline", UtcTime(), nullable=True),
        sa.Column("guarantee", sa.Text(), nullable=False),
        sa.Column("opened_at", UtcTime(), nullable=False),
        sa.Column("changed_at", UtcTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
    )
    op.create_index("ix_cases_client_id", "cases", ["client_id"], unique=False)
    op.create_index("ix_cases_open", "cases", ["open", "queue", "deadline"], unique=False)
    op.create_index("ix_cases_sender", "cases", ["sender"], unique=False)
    op.create_index("ix_cases_session_id", "cases", ["session_id"], unique=False)
    op.create_index("ix_cases_therapist_id", "cases", ["therapist_id"], unique=False)
    op.create_table(
        "clients",
        sa.Column("client_id", CleanText(), nullable=False),
        sa.Column("first_name", CleanText(), nullable=False),
        sa.Column("last_name", CleanText(), nullable=False),
        sa.Column("email", CleanText(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("gone_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("client_id", name="pk_clients"),
    )
    op.create_table(
        "folders",
        sa.Column("id", ID, nullable=False),
        sa.Column("source", CleanText(), nullable=False),
        sa.Column("folder", CleanText(), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("uid", sa.BigInteger(), nullable=True),
        sa.Column("since", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
        sa.UniqueConstraint("source", "folder", name="uq_folders_source_folder"),
    )
    op.create_table(
        "leases",
        sa.Column("name", CleanText(), nullable=False),
        sa.Column("owner", CleanText(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("signed", sa.Boolean(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("quarantine_id", sa.BigInteger(), nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_table(
        "messages",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("message_id", CleanText(), nullable=False),
        sa.Column("sender", CleanText(), nullable=False),
        sa.Column("authenticated", sa.Boolean(), nullable=False),
        sa.Column("sent_at", UtcTime(), nullable=False),
        sa.Column("stored_at", UtcTime(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("automatic", CleanText(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("subject", CleanText(), nullable=False),
        sa.Column("new_text", CleanText(), nullable=False),
        sa.Column("quoted_text", CleanText(), nullable=False),
        sa.Column("signature", CleanText(), nullable=False),
        sa.Column("details", JsonText(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint("digest", name="uq_messages_digest"),
    )
    op.create_index("ix_messages_message_id", "messages", ["message_id"], unique=False)
    op.create_table(
        "raws",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("kept_at", UtcTime(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_raws"),
    )
    op.create_table(
        "registry_imports",
        sa.Column("id", ID, nullable=False),
        sa.Column("imported_at", UtcTime(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("new", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("gone", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry_imports"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("status", CleanText(), nullable=False),
        sa.Column("sources", JsonText(), nullable=False),
        sa.Column("fetched", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("general", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.Integer(), server_default="0", nullable=False),
        sa.Column("already_known", sa.Integer(), server_default="0", nullable=False),
        sa.Column("vanished", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "session_history",
        sa.Column("id", ID, nullable=False),
        sa.Column("session_id", CleanText(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("starts_at", UtcTime(), nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session_history"),
    )
    op.create_index(
        "ix_session_history_session_id", "session_history", ["session_id"], unique=False
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", CleanText(), nullable=False),
        sa.Column("therapist_id", CleanText(), nullable=False),
        sa.Column("client_id", CleanText(), nullable=False),
        sa.Column("starts_at", UtcTime(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("gone_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_client_id", "sessions", ["client_id"], unique=False)
    op.create_index("ix_sessions_therapist_id", "sessions", ["therapist_id"], unique=False)
    op.create_table(
        "therapist_addresses",
        sa.Column("address", CleanText(), nullable=False),
        sa.Column("therapist_id", CleanText(), nullable=False),
        sa.PrimaryKeyConstraint("address", "therapist_id", name="pk_therapist_addresses"),
    )
    op.create_index(
        "ix_therapist_addresses_therapist_id", "therapist_addresses", ["therapist_id"], unique=False
    )
    op.create_table(
        "therapists",
        sa.Column("therapist_id", CleanText(), nullable=False),
        sa.Column("name", CleanText(), nullable=False),
        sa.Column("open_to_new", sa.Boolean(), nullable=False),
        sa.Column("lists", JsonText(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("gone_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("therapist_id", name="pk_therapists"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("message_id", ID, nullable=True),
        sa.Column("decided_at", UtcTime(), nullable=False),
        sa.Column("reader_version", CleanText(), nullable=False),
        sa.Column("request", JsonText(), nullable=False),
        sa.Column("facts", JsonText(), nullable=False),
        sa.Column("decision", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_decisions_case_id"),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name="fk_decisions_message_id"),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_case_id", "decisions", ["case_id"], unique=False)
    op.create_index("ix_decisions_message_id", "decisions", ["message_id"], unique=False)
    op.create_table(
        "places",
        sa.Column("folder_id", ID, nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["folder_id"], ["folders.id"], name="fk_places_folder_id"),
        sa.PrimaryKeyConstraint("folder_id", "uidvalidity", "uid", name="pk_places"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_places_digest", "places", ["digest"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("folder_id", ID, nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("cause", CleanText(), nullable=False),
        sa.Column("detail", CleanText(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("quarantined_at", UtcTime(), nullable=False),
        sa.Column("tried_at", UtcTime(), nullable=False),
        sa.UniqueConstraint("digest", name="uq_quarantine_digest"),
        sa.ForeignKeyConstraint(["folder_id"], ["folders.id"], name="fk_quarantine_folder_id"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_cause", "quarantine", ["cause"], unique=False)
    op.create_index(
        "uq_quarantine_place",
        "quarantine",
        ["folder_id", "uidvalidity", "uid"],
        unique=True,
        sqlite_where=sa.text("digest IS NULL"),
        postgresql_where=sa.text("digest IS NULL"),
    )
    op.execute(
        "INSERT INTO ledger (id, message_id, case_id, decision_id, quarantine_id, audit_id, "
        f"audit_hash) VALUES (1, 0, 0, 0, 0, 0, '{'0' * 64}')"
    )
