"""Rows and requests with sensible defaults."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog import build_catalog
from services.intake import JobRequest, accept
from services.job_queries import LogPage, LogRange, read_logs
from services.models import AssetRecord, AssetType, JobRecord, new_id
from services.moves import NewJob

CATALOG = build_catalog(simulator=True)


def a_request(**changes: Any) -> JobRequest:
    """Return a valid request for a simulated image."""
    wanted: dict[str, Any] = {
        "world_id": "eldoria",
        "asset_type": AssetType.IMAGE,
        "provider": "simulator",
        "prompt_spec": {},
    }
    return JobRequest(**wanted | changes)


def a_new_job(**changes: Any) -> NewJob:
    """Return a job that can be created."""
    return accept(a_request(**changes), CATALOG, requested_by="tester")


def an_asset(job: JobRecord, **changes: Any) -> AssetRecord:
    """Return an asset that fits a job."""
    wanted: dict[str, Any] = {
        "id": new_id(),
        "job_id": job.id,
        "world_id": job.world_id,
        "asset_type": job.asset_type,
        "format": "bin",
        "content_type": "application/octet-stream",
        "size_bytes": 64,
        "checksum": "0" * 64,
        "storage_key": f"{job.id}/{job.fencing_token}.bin",
        "created_by": job.requested_by,
        "created_at": job.created_at,
    }
    return AssetRecord(**wanted | changes)


async def log_of(connection: AsyncConnection, job_id: UUID, *, after: int = 0) -> LogPage:
    """Read a job's history, which is not long."""
    page = (await read_logs(connection, [LogRange(job_id, after, most=1000)]))[0]
    assert page is not None
    return page
