"""How long history is kept."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A live job keeps its whole history, however old: whoever follows it may still be reading.
_PRUNE: Final = text("""
DELETE FROM transitions WHERE (job_id, seq) IN (
    SELECT t.job_id, t.seq FROM transitions t JOIN jobs j ON j.id = t.job_id
    WHERE t.at < clock_timestamp() - :age_s * interval '1 second'
      AND j.finished_at < clock_timestamp() - :age_s * interval '1 second'
    ORDER BY t.at LIMIT :most)
""")


async def prune(connection: AsyncConnection, *, older_than: timedelta, most: int) -> int:
    """Delete transitions of jobs that ended longer ago than that, oldest first; returns how many.

    A stream whose cursor lies before them tells of it with a RESET.
    """
    result = await connection.execute(_PRUNE, {"age_s": older_than.total_seconds(), "most": most})
    return result.rowcount
