"""ASSET_GENERATION: a provider makes the asset, its content goes into storage."""

from typing import Final

from services.errors import PermanentError
from services.models import AssetRecord
from worker.handlers import Run
from worker.providers.protocol import Order

JOB_TYPE: Final = "ASSET_GENERATION"


async def generate_asset(run: Run) -> AssetRecord:
    """Run the job's provider and store what it makes.

    Raises:
        GenerationError: the provider could not make it.
        StorageUnavailable: it could not be stored.
    """
    job = run.job
    provider = run.providers.get(job.provider)
    if provider is None:
        raise PermanentError("PROVIDER_UNKNOWN", f"No worker has a provider {job.provider!r}.")
    order = Order(job.id, job.attempt, job.asset_type, job.model_id, run.prompt_spec, run.handle, run.keep)
    content = await provider.generate(order, run.progress)
    # Named by the fencing token: a run that lost its lease never writes over the content of a later one.
    key = f"{job.id}/{job.fencing_token}.{content.format}"
    stored = await run.storage.put(key, content.chunks, content.content_type)
    return AssetRecord(
        job_id=job.id,
        world_id=job.world_id,
        asset_type=job.asset_type,
        format=content.format,
        content_type=content.content_type,
        size_bytes=stored.size_bytes,
        checksum=stored.checksum,
        storage_key=key,
        duration_seconds=content.duration_seconds,
        details=content.metadata,
        created_by=job.requested_by,
        created_at=job.created_at,
    )
