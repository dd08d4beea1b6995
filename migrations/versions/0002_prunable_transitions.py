"""Pruning keeps the last transition of a job, and looks only at those that may go."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_transitions_at", table_name="transitions")
    op.create_index(
        "ix_transitions_prunable",
        "transitions",
        ["at"],
        postgresql_where=sa.text("status IN ('PROCESSING', 'QUEUED', 'RETRYING')"),
    )


def downgrade() -> None:
    op.drop_index("ix_transitions_prunable", table_name="transitions")
    op.create_index("ix_transitions_at", "transitions", ["at"])
