"""What years of use with health data need."""

import secrets

import sqlalchemy as sa
from alembic import op

from store.columns import CleanText, JsonText, UtcTime
from store.search_schema import index_sealed_words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Each part is a function of its own."""
    _alerts()
    _shadow()
    _exports()
    _erasure()
    _sealing()
    _livechat()


def _sealing() -> None:
    op.create_table(
        "sealing",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("writing", sa.Text(), nullable=False),
        sa.Column("takes_plain", sa.Boolean(), nullable=False),
        sa.Column("cleaned", sa.Boolean(), nullable=False),
        sa.Column("words", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sealing"),
    )
    op.create_table(
        "sealing_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sealing_keys"),
    )
    op.add_column(
        "corrections",
        sa.Column("differs", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
    op.execute("UPDATE corrections SET differs = (before <> after)")
    op.add_column("messages", sa.Column("words", sa.Text(), nullable=True))
    index_sealed_words(op.get_bind())


def _shadow() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "shadow_candidates",
        sa.Column("id", number, nullable=False),
        sa.Column("name", CleanText(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("first_at", UtcTime(), nullable=False),
        sa.Column("tried_at", UtcTime(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_candidates"),
        sa.UniqueConstraint("name", "digest", name="uq_shadow_candidates_name_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_shadow_candidates_tried_at", "shadow_candidates", ["tried_at"])
    op.create_table(
        "shadow_readings",
        sa.Column("id", number, nullable=False),
        sa.Column("candidate_id", number, nullable=False),
        sa.Column("message_id", number, nullable=False),
        sa.Column("champion", CleanText(), nullable=False),
        sa.Column("stored_at", UtcTime(), nullable=False),
        sa.Column("read_at", UtcTime(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("pairs", JsonText(), nullable=False),
        sa.Column("differences", JsonText(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("worst", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_readings"),
        sa.UniqueConstraint(
            "candidate_id", "message_id", name="uq_shadow_readings_candidate_id_message_id"
        ),
        sa.ForeignKeyConstraint(
            ["candidate_id"], ["shadow_candidates.id"], name="fk_shadow_readings_candidate_id"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_shadow_readings_message_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_shadow_readings_message_id", "shadow_readings", ["message_id"])
    op.create_index(
        "ix_shadow_readings_worst", "shadow_readings", ["candidate_id", "worst", "message_id"]
    )
    op.create_table(
        "shadow_verdicts",
        sa.Column("id", number, nullable=False),
        sa.Column("reading_id", number, nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("ask", sa.Integer(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("by", CleanText(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("words", CleanText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_verdicts"),
        sa.ForeignKeyConstraint(
            ["reading_id"], ["shadow_readings.id"], name="fk_shadow_verdicts_reading_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_shadow_verdicts_reading_id", "shadow_verdicts", ["reading_id"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("about", CleanText(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("told_at", UtcTime(), nullable=True),
        sa.Column("well_since", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("way", "code", "about", name="pk_alerts"),
    )
    op.add_column("runs", sa.Column("stored", sa.Integer(), nullable=True))
    op.create_index("ix_messages_run_id", "messages", ["run_id"], unique=False)


def _exports() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "exports",
        sa.Column("id", number, nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("by", CleanText(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("recipient", CleanText(), nullable=False),
        sa.Column("what", JsonText(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("with_text", sa.Boolean(), nullable=False),
        sa.Column("reason", CleanText(), nullable=False),
        sa.Column("since", UtcTime(), nullable=True),
        sa.Column("until", UtcTime(), nullable=True),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("folder", CleanText(), nullable=False),
        sa.Column("secret_id", sa.BigInteger(), nullable=False),
        sa.Column("files", JsonText(), nullable=False),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("deleted_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_exports"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_exports_expires_at", "exports", ["expires_at"])
    op.create_table(
        "export_secrets",
        sa.Column("id", number, nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_export_secrets"),
        sqlite_autoincrement=True,
    )


def _erasure() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    key = op.create_table(
        "tombstone_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tombstone_key"),
    )
    op.create_table(
        "tombstones",
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("erasure_id", sa.BigInteger(), nullable=True),
        sa.Column("laid_at", UtcTime(), nullable=False),
        sa.Column("blocked", sa.Integer(), nullable=False),
        sa.Column("blocked_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("mark", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_kind", "tombstones", ["kind"], unique=False)
    op.create_table(
        "erasures",
        sa.Column("id", number, nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("by", CleanText(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("told", JsonText(), nullable=False),
        sa.Column("washed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "texts_gone",
        sa.Column("case_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name="pk_texts_gone"),
    )
    # Every backup from here on has the same key, so that erasures can be repeated after a restore.
    op.bulk_insert(key, [{"id": 1, "key": secrets.token_bytes(32)}])


def _livechat() -> None:
    op.create_table(
        "chat_calls",
        sa.Column("conversation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("heard_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("conversation", name="pk_chat_calls"),
    )
