"""What the review page needs: searching, views that people keep, who is looking, who signs in."""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Each part is a function of its own."""
