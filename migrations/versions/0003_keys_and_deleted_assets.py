"""Idempotency keys have a table of their own, a job has one asset at the most, and assets can be deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("world_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_idempotency_keys_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("world_id", "key"),
    )
    op.execute(
        "INSERT INTO idempotency_keys (world_id, key, job_id)"
        " SELECT world_id, idempotency_key, id FROM jobs WHERE idempotency_key IS NOT NULL"
    )
    op.drop_index("uq_jobs_idempotency_key", table_name="jobs")
    op.drop_index("uq_assets_ready", table_name="assets")
    op.drop_index("ix_assets_job", table_name="assets")
    op.create_index("uq_assets_job", "assets", ["job_id"], unique=True)
    op.create_index("ix_assets_status", "assets", ["status", "id"])
    op.add_column("assets", sa.Column("content_removed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        "ck_assets_content_removed", "assets", "content_removed_at IS NULL OR status = 'DELETED'"
    )
    op.create_index(
        "ix_assets_content_to_remove",
        "assets",
        ["id"],
        postgresql_where=sa.text("status = 'DELETED' AND content_removed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_assets_content_to_remove", table_name="assets")
    op.drop_constraint("ck_assets_content_removed", "assets")
    op.drop_column("assets", "content_removed_at")
    op.drop_index("ix_assets_status", table_name="assets")
    op.drop_index("uq_assets_job", table_name="assets")
    op.create_index("ix_assets_job", "assets", ["job_id"])
    op.create_index(
        "uq_assets_ready", "assets", ["job_id"], unique=True, postgresql_where=sa.text("status = 'READY'")
    )
    op.create_index(
        "uq_jobs_idempotency_key",
        "jobs",
        ["world_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.drop_table("idempotency_keys")
