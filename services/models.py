"""The tables, and the records that their rows become.

A record (`JobRecord`, …) is the plain, validated shape of a row: it is what statements return, what Redis
carries and what GraphQL types are built from. The table class of the same name adds keys, checks and indexes.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from services.lifecycle import FINAL, LIVE, Event, JobStatus

JsonObject = dict[str, Any]
_Record = TypeVar("_Record", bound=SQLModel)


class AssetType(StrEnum):
    """What can be made."""

    IMAGE = "IMAGE"
    MAP = "MAP"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"
    PDF = "PDF"


class AssetStatus(StrEnum):
    """Whether an asset's content is still there."""

    READY = "READY"
    DELETED = "DELETED"


class WebhookStatus(StrEnum):
    """What became of telling a webhook that a job is final. Each comment names who moves it there."""

    PENDING = "PENDING"  # the statement that made the job final; the sender, while tries are left
    DELIVERED = "DELIVERED"  # the sender, when the target answered 2xx
    FAILED = "FAILED"  # the sender, after the last try or a 410


MOST_TRIES: Final = 10
"""Of one webhook delivery."""


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562), so that ids sort by creation time."""
    return uuid7()


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, which never wraps."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Name the type in DDL."""
        return "xid8"


def _enum(kind: type[StrEnum], name: str) -> Enum:
    return Enum(kind, name=name, values_callable=lambda members: [member.value for member in members])


JOB_STATUS: Final = _enum(JobStatus, "job_status")
JOB_EVENT: Final = _enum(Event, "job_event")
ASSET_TYPE: Final = _enum(AssetType, "asset_type")
ASSET_STATUS: Final = _enum(AssetStatus, "asset_status")
WEBHOOK_STATUS: Final = _enum(WebhookStatus, "webhook_status")
_INSTANT: Final[Any] = DateTime(timezone=True)
_TEXTS: Final[Any] = ARRAY(Text)
_NOW: Final = text("clock_timestamp()")


def sql_list(statuses: frozenset[JobStatus]) -> str:
    """Return statuses as SQL writes them behind IN."""
    return ", ".join(f"'{status}'" for status in sorted(statuses))


def _plain(record: type[_Record]) -> type[_Record]:
    """Let pydantic fill a record by itself: what SQLModel does instead is for tables, and takes half of the time.

    Each update that Redis delivers holds one or two records.
    """
    record.__pydantic_custom_init__ = False
    record.model_rebuild(force=True)
    return record


@_plain
class JobRecord(SQLModel):
    """One request to generate one asset, as it stands now."""

    id: UUID = Field(default_factory=new_id, primary_key=True)
    type: str = Field(default="ASSET_GENERATION", sa_type=Text)
    world_id: str = Field(sa_type=Text)
    asset_type: AssetType = Field(sa_type=ASSET_TYPE)
    provider: str = Field(sa_type=Text)
    model_id: str | None = Field(default=None, sa_type=Text)
    status: JobStatus = Field(sa_type=JOB_STATUS)
    seq: int
    attempt: int = 0
    max_attempts: int
    fencing_token: int = Field(default=0, sa_type=BigInteger)
    priority: int
    progress: float | None = None
    progress_message: str | None = Field(default=None, sa_type=Text)
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    requested_by: str = Field(sa_type=Text)
    idempotency_key: str | None = Field(default=None, sa_type=Text)
    input_hash: str = Field(sa_type=Text)
    webhook_url: str | None = Field(default=None, sa_type=Text)
    timeout_s: int | None = None
    created_at: datetime = Field(sa_type=_INSTANT, sa_column_kwargs={"server_default": _NOW})
    run_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    started_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    next_attempt_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    finished_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    lease_expires_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    sent_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    """When the job's message was last given to SQS; null while it waits in the outbox."""
    send_count: int = 0


class Job(JobRecord, table=True):
    """The table of jobs. Its inputs lie in `derivations`, so that a change of status rewrites a short row."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"(finished_at IS NOT NULL) = (status IN ({sql_list(FINAL)}))", "ck_jobs_finished_at"),
        CheckConstraint("(lease_expires_at IS NOT NULL) = (status = 'PROCESSING')", "ck_jobs_lease"),
        CheckConstraint("(next_attempt_at IS NOT NULL) = (status = 'RETRYING')", "ck_jobs_next_attempt"),
        CheckConstraint(
            "started_at IS NOT NULL OR status NOT IN ('PROCESSING', 'RETRYING', 'SUCCEEDED')",
            "ck_jobs_started_at",
        ),
        CheckConstraint("(error_code IS NOT NULL) = (status IN ('FAILED', 'RETRYING'))", "ck_jobs_error_code"),
        CheckConstraint("seq >= 1", "ck_jobs_seq"),
        CheckConstraint("max_attempts >= 1 AND attempt BETWEEN 0 AND max_attempts", "ck_jobs_attempt"),
        CheckConstraint("priority BETWEEN 0 AND 9", "ck_jobs_priority"),
        CheckConstraint("progress BETWEEN 0 AND 1", "ck_jobs_progress"),
        CheckConstraint("timeout_s > 0", "ck_jobs_timeout"),
        Index("ix_jobs_world", "world_id", "id"),
        Index("ix_jobs_world_status", "world_id", "status", "id"),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_asset_type", "asset_type", "id"),
        Index("ix_jobs_provider", "provider", "id"),
        Index("ix_jobs_requested_by", "requested_by", "id"),
        Index("ix_jobs_created_at", "created_at"),
        Index("ix_jobs_input_hash", "world_id", "input_hash", "id"),
        Index(
            "ix_jobs_outbox",
            text("coalesce(run_at, created_at)"),
            postgresql_where=text("sent_at IS NULL AND status IN ('QUEUED', 'RETRYING')"),
        ),
        Index(
            "ix_jobs_sent",
            "sent_at",
            postgresql_where=text("sent_at IS NOT NULL AND status IN ('QUEUED', 'RETRYING')"),
        ),
        Index("ix_jobs_lease", "lease_expires_at", postgresql_where=text("status = 'PROCESSING'")),
    )


class IdempotencyKey(SQLModel, table=True):
    """What a key stands for in its world: the job that was made with it, or that its request was given instead."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_idempotency_keys_job", ondelete="CASCADE"),
    )

    world_id: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=Text)
    job_id: UUID


class TransitionRecord(SQLModel):
    """A change of status as it was made; the rows of a job, by `seq`, are its history."""

    job_id: UUID = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    world_id: str = Field(sa_type=Text)
    event: Event = Field(sa_type=JOB_EVENT)
    status: JobStatus = Field(sa_type=JOB_STATUS)
    previous_status: JobStatus | None = Field(default=None, sa_type=JOB_STATUS)
    attempt: int
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    at: datetime = Field(sa_type=_INSTANT, sa_column_kwargs={"server_default": _NOW})
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    xid: int = Field(sa_column=Column(Xid8, nullable=False, server_default=text("pg_current_xact_id()")))


class Transition(TransitionRecord, table=True):
    """The log that streams read from.

    A job's transitions are ordered by `seq`, and by `id` alike: it is allotted under the row's lock. Those of a
    world are told apart by `xid`, the transaction that wrote them: a snapshot says which of them a reader can
    have seen, whatever commits late.
    """

    __tablename__ = "transitions"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_transitions_job", ondelete="CASCADE"),
        CheckConstraint("seq >= 1", "ck_transitions_seq"),
        CheckConstraint("(seq = 1) = (previous_status IS NULL)", "ck_transitions_previous"),
        Index("ix_transitions_world", "world_id", "xid", "id"),
        # The last transition of a job that ended is final and stays for ever: pruning does not look at it.
        Index("ix_transitions_prunable", "at", postgresql_where=text(f"status IN ({sql_list(LIVE)})")),
    )


class DerivationRecord(SQLModel):
    """What an asset derives from: an immutable copy of the inputs of its job."""

    job_id: UUID = Field(primary_key=True)
    prompt_spec: Any = Field(sa_type=JSONB)
    lore_snapshot: Any = Field(default=None, sa_type=JSONB, nullable=True)
    claim_ids: list[str] = Field(default_factory=list, sa_type=_TEXTS)
    entity_ids: list[str] = Field(default_factory=list, sa_type=_TEXTS)
    source_chunk_ids: list[str] = Field(default_factory=list, sa_type=_TEXTS)
    source_id: str | None = Field(default=None, sa_type=Text)


class Derivation(DerivationRecord, table=True):
    """The table of derivations. References are arrays under GIN: read whole, found by element."""

    __tablename__ = "derivations"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_derivations_job", ondelete="CASCADE"),
        Index("ix_derivations_claim_ids", "claim_ids", postgresql_using="gin"),
        Index("ix_derivations_entity_ids", "entity_ids", postgresql_using="gin"),
        Index("ix_derivations_source_chunk_ids", "source_chunk_ids", postgresql_using="gin"),
        Index("ix_derivations_source_id", "source_id", postgresql_where=text("source_id IS NOT NULL")),
    )


@_plain
class AssetRecord(SQLModel):
    """A generated file and what is known of it."""

    id: UUID = Field(default_factory=new_id, primary_key=True)
    job_id: UUID
    world_id: str = Field(sa_type=Text)
    asset_type: AssetType = Field(sa_type=ASSET_TYPE)
    format: str = Field(sa_type=Text)
    content_type: str = Field(sa_type=Text)
    status: AssetStatus = Field(default=AssetStatus.READY, sa_type=ASSET_STATUS)
    size_bytes: int = Field(sa_type=BigInteger)
    checksum: str = Field(sa_type=Text)
    storage_key: str = Field(sa_type=Text)
    duration_seconds: float | None = None
    details: JsonObject = Field(default_factory=dict, sa_type=JSONB)
    """The contract's `metadata`; that name belongs to SQLModel here."""
    created_by: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=_INSTANT, sa_column_kwargs={"server_default": _NOW})


class Asset(AssetRecord, table=True):
    """The table of assets. A job has one at the most: it succeeds once, and is never renewed after that."""

    __tablename__ = "assets"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_assets_job", ondelete="CASCADE"),
        CheckConstraint("size_bytes >= 0", "ck_assets_size"),
        CheckConstraint("checksum ~ '^[0-9a-f]{64}$'", "ck_assets_checksum"),
        CheckConstraint("duration_seconds >= 0", "ck_assets_duration"),
        CheckConstraint("content_removed_at IS NULL OR status = 'DELETED'", "ck_assets_content_removed"),
        Index("uq_assets_job", "job_id", unique=True),
        Index("ix_assets_world", "world_id", "id"),
        Index("ix_assets_status", "status", "id"),
        Index("ix_assets_asset_type", "asset_type", "id"),
        Index("ix_assets_created_by", "created_by", "id"),
        Index(
            "ix_assets_content_to_remove",
            "id",
            postgresql_where=text("status = 'DELETED' AND content_removed_at IS NULL"),
        ),
    )

    content_removed_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    """When the content of a deleted asset had gone from storage; null while that is still to be done."""


class WebhookDeliveryRecord(SQLModel):
    """One thing to tell a job's webhook: that the job became final with this transition."""

    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    """The `webhook-id`, the same on every try."""
    job_id: UUID
    seq: int
    status: WebhookStatus = Field(
        sa_type=WEBHOOK_STATUS, sa_column_kwargs={"server_default": WebhookStatus.PENDING.value}
    )
    attempts: int = Field(sa_column_kwargs={"server_default": "0"})
    """Tries whose outcome is known."""
    next_attempt_at: datetime | None = Field(sa_type=_INSTANT, sa_column_kwargs={"server_default": _NOW})
    last_status_code: int | None = None
    last_error: str | None = Field(default=None, sa_type=Text)
    tries: list[JsonObject] = Field(sa_type=JSONB, sa_column_kwargs={"server_default": text("'[]'")})
    """Each try, the oldest first: `at`, `took_ms`, `status_code`, `error`."""
    created_at: datetime = Field(sa_type=_INSTANT, sa_column_kwargs={"server_default": _NOW})
    delivered_at: datetime | None = Field(default=None, sa_type=_INSTANT)


class WebhookDelivery(WebhookDeliveryRecord, table=True):
    """The table of webhook deliveries: both the outbox of the sender and the log that clients read."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_webhook_deliveries_job", ondelete="CASCADE"),
        CheckConstraint(f"attempts BETWEEN 0 AND {MOST_TRIES}", "ck_webhook_deliveries_attempts"),
        CheckConstraint(
            "(next_attempt_at IS NOT NULL) = (status = 'PENDING')", "ck_webhook_deliveries_next_attempt"
        ),
        CheckConstraint("lease_expires_at IS NULL OR status = 'PENDING'", "ck_webhook_deliveries_lease"),
        CheckConstraint(
            "(delivered_at IS NOT NULL) = (status = 'DELIVERED')", "ck_webhook_deliveries_delivered_at"
        ),
        Index("uq_webhook_deliveries_job", "job_id", "seq", unique=True),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("status = 'PENDING'")),
        Index("ix_webhook_deliveries_ended", "created_at", postgresql_where=text("status <> 'PENDING'")),
    )

    payload: Any = Field(sa_type=JSON)
    """The body: `json` keeps its text, so that every try sends the same bytes."""
    fencing_token: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    lease_expires_at: datetime | None = Field(default=None, sa_type=_INSTANT)
    """Until when one sender alone may send it."""


class Render(SQLModel, table=True):
    """What external services were asked to render for jobs that have not ended, or have without their knowing."""

    __tablename__ = "renders"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_renders_job", ondelete="CASCADE"),
        CheckConstraint("length(handle) BETWEEN 1 AND 500", "ck_renders_handle"),
    )

    job_id: UUID = Field(primary_key=True)
    provider: str = Field(sa_type=Text)
    handle: str = Field(sa_type=Text)
    """The service's own id of it."""
    created_at: datetime = Field(sa_type=_INSTANT, sa_column_kwargs={"server_default": _NOW})
