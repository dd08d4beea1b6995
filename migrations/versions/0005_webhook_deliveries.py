"""What webhooks are to be told, and what became of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WEBHOOK_STATUS = postgresql.ENUM("PENDING", "DELIVERED", "FAILED", name="webhook_status", create_type=False)


def upgrade() -> None:
    WEBHOOK_STATUS.create(op.get_bind())
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("status", WEBHOOK_STATUS, server_default="PENDING", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=True,
        ),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("tries", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("attempts BETWEEN 0 AND 10", name="ck_webhook_deliveries_attempts"),
        sa.CheckConstraint(
            "(next_attempt_at IS NOT NULL) = (status = 'PENDING')", name="ck_webhook_deliveries_next_attempt"
        ),
        sa.CheckConstraint("lease_expires_at IS NULL OR status = 'PENDING'", name="ck_webhook_deliveries_lease"),
        sa.CheckConstraint(
            "(delivered_at IS NOT NULL) = (status = 'DELIVERED')", name="ck_webhook_deliveries_delivered_at"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_webhook_deliveries_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_webhook_deliveries_job", "webhook_deliveries", ["job_id", "seq"], unique=True)
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_attempt_at"],
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_index(
        "ix_webhook_deliveries_ended",
        "webhook_deliveries",
        ["created_at"],
        postgresql_where=sa.text("status <> 'PENDING'"),
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    WEBHOOK_STATUS.drop(op.get_bind())
