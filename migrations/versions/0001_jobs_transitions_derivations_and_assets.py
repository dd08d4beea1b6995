"""jobs, transitions, derivations and assets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JOB_STATUS = postgresql.ENUM(
    "QUEUED",
    "PROCESSING",
    "RETRYING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    name="job_status",
    create_type=False,
)
JOB_EVENT = postgresql.ENUM(
    "CREATE",
    "CLAIM",
    "RECLAIM",
    "SUCCEED",
    "RETRY",
    "FAIL",
    "EXPIRE",
    "RELEASE",
    "CANCEL",
    "RENEW",
    name="job_event",
    create_type=False,
)
ASSET_TYPE = postgresql.ENUM("IMAGE", "MAP", "AUDIO", "VIDEO", "PDF", name="asset_type", create_type=False)
ASSET_STATUS = postgresql.ENUM("READY", "DELETED", name="asset_status", create_type=False)
ENUMS = (JOB_STATUS, JOB_EVENT, ASSET_TYPE, ASSET_STATUS)


class _Xid8(sa.types.UserDefinedType[int]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


def upgrade() -> None:
    for enum in ENUMS:
        enum.create(op.get_bind())
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("world_id", sa.Text(), nullable=False),
        sa.Column("asset_type", ASSET_TYPE, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column(
            "status",
            JOB_STATUS,
            nullable=False,
        ),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=True),
        sa.Column("progress_message", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("timeout_s", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("send_count", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(error_code IS NOT NULL) = (status IN ('FAILED', 'RETRYING'))", name="ck_jobs_error_code"
        ),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('CANCELLED', 'FAILED', 'SUCCEEDED'))",
            name="ck_jobs_finished_at",
        ),
        sa.CheckConstraint("(lease_expires_at IS NOT NULL) = (status = 'PROCESSING')", name="ck_jobs_lease"),
        sa.CheckConstraint("(next_attempt_at IS NOT NULL) = (status = 'RETRYING')", name="ck_jobs_next_attempt"),
        sa.CheckConstraint(
            "started_at IS NOT NULL OR status NOT IN ('PROCESSING', 'RETRYING', 'SUCCEEDED')",
            name="ck_jobs_started_at",
        ),
        sa.CheckConstraint("max_attempts >= 1 AND attempt BETWEEN 0 AND max_attempts", name="ck_jobs_attempt"),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name="ck_jobs_priority"),
        sa.CheckConstraint("progress BETWEEN 0 AND 1", name="ck_jobs_progress"),
        sa.CheckConstraint("seq >= 1", name="ck_jobs_seq"),
        sa.CheckConstraint("timeout_s > 0", name="ck_jobs_timeout"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_jobs_asset_type", "jobs", ["asset_type", "id"], unique=False)
    op.create_index("ix_jobs_created_at", "jobs", ["created_at"], unique=False)
    op.create_index("ix_jobs_input_hash", "jobs", ["world_id", "input_hash", "id"], unique=False)
    op.create_index(
        "ix_jobs_lease",
        "jobs",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PROCESSING'"),
    )
    op.create_index(
        "ix_jobs_outbox",
        "jobs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL AND status IN ('QUEUED', 'RETRYING')"),
    )
    op.create_index(
        "ix_jobs_sent",
        "jobs",
        ["sent_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NOT NULL AND status IN ('QUEUED', 'RETRYING')"),
    )
    op.create_index("ix_jobs_provider", "jobs", ["provider", "id"], unique=False)
    op.create_index("ix_jobs_requested_by", "jobs", ["requested_by", "id"], unique=False)
    op.create_index("ix_jobs_status", "jobs", ["status", "id"], unique=False)
    op.create_index("ix_jobs_world", "jobs", ["world_id", "id"], unique=False)
    op.create_index("ix_jobs_world_status", "jobs", ["world_id", "status", "id"], unique=False)
    op.create_index(
        "uq_jobs_idempotency_key",
        "jobs",
        ["world_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "assets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("world_id", sa.Text(), nullable=False),
        sa.Column("asset_type", ASSET_TYPE, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("status", ASSET_STATUS, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("checksum ~ '^[0-9a-f]{64}$'", name="ck_assets_checksum"),
        sa.CheckConstraint("duration_seconds >= 0", name="ck_assets_duration"),
        sa.CheckConstraint("size_bytes >= 0", name="ck_assets_size"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_assets_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_assets_asset_type", "assets", ["asset_type", "id"], unique=False)
    op.create_index("ix_assets_created_by", "assets", ["created_by", "id"], unique=False)
    op.create_index("ix_assets_job", "assets", ["job_id"], unique=False)
    op.create_index("ix_assets_world", "assets", ["world_id", "id"], unique=False)
    op.create_index(
        "uq_assets_ready", "assets", ["job_id"], unique=True, postgresql_where=sa.text("status = 'READY'")
    )
    op.create_table(
        "derivations",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("prompt_spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("lore_snapshot", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("claim_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("entity_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("source_chunk_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_derivations_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("ix_derivations_claim_ids", "derivations", ["claim_ids"], unique=False, postgresql_using="gin")
    op.create_index(
        "ix_derivations_entity_ids", "derivations", ["entity_ids"], unique=False, postgresql_using="gin"
    )
    op.create_index(
        "ix_derivations_source_chunk_ids",
        "derivations",
        ["source_chunk_ids"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_derivations_source_id",
        "derivations",
        ["source_id"],
        unique=False,
        postgresql_where=sa.text("source_id IS NOT NULL"),
    )
    op.create_table(
        "transitions",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("world_id", sa.Text(), nullable=False),
        sa.Column(
            "event",
            JOB_EVENT,
            nullable=False,
        ),
        sa.Column(
            "status",
            JOB_STATUS,
            nullable=False,
        ),
        sa.Column(
            "previous_status",
            JOB_STATUS,
            nullable=True,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("xid", _Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.CheckConstraint("(seq = 1) = (previous_status IS NULL)", name="ck_transitions_previous"),
        sa.CheckConstraint("seq >= 1", name="ck_transitions_seq"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_transitions_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "seq"),
    )
    op.create_index("ix_transitions_at", "transitions", ["at"], unique=False)
    op.create_index("ix_transitions_world", "transitions", ["world_id", "xid", "id"], unique=False)


def downgrade() -> None:
    for table in ("transitions", "derivations", "assets", "jobs"):
        op.drop_table(table)
    for enum in reversed(ENUMS):
        enum.drop(op.get_bind())
