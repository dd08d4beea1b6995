"""The outbox: which waiting jobs SQS has not been given, or no longer has.

A job's row is its own outbox entry: `sent_at` is null until SQS has its message.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from services.models import JobRecord
from services.rows import JOB_RESULT, SELECT_JOB, job_of_row

_IDS: Final = bindparam("ids", type_=ARRAY(PG_UUID))

_MARK_SENT: Final = text("""
WITH locked AS (SELECT id FROM jobs WHERE id = ANY (:ids) ORDER BY id FOR UPDATE)
UPDATE jobs j SET sent_at = clock_timestamp(), send_count = j.send_count + 1 FROM locked k WHERE j.id = k.id
""").bindparams(_IDS)

# The clock of the statement, which stands still: by one that goes on no index is used.
_UNSENT: Final = text(f"""
SELECT {SELECT_JOB} FROM jobs m
WHERE m.sent_at IS NULL AND m.status IN ('QUEUED', 'RETRYING')
  AND coalesce(m.run_at, m.created_at) < statement_timestamp() + :horizon_s * interval '1 second'
  AND (m.created_at < statement_timestamp() - :age_s * interval '1 second'
       OR m.run_at >= m.created_at + :horizon_s * interval '1 second')
ORDER BY coalesce(m.run_at, m.created_at), m.id LIMIT :most
""").columns(*JOB_RESULT)  # noqa: S608 - the interpolated part is the model's own column names

# Due for as long as they were sent: a message that is in the queue would have been delivered, if workers keep up.
_OVERDUE: Final = text(f"""
SELECT {SELECT_JOB} FROM jobs m
WHERE m.status IN ('QUEUED', 'RETRYING')
  AND m.sent_at < clock_timestamp() - :patience_s * interval '1 second'
  AND greatest(m.sent_at, m.run_at, m.next_attempt_at) < clock_timestamp()
      - :patience_s * CASE WHEN :doubling THEN power(2, least(m.send_count, 20)) ELSE 1 END * interval '1 second'
ORDER BY m.sent_at LIMIT :most
""").columns(*JOB_RESULT)  # noqa: S608 - the interpolated part is the model's own column names

_EXPECTED: Final = text("""
SELECT count(*) FROM jobs
WHERE status = 'PROCESSING' OR (status IN ('QUEUED', 'RETRYING') AND sent_at IS NOT NULL)
""")


async def mark_sent(connection: AsyncConnection, job_ids: Collection[UUID]) -> None:
    """Take jobs out of the outbox: SQS has their messages."""
    await connection.execute(_MARK_SENT, {"ids": list(job_ids)})


async def unsent(
    connection: AsyncConnection, *, older_than: timedelta, horizon: timedelta, most: int
) -> list[JobRecord]:
    """Read the outbox, what is due first in front: waiting jobs that SQS has not been given.

    Args:
        connection: the connection.
        older_than: leave out what is so young that its own process is about to send it; what was not to run
            within the horizon when it was made is sent by nobody else.
        horizon: leave out what is not to run within this time; a queue cannot hold it back for longer.
        most: the largest number of jobs to return.
    """
    result = await connection.execute(
        _UNSENT,
        {"age_s": older_than.total_seconds(), "horizon_s": horizon.total_seconds(), "most": most},
    )
    return [job_of_row(row) for row in result.mappings()]


async def overdue(
    connection: AsyncConnection, *, patience: timedelta, doubling: bool = False, most: int
) -> list[JobRecord]:
    """Read jobs that were sent and due for longer than the patience, and still wait; longest sent first.

    Args:
        connection: the connection.
        patience: how long.
        doubling: whether the patience doubles with every time that a job was sent.
        most: the largest number of jobs to return.
    """
    wanted = {"patience_s": patience.total_seconds(), "doubling": doubling, "most": most}
    result = await connection.execute(_OVERDUE, wanted)
    return [job_of_row(row) for row in result.mappings()]


async def expected_messages(connection: AsyncConnection) -> int:
    """Count the jobs of which SQS should hold a message: those that wait and were sent, and those that run."""
    return int((await connection.execute(_EXPECTED)).scalar_one())
