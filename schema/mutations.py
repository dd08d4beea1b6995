"""The mutations of the contract."""

from datetime import datetime

import strawberry
from strawberry import ID
from strawberry.scalars import JSON

from schema.context import Operation
from schema.queues import checked_most, checked_queue
from schema.types import Asset, AssetJob
from services.access import Scope
from services.creations import Creation
from services.intake import JobRequest, References, parse_id
from services.models import AssetType
from services.uploads import UploadRequest


@strawberry.input
class LoreReferencesInput:
    """Ids of what the asset derives from."""

    claim_ids: list[ID] | None = None
    entity_ids: list[ID] | None = None
    source_chunk_ids: list[ID] | None = None
    source_id: ID | None = None

    def to_references(self) -> References:
        """Return the references as the intake knows them."""
        return References(
            claim_ids=self.claim_ids or (),
            entity_ids=self.entity_ids or (),
            source_chunk_ids=self.source_chunk_ids or (),
            source_id=self.source_id,
        )


@strawberry.input
class CreateAssetJobInput:
    """What to generate, and how."""

    world_id: ID
    asset_type: AssetType
    provider: str
    model_id: str | None = None
    prompt_spec: JSON
    references: LoreReferencesInput | None = None
    lore_snapshot: JSON | None = None
    priority: int | None = 5
    run_at: datetime | None = None
    max_attempts: int | None = 3
    timeout_seconds: int | None = strawberry.field(
        default=None, description="The longest that one attempt may run."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="The same key in the same world returns the first job; with other inputs it is a CONFLICT.",
    )
    reuse_identical: bool | None = strawberry.field(
        default=False,
        description="Return a live or succeeded job with the same inputs, if there is one, instead of a new one.",
    )
    webhook_url: str | None = strawberry.field(default=None, description="Called once the job is final.")

    def to_request(self) -> JobRequest:
        """Return the request as the intake knows it; an explicit null stands for the default."""
        return JobRequest(
            world_id=self.world_id,
            asset_type=self.asset_type,
            provider=self.provider,
            model_id=self.model_id,
            prompt_spec=self.prompt_spec,
            references=References() if self.references is None else self.references.to_references(),
            lore_snapshot=self.lore_snapshot,
            priority=5 if self.priority is None else self.priority,
            run_at=self.run_at,
            max_attempts=3 if self.max_attempts is None else self.max_attempts,
            timeout_s=self.timeout_seconds,
            idempotency_key=self.idempotency_key,
            reuse_identical=bool(self.reuse_identical),
            webhook_url=self.webhook_url,
        )


@strawberry.type
class CreateAssetJobPayload:
    """The answer to a request."""

    job: AssetJob
    created: bool = strawberry.field(description="False when an earlier job was returned.")

    @classmethod
    def of(cls, creation: Creation) -> "CreateAssetJobPayload":
        """Build the type from the answer."""
        return cls(job=AssetJob.of(creation.state), created=creation.created)


@strawberry.input
class CreateUploadInput:
    """What to upload."""

    world_id: ID
    asset_type: AssetType
    filename: str
    content_type: str


@strawberry.type(
    description="Leave to upload: send the content to the URL, by the method, with exactly the headers."
)
class Upload:
    """Built from what was signed."""

    url: str
    method: str
    headers: JSON
    storage_key: str
    expires_at: datetime


@strawberry.type
class Mutation:
    """Changing."""

    @strawberry.mutation
    async def create_asset_job(self, info: Operation, input: CreateAssetJobInput) -> CreateAssetJobPayload:  # noqa: A002
        """Ask for an asset. The job is durable when this answers."""
        caller = info.context.require(Scope.WRITE)
        return CreateAssetJobPayload.of(await info.context.resources.jobs.create(input.to_request(), caller))

    @strawberry.mutation(description="All or none; at most 1,000. Answers in the order of the inputs.")
    async def create_asset_jobs(
        self, info: Operation, inputs: list[CreateAssetJobInput]
    ) -> list[CreateAssetJobPayload]:
        """Ask for many assets. The jobs are durable when this answers."""
        caller = info.context.require(Scope.WRITE)
        requests = [wanted.to_request() for wanted in inputs]
        creations = await info.context.resources.jobs.create_many(requests, caller)
        return [CreateAssetJobPayload.of(creation) for creation in creations]

    @strawberry.mutation(description="QUEUED or RETRYING ends at once; PROCESSING as soon as its worker stops it.")
    async def cancel_job(self, info: Operation, id: ID) -> AssetJob:  # noqa: A002 - the contract's name
        """Cancel a job that is not final."""
        caller = info.context.require(Scope.WRITE)
        return AssetJob.of(await info.context.resources.jobs.cancel(parse_id(id), caller))

    @strawberry.mutation(description="A FAILED or CANCELLED job goes back to QUEUED with its attempts renewed.")
    async def retry_job(self, info: Operation, id: ID) -> AssetJob:  # noqa: A002 - the contract's name
        """Renew a job."""
        caller = info.context.require(Scope.WRITE)
        return AssetJob.of(await info.context.resources.jobs.renew(parse_id(id), caller))

    @strawberry.mutation(
        description="Its content goes, its record stays as DELETED. Deleting it again changes nothing."
    )
    async def delete_asset(self, info: Operation, id: ID) -> Asset:  # noqa: A002 - the contract's name
        """Delete an asset."""
        caller = info.context.require(Scope.WRITE)
        return Asset.of(await info.context.resources.assets.delete(parse_id(id), caller))

    @strawberry.mutation(description="Content under a storage key, for prompts to refer to; it makes no asset.")
    async def create_upload(self, info: Operation, input: CreateUploadInput) -> Upload:  # noqa: A002
        """Sign an upload."""
        caller = info.context.require(Scope.WRITE)
        request = UploadRequest(input.world_id, input.asset_type, input.filename, input.content_type)
        signed = await info.context.resources.uploads.create(request, caller, base_url=info.context.base_url)
        return Upload(
            url=signed.url,
            method=signed.method,
            headers=JSON(signed.headers),
            storage_key=signed.storage_key,
            expires_at=signed.expires_at,
        )

    @strawberry.mutation(description="Scope queue:admin. Moves dead letters back; returns how many.")
    async def redrive_dead_letters(self, info: Operation, queue: str, max: int | None = 100) -> int:  # noqa: A002
        """Give dead letters another chance."""
        caller = info.context.require(Scope.ADMIN)
        operations = info.context.resources.queue_operations
        return await operations.redrive(checked_queue(queue), checked_most(max), caller)

    @strawberry.mutation(description="Scope queue:admin, and only where purging is switched on.")
    async def purge_queue(self, info: Operation, queue: str) -> bool:
        """Throw away every message of a queue."""
        caller = info.context.require(Scope.ADMIN)
        await info.context.resources.queue_operations.purge(checked_queue(queue), caller)
        return True
