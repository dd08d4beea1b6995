"""Every statement on renders: what external services were asked for, by their own ids.

A run stores the id before it first asks how far the render is. So another attempt goes on with what is already
paid for, and the render of a job that has ended without it is cancelled at the service, whoever asked for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from services.lifecycle import FINAL, JobStatus
from services.models import sql_list

_KEEP: Final = text("""
WITH holder AS (
    SELECT id FROM jobs WHERE id = :job_id AND status = 'PROCESSING' AND fencing_token = :held_token
    FOR NO KEY UPDATE
), dropped AS (
    DELETE FROM renders r USING holder h WHERE r.job_id = h.id AND CAST(:handle AS text) IS NULL
), kept AS (
    INSERT INTO renders (job_id, provider, handle)
    SELECT id, :provider, :handle FROM holder WHERE CAST(:handle AS text) IS NOT NULL
    ON CONFLICT (job_id) DO UPDATE
    SET provider = excluded.provider, handle = excluded.handle, created_at = clock_timestamp()
)
SELECT count(*) FROM holder
""")

_ENDED: Final = text(f"""
SELECT r.job_id, r.provider, r.handle, j.status,
    extract(epoch FROM clock_timestamp() - j.finished_at)::float8 AS ended_s
FROM renders r JOIN jobs j ON j.id = r.job_id
WHERE j.status IN ({sql_list(FINAL)})
  AND (r.provider = ANY (:providers) OR j.status = 'SUCCEEDED'
       OR j.finished_at < clock_timestamp() - :patience_s * interval '1 second')
ORDER BY j.finished_at LIMIT :most
""").bindparams(bindparam("providers", type_=ARRAY(Text)))  # noqa: S608 - the interpolated part is ours

_FORGET: Final = text(f"""
DELETE FROM renders r USING unnest(:job_ids, :handles) AS w(job_id, handle), jobs j
WHERE r.job_id = w.job_id AND r.handle = w.handle AND j.id = r.job_id AND j.status IN ({sql_list(FINAL)})
""").bindparams(  # noqa: S608 - the interpolated part is ours
    bindparam("job_ids", type_=ARRAY(PG_UUID)), bindparam("handles", type_=ARRAY(Text))
)


@dataclass(frozen=True, slots=True)
class EndedRender:
    """A render whose job is final.

    Attributes:
        job_id: the job.
        provider: who was asked.
        handle: the service's id.
        status: how the job ended.
        ended_s: how long ago, in seconds.
    """

    job_id: UUID
    provider: str
    handle: str
    status: JobStatus
    ended_s: float


async def keep(
    connection: AsyncConnection, job_id: UUID, handle: str | None, *, held_token: int, provider: str
) -> bool:
    """Store the service's id of what a run has asked for, or None where nothing will come of it.

    Returns:
        Whether the run still holds its job; where it does not, nothing was stored.
    """
    values = {"job_id": job_id, "handle": handle, "held_token": held_token, "provider": provider}
    return bool(await connection.scalar(_KEEP, values))


async def ended_renders(
    connection: AsyncConnection, providers: Sequence[str], *, patience: timedelta, most: int
) -> list[EndedRender]:
    """Read the renders of jobs that are final, those that ended longest ago first.

    Args:
        connection: the connection.
        providers: whose to read of jobs without an asset; those of others only after the patience.
        patience: how long somebody may come who can cancel them.
        most: how many at the most.
    """
    values = {"providers": [*providers], "patience_s": patience.total_seconds(), "most": most}
    rows = await connection.execute(_ENDED, values)
    return [EndedRender(row.job_id, row.provider, row.handle, JobStatus(row.status), row.ended_s) for row in rows]


async def forget(connection: AsyncConnection, renders: Sequence[EndedRender]) -> None:
    """Remove renders, but those of a job that was renewed meanwhile."""
    values = {"job_ids": [each.job_id for each in renders], "handles": [each.handle for each in renders]}
    await connection.execute(_FORGET, values)
