"""The outbox is read by due time: jobs that are to run much later do not stand in the way of the others."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WAITING = sa.text("sent_at IS NULL AND status IN ('QUEUED', 'RETRYING')")


def upgrade() -> None:
    op.drop_index("ix_jobs_outbox", table_name="jobs")
    op.create_index("ix_jobs_outbox", "jobs", [sa.text("coalesce(run_at, created_at)")], postgresql_where=WAITING)


def downgrade() -> None:
    op.drop_index("ix_jobs_outbox", table_name="jobs")
    op.create_index("ix_jobs_outbox", "jobs", ["id"], postgresql_where=WAITING)
