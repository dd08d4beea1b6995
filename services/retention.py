"""How long history is kept."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.lifecycle import LIVE
from services.models import sql_list

# A live job keeps its whole history, however old: whoever follows it may still be reading. Of one that ended, the
# last transition stays for ever: it is where a stream whose cursor lies before it finds that history is missing.
# Every other transition of such a job goes at once, and at least the first of them has a live status.
_PRUNE: Final = text(f"""
WITH old AS MATERIALIZED (
    SELECT t.job_id, j.seq FROM transitions t JOIN jobs j ON j.id = t.job_id
    WHERE t.status IN ({sql_list(LIVE)})
      AND t.at < clock_timestamp() - :age_s * interval '1 second'
      AND j.finished_at < clock_timestamp() - :age_s * interval '1 second'
    ORDER BY t.at LIMIT :most)
DELETE FROM transitions t USING (SELECT DISTINCT job_id, seq FROM old) o
WHERE t.job_id = o.job_id AND t.seq < o.seq
""")  # noqa: S608 - the interpolated part is an enum of ours


async def prune(connection: AsyncConnection, *, older_than: timedelta, most: int) -> int:
    """Delete transitions of jobs that ended longer ago than that, the oldest first; returns how many.

    Whole jobs are pruned, `most` transitions of them or somewhat more. Fewer than `most` means that nothing is
    left to prune. A stream whose cursor lies before them tells of it with a RESET.
    """
    result = await connection.execute(_PRUNE, {"age_s": older_than.total_seconds(), "most": most})
    return result.rowcount
