"""The types of the contract, built from rows."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from strawberry import ID, Private
from strawberry.scalars import JSON

from schema.context import Operation
from schema.webhooks import WebhookDelivery
from services.catalog import ProviderSpec
from services.cursors import job_cursor, job_position
from services.errors import AssetNotFound, InvalidInput
from services.job_queries import JobState, LogRange
from services.lifecycle import JobStatus
from services.models import AssetRecord, AssetStatus, AssetType, DerivationRecord
from services.updates import JobUpdate as Update
from services.updates import StreamItem, UpdateKind
from services.webhooks import MOST_SHOWN

_LONGEST_LINK_S: Final = 7 * 24 * 3600
"""What S3 allows for a presigned URL (Signature Version 4)."""
MOST_HISTORY: Final = 500

strawberry.enum(AssetType)
strawberry.enum(AssetStatus)
strawberry.enum(UpdateKind, name="JobUpdateKind")
strawberry.enum(
    JobStatus,
    description="QUEUED, PROCESSING and RETRYING are live; SUCCEEDED, FAILED and CANCELLED are final.",
)


@strawberry.interface
class Node:
    """Whatever has an id of its own."""

    id: ID


@strawberry.type
class PageInfo:
    """Where a page lies in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="Where an asset came from: an immutable copy of the inputs of its job.")
class AssetDerivation:
    """Built from a row of `derivations`."""

    claim_ids: list[ID]
    entity_ids: list[ID]
    source_chunk_ids: list[ID]
    source_id: ID | None
    prompt_spec: JSON
    input_hash: str
    lore_snapshot: JSON | None

    @classmethod
    def of(cls, record: DerivationRecord, input_hash: str) -> "AssetDerivation":
        """Build the type from its row."""
        return cls(
            claim_ids=[ID(value) for value in record.claim_ids],
            entity_ids=[ID(value) for value in record.entity_ids],
            source_chunk_ids=[ID(value) for value in record.source_chunk_ids],
            source_id=None if record.source_id is None else ID(record.source_id),
            prompt_spec=record.prompt_spec,
            input_hash=input_hash,
            lore_snapshot=record.lore_snapshot,
        )


@strawberry.type
class Asset(Node):
    """Built from a row of `assets`."""

    record: Private[AssetRecord]
    world_id: ID
    asset_type: AssetType
    format: str
    content_type: str
    status: AssetStatus
    size_bytes: int
    checksum: str = strawberry.field(description="Hex SHA-256 of the content.")
    duration_seconds: float | None
    metadata: JSON = strawberry.field(description="Width, height, codec and whatever else the provider told.")
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, record: AssetRecord) -> "Asset":
        """Build the type from its row."""
        return cls(
            id=ID(str(record.id)),
            record=record,
            world_id=ID(record.world_id),
            asset_type=record.asset_type,
            format=record.format,
            content_type=record.content_type,
            status=record.status,
            size_bytes=record.size_bytes,
            checksum=record.checksum,
            duration_seconds=record.duration_seconds,
            metadata=JSON(record.details),
            created_by=record.created_by,
            created_at=record.created_at,
        )

    @strawberry.field
    async def job(self, info: Operation) -> Annotated["AssetJob", strawberry.lazy("schema.types")]:
        """Load the job that made it."""
        state = await info.context.jobs.load(self.record.job_id)
        assert state is not None  # noqa: S101 - a foreign key says so
        return AssetJob.of(state)

    @strawberry.field(
        description="A signed URL that downloads the content without further credentials. "
        "A DELETED asset has none, NOT_FOUND: in a list, filter by status READY."
    )
    async def download_url(self, info: Operation, expires_in_seconds: int | None = 3600) -> str:
        """Sign a URL."""
        seconds = 3600 if expires_in_seconds is None else expires_in_seconds
        if not 1 <= seconds <= _LONGEST_LINK_S:
            raise InvalidInput(["expiresInSeconds"], f"must be from 1 to {_LONGEST_LINK_S}")
        if self.status is AssetStatus.DELETED:
            raise AssetNotFound(f"The content of asset {self.id} was deleted.")
        return await info.context.resources.storage.url(
            self.record.storage_key,
            filename=f"{self.asset_type.lower()}-{self.record.job_id}.{self.format}",
            expires_in=timedelta(seconds=seconds),
            base_url=info.context.base_url,
        )


@strawberry.type(description="One request to generate one asset. Ids are UUIDv7, so they sort by creation time.")
class AssetJob(Node):
    """Built from a row of `jobs`, with its asset if it has made one."""

    job_id: Private[UUID]
    world_id: ID
    asset_type: AssetType
    provider: str
    model_id: str | None
    status: JobStatus
    progress: float | None = strawberry.field(description="0.0 to 1.0, from the provider; null while unknown.")
    progress_message: str | None
    priority: int = strawberry.field(description="0 (lowest) to 9 (most urgent).")
    attempt: int = strawberry.field(description="Runs started so far.")
    max_attempts: int = strawberry.field(description="The most runs that there may be.")
    error_code: str | None
    error_message: str | None
    requested_by: str
    idempotency_key: str | None
    input_hash: str
    webhook_url: str | None
    created_at: datetime
    run_at: datetime | None = strawberry.field(description="Not before this instant; null means at once.")
    started_at: datetime | None
    next_attempt_at: datetime | None
    finished_at: datetime | None
    seq: int = strawberry.field(
        description="Number of the job's latest transition: 1 is its creation. Never skips, never repeats."
    )
    cursor: str = strawberry.field(
        description="Pass as jobUpdates(after:) to receive exactly what follows this reading."
    )
    asset: Asset | None = strawberry.field(description="Set exactly when status is SUCCEEDED.")

    @classmethod
    def of(cls, state: JobState) -> "AssetJob":
        """Build the type from its row."""
        job = state.job
        return cls(
            id=ID(str(job.id)),
            job_id=job.id,
            world_id=ID(job.world_id),
            asset_type=job.asset_type,
            provider=job.provider,
            model_id=job.model_id,
            status=job.status,
            progress=job.progress,
            progress_message=job.progress_message,
            priority=job.priority,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            error_code=job.error_code,
            error_message=job.error_message,
            requested_by=job.requested_by,
            idempotency_key=job.idempotency_key,
            input_hash=job.input_hash,
            webhook_url=job.webhook_url,
            created_at=job.created_at,
            run_at=job.run_at,
            started_at=job.started_at,
            next_attempt_at=job.next_attempt_at,
            finished_at=job.finished_at,
            seq=job.seq,
            cursor=job_cursor(job.id, job.seq),
            asset=None if state.asset is None else Asset.of(state.asset),
        )

    @strawberry.field
    async def prompt_spec(self, info: Operation) -> JSON:
        """Load the inputs."""
        prompt_spec: JSON = (await info.context.derivations.load(self.job_id)).prompt_spec
        return prompt_spec

    @strawberry.field
    async def derivation(self, info: Operation) -> AssetDerivation:
        """Load what it derives from."""
        return AssetDerivation.of(await info.context.derivations.load(self.job_id), self.input_hash)

    @strawberry.field(
        description="What the webhook was to be told, the oldest first: a delivery each time that the job became "
        f"final, the latest {MOST_SHOWN} of them."
    )
    async def webhook_deliveries(self, info: Operation) -> list[WebhookDelivery]:
        """Load the log of the webhook."""
        if self.webhook_url is None:
            return []
        return [WebhookDelivery.of(record) for record in await info.context.webhooks.load(self.job_id)]

    @strawberry.field(description="The job's transitions, oldest first.")
    async def history(
        self, info: Operation, first: int | None = 50, after: str | None = None
    ) -> "JobUpdateConnection":
        """Read a page of the log."""
        size = 50 if first is None else first
        if not 1 <= size <= MOST_HISTORY:
            raise InvalidInput(["first"], f"must be from 1 to {MOST_HISTORY}")
        start = 0 if after is None else job_position(after, self.job_id)
        page = await info.context.logs.load(LogRange(self.job_id, after=start, most=size + 1))
        updates = [
            JobUpdate.of(StreamItem(Update.of_transition(transition, page.state.job, page.state.asset)))
            for transition in page.transitions[:size]
        ]
        return JobUpdateConnection(
            edges=[JobUpdateEdge(node=update, cursor=update.cursor) for update in updates],
            page_info=PageInfo(
                has_next_page=len(page.transitions) > size,
                has_previous_page=start > 0,
                start_cursor=updates[0].cursor if updates else None,
                end_cursor=updates[-1].cursor if updates else None,
            ),
        )


@strawberry.type
class JobUpdate:
    """Built from an update, however it was learned."""

    kind: UpdateKind
    job_id: ID
    world_id: ID
    seq: int
    cursor: str
    status: JobStatus
    previous_status: JobStatus | None
    attempt: int
    progress: float | None
    progress_message: str | None
    error_code: str | None
    error_message: str | None
    at: datetime
    item: Private[StreamItem]

    @classmethod
    def of(cls, item: StreamItem) -> "JobUpdate":
        """Build the type from an item of a stream, once for all who receive it."""
        built: JobUpdate | None = item.made.get(cls.__name__)
        if built is None:
            built = item.made[cls.__name__] = cls._built(item)
        return built

    @classmethod
    def _built(cls, item: StreamItem) -> "JobUpdate":
        update = item.update
        job = update.job
        return cls(
            kind=update.kind,
            job_id=ID(str(job.id)),
            world_id=ID(job.world_id),
            seq=update.seq,
            cursor=item.cursor,
            status=update.status,
            previous_status=update.previous_status,
            attempt=update.attempt,
            progress=update.progress,
            progress_message=update.progress_message,
            error_code=update.error_code,
            error_message=update.error_message,
            at=update.at,
            item=item,
        )

    @strawberry.field
    def job(self) -> AssetJob:
        """Return the job that came with the update."""
        return AssetJob.of(JobState(self.item.update.job, self.item.update.asset))


@strawberry.type
class JobUpdateEdge:
    """An entry of a job's history."""

    node: JobUpdate
    cursor: str


@strawberry.type
class JobUpdateConnection:
    """A page of a job's history."""

    edges: list[JobUpdateEdge]
    page_info: PageInfo


@strawberry.type
class Provider:
    """Built from what a provider says of itself."""

    spec: Private[ProviderSpec]
    name: str
    asset_types: list[AssetType]
    models: list[str]
    model_pattern: str | None = strawberry.field(
        description="A regular expression of what modelId may be besides 'models', from its beginning to its end."
    )

    @classmethod
    def of(cls, spec: ProviderSpec) -> "Provider":
        """Build the type from a provider's spec."""
        return cls(
            spec=spec,
            name=spec.name,
            asset_types=spec.asset_types,
            models=list(spec.models),
            model_pattern=spec.model_pattern,
        )

    @strawberry.field(description="JSON Schema of promptSpec for one asset type.")
    def prompt_schema(self, asset_type: AssetType) -> JSON:
        """Return the schema that requests are validated against."""
        schema: Any = self.spec.prompt_schemas.get(asset_type)
        if schema is None:
            raise InvalidInput(["assetType"], f"provider {self.name!r} does not make {asset_type}")
        return JSON(schema)
