"""Every statement on webhook deliveries, but for the one that stores them: that is the job store's `advance`.

A delivery is stored by the statement that makes its job final, so the one is never without the other. Any worker
claims what is due, by a lease on the database's clock. One that dies lets go of it when its lease ends, and
another sends it again under the same id: receivers see a delivery at least once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from services.models import WebhookDelivery, WebhookDeliveryRecord, WebhookStatus
from services.moves import Moved
from services.rows import among, record_of

MOST_SHOWN: Final = 10
"""Deliveries that a job shows: it has another one each time that it is renewed and ends."""

_RECORD: Final[list[Any]] = [getattr(WebhookDelivery, name) for name in WebhookDeliveryRecord.model_fields]

# now() rather than clock_timestamp(), which is volatile: PostgreSQL would walk all that is to be tried later, too.
# In autocommit both are the same instant.
_CLAIM: Final = text("""
WITH due AS MATERIALIZED (
    SELECT id, job_id FROM webhook_deliveries
    WHERE status = 'PENDING' AND next_attempt_at <= now()
      AND (lease_expires_at IS NULL OR lease_expires_at < now())
    ORDER BY next_attempt_at LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE webhook_deliveries d SET
    fencing_token = d.fencing_token + 1,
    lease_expires_at = now() + :lease_s * interval '1 second'
FROM due JOIN jobs j ON j.id = due.job_id
WHERE d.id = due.id
RETURNING d.id, d.job_id, d.attempts, d.fencing_token, d.payload::text AS body, j.webhook_url AS url
""")

_SETTLE: Final = text("""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(
        id uuid, held_token bigint, status webhook_status, retry_in_s float8, status_code int, error text,
        took_ms int)
), locked AS (
    SELECT d.id FROM webhook_deliveries d JOIN wanted w ON w.id = d.id
    WHERE d.status = 'PENDING' AND d.fencing_token = w.held_token
    ORDER BY d.id FOR NO KEY UPDATE OF d
)
UPDATE webhook_deliveries d SET
    status = w.status,
    attempts = d.attempts + 1,
    next_attempt_at = CASE WHEN w.status = 'PENDING'
                           THEN clock_timestamp() + w.retry_in_s * interval '1 second' END,
    delivered_at = CASE WHEN w.status = 'DELIVERED' THEN clock_timestamp() END,
    lease_expires_at = NULL,
    last_status_code = w.status_code,
    last_error = w.error,
    tries = d.tries || jsonb_build_object(
        'at', clock_timestamp() - w.took_ms * interval '1 millisecond', 'took_ms', w.took_ms,
        'status_code', w.status_code, 'error', w.error)
FROM locked k JOIN wanted w ON w.id = k.id
WHERE d.id = k.id
RETURNING d.id
""")

_PRUNE: Final = text("""
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries
    WHERE status <> 'PENDING' AND created_at < now() - :age_s * interval '1 second'
    ORDER BY created_at LIMIT :most)
""")


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that its claimer alone may send while the lease lasts.

    Attributes:
        id: the `webhook-id`.
        job_id: the job that is told of.
        url: where to.
        body: what to send.
        attempts: tries made before.
        held_token: the fencing token of the claim.
    """

    id: UUID
    job_id: UUID
    url: str
    body: str
    attempts: int
    held_token: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try.

    Attributes:
        delivery: what was sent.
        status: where the delivery goes.
        took: how long the try took.
        retry_in: the wait before the next one, for PENDING.
        status_code: the answer's, if there was one.
        error: why the try failed, for a person.
    """

    delivery: DueDelivery
    status: WebhookStatus
    took: timedelta
    retry_in: timedelta | None = None
    status_code: int | None = None
    error: str | None = None


class Bell:
    """Tells the sender of this process at once that something is due; senders elsewhere find it when they look."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self, moves: Iterable[Moved]) -> None:
        """Ring if one of the moves stored a delivery. Call it after the commit."""
        if any(moved.job.webhook_url is not None and moved.job.status.is_final for moved in moves):
            self._rung.set()

    async def wait(self, patience: timedelta) -> None:
        """Return when it was rung since the last call, or after the patience."""
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()


async def claim_due(connection: AsyncConnection, *, lease: timedelta, most: int) -> list[DueDelivery]:
    """Claim deliveries that are due and that no living sender holds, those due longest first."""
    result = await connection.execute(_CLAIM, {"lease_s": lease.total_seconds(), "most": most})
    return [
        DueDelivery(row["id"], row["job_id"], row["url"], row["body"], row["attempts"], row["fencing_token"])
        for row in result.mappings()
    ]


async def settle(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> set[UUID]:
    """Write down what came of tries; returns the deliveries whose claim was still the caller's."""
    rows = [
        {
            "id": str(outcome.delivery.id),
            "held_token": outcome.delivery.held_token,
            "status": outcome.status,
            "retry_in_s": None if outcome.retry_in is None else outcome.retry_in.total_seconds(),
            "status_code": outcome.status_code,
            "error": outcome.error,
            "took_ms": round(outcome.took.total_seconds() * 1000),
        }
        for outcome in outcomes
    ]
    return set((await connection.execute(_SETTLE, {"wanted": orjson.dumps(rows).decode()})).scalars())


async def find_deliveries(
    connection: AsyncConnection, job_ids: Collection[UUID]
) -> dict[UUID, list[WebhookDeliveryRecord]]:
    """Read the latest deliveries of jobs, the oldest first; a job without any is missing from the result."""
    place = func.row_number().over(
        partition_by=col(WebhookDelivery.job_id), order_by=col(WebhookDelivery.seq).desc()
    )
    latest = select(*_RECORD, place.label("place")).where(among(WebhookDelivery.job_id, job_ids)).subquery()
    query = select(latest).where(latest.c.place <= MOST_SHOWN).order_by(latest.c.seq)
    found = defaultdict[UUID, list[WebhookDeliveryRecord]](list)
    for row in await connection.execute(query):
        record = record_of(WebhookDeliveryRecord, row)
        found[record.job_id].append(record)
    return dict(found)


async def prune_deliveries(connection: AsyncConnection, *, older_than: timedelta, most: int) -> int:
    """Delete deliveries that ended and are older than that, the oldest first, `most` of them; returns how many."""
    result = await connection.execute(_PRUNE, {"age_s": older_than.total_seconds(), "most": most})
    return result.rowcount
