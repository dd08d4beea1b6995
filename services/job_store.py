"""Every statement that moves jobs along their lifecycle, with its transitions.

Each is one statement and therefore atomic by itself, also on a connection in autocommit; all take many
jobs at once. The `WHERE` decides whether an edge may be taken; `explain` says afterwards why one was refused.
Leases and due times go by the database's clock alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, Text, bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from services.errors import IllegalTransition, JobNotFound, LeaseHeld, LeaseLost, NotDue
from services.lifecycle import EDGES, FINAL, WAITING, Event, Guard, JobStatus
from services.models import JobRecord
from services.moves import Lease, Move, Moved, NewJob, Refusal, WorldKey
from services.rows import (
    ASSET_RESULT,
    JOB_RESULT,
    LOG_RESULT,
    SELECT_ASSET,
    SELECT_JOB,
    SELECT_LOG,
    asset_of_row,
    job_of_row,
    transition_of_row,
)

_CREATE_COLUMNS: Final = (
    "id, type, world_id, asset_type, provider, model_id, status, seq, attempt, max_attempts, fencing_token, "
    "priority, requested_by, idempotency_key, input_hash, webhook_url, timeout_s, run_at, send_count"
)

_CREATE: Final = text(f"""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(
        id uuid, type text, world_id text, asset_type asset_type, provider text, model_id text,
        status job_status, seq int, attempt int, max_attempts int, fencing_token bigint, priority int,
        requested_by text, idempotency_key text, input_hash text, webhook_url text, timeout_s int,
        run_at timestamptz, send_count int,
        prompt_spec jsonb, lore_snapshot jsonb, claim_ids text[], entity_ids text[],
        source_chunk_ids text[], source_id text)
), k AS (
    INSERT INTO idempotency_keys (world_id, key, job_id)
    SELECT * FROM jsonb_to_recordset(CAST(:keys AS jsonb)) AS e(world_id text, key text, job_id uuid)
    -- In one order, so that two statements never wait for each other's keys.
    ORDER BY world_id, key
    ON CONFLICT DO NOTHING
    RETURNING job_id
), m AS (
    INSERT INTO jobs ({_CREATE_COLUMNS})
    SELECT {_CREATE_COLUMNS} FROM wanted
    WHERE idempotency_key IS NULL OR id IN (SELECT job_id FROM k)
    ORDER BY id
    RETURNING *
), derived AS (
    INSERT INTO derivations
        (job_id, prompt_spec, lore_snapshot, claim_ids, entity_ids, source_chunk_ids, source_id)
    SELECT w.id, w.prompt_spec, w.lore_snapshot, w.claim_ids, w.entity_ids, w.source_chunk_ids, w.source_id
    FROM wanted w JOIN m USING (id)
), l AS (
    INSERT INTO transitions (job_id, seq, world_id, event, status, attempt, at)
    SELECT id, seq, world_id, 'CREATE', status, attempt, created_at FROM m
    RETURNING *
)
SELECT {SELECT_JOB}, {SELECT_LOG} FROM m JOIN l ON l.job_id = m.id ORDER BY m.id
""").columns(*JOB_RESULT, *LOG_RESULT)  # noqa: S608 - the interpolated parts are the model's own column names


_INPUTS: Final = ", d.prompt_spec AS d_prompt_spec, r.handle AS r_handle"
_JOIN_INPUTS: Final = """
LEFT JOIN derivations d ON d.job_id = m.id AND m.status = 'PROCESSING'
LEFT JOIN renders r ON r.job_id = m.id AND m.status = 'PROCESSING'
"""


def _advance_sql(*, inputs: bool) -> str:
    """Return the statement that takes edges, with or without the job's inputs in its result."""
    return f"""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(
        job_id uuid, event job_event, sources job_status[], target job_status, final boolean,
        holder boolean, expired boolean, due boolean, attempts_left boolean, attempts_spent boolean,
        held_token bigint, opens_lease boolean, lease_s float8, retry_in_s float8, gives_back boolean,
        renews boolean, error_code text, error_message text, asset jsonb)
), locked AS (
    SELECT j.id, j.status AS previous_status, w.event
    FROM jobs j JOIN wanted w ON w.job_id = j.id
    WHERE j.status = ANY (w.sources)
      AND (NOT w.holder OR j.fencing_token = w.held_token)
      AND (NOT w.expired OR j.lease_expires_at < clock_timestamp())
      AND (NOT w.due OR greatest(j.run_at, j.next_attempt_at) IS NULL
           OR greatest(j.run_at, j.next_attempt_at) <= clock_timestamp())
      AND (NOT w.attempts_left OR j.attempt < j.max_attempts)
      AND (NOT w.attempts_spent OR j.attempt >= j.max_attempts)
    ORDER BY j.id FOR NO KEY UPDATE OF j
), m AS (
    UPDATE jobs j SET
        status = w.target,
        seq = j.seq + 1,
        attempt = CASE WHEN w.opens_lease THEN j.attempt + 1 WHEN w.gives_back THEN j.attempt - 1
                       WHEN w.renews THEN 0 ELSE j.attempt END,
        fencing_token = j.fencing_token + w.opens_lease::int,
        lease_expires_at = clock_timestamp() + w.lease_s * interval '1 second',
        next_attempt_at = clock_timestamp() + w.retry_in_s * interval '1 second',
        started_at = CASE WHEN w.opens_lease THEN clock_timestamp() WHEN NOT w.renews THEN j.started_at END,
        finished_at = CASE WHEN w.final THEN clock_timestamp() END,
        progress = CASE WHEN w.event = 'SUCCEED' THEN 1 WHEN w.final THEN j.progress END,
        progress_message = CASE WHEN w.final THEN j.progress_message END,
        error_code = w.error_code,
        error_message = w.error_message,
        sent_at = CASE WHEN NOT w.renews THEN j.sent_at END
    FROM locked k JOIN wanted w ON w.job_id = k.id AND w.event = k.event
    WHERE j.id = k.id
    RETURNING j.*, k.previous_status, w.event, w.asset
), a AS (
    INSERT INTO assets (id, job_id, world_id, asset_type, format, content_type, status, size_bytes, checksum,
                        storage_key, duration_seconds, details, created_by)
    SELECT r.id, m.id, m.world_id, m.asset_type, r.format, r.content_type, r.status, r.size_bytes, r.checksum,
           r.storage_key, r.duration_seconds, r.details, m.requested_by
    FROM m, jsonb_to_record(m.asset) AS r(
        id uuid, format text, content_type text, status asset_status, size_bytes bigint, checksum text,
        storage_key text, duration_seconds float8, details jsonb)
    WHERE m.event = 'SUCCEED'
    RETURNING *
), told AS (
    INSERT INTO webhook_deliveries (job_id, seq, payload)
    SELECT m.id, m.seq, json_build_object(
        'type', 'job.' || lower(m.status::text),
        'timestamp', m.finished_at,
        'data', json_build_object(
            'jobId', m.id, 'worldId', m.world_id, 'status', m.status, 'seq', m.seq,
            'assetType', m.asset_type, 'provider', m.provider, 'modelId', m.model_id,
            'attempt', m.attempt, 'errorCode', m.error_code, 'errorMessage', left(m.error_message, 1000),
            'assetId', m.asset ->> 'id', 'createdAt', m.created_at, 'finishedAt', m.finished_at))
    FROM m WHERE m.webhook_url IS NOT NULL AND m.finished_at IS NOT NULL
), l AS (
    INSERT INTO transitions
        (job_id, seq, world_id, event, status, previous_status, attempt, error_code, error_message, at)
    SELECT id, seq, world_id, event, status, previous_status, attempt, error_code, error_message,
           clock_timestamp()
    FROM m RETURNING *
)
SELECT {SELECT_JOB}, {SELECT_LOG}, {SELECT_ASSET}{_INPUTS if inputs else ""}
FROM m JOIN l ON l.job_id = m.id LEFT JOIN a ON a.job_id = m.id
{_JOIN_INPUTS if inputs else ""}
ORDER BY m.id
"""  # noqa: S608 - the interpolated parts are the model's own column names


_INPUTS_RESULT: Final = [column("d_prompt_spec", JSONB), column("r_handle", Text)]
_ADVANCE: Final = text(_advance_sql(inputs=False)).columns(*JOB_RESULT, *LOG_RESULT, *ASSET_RESULT)
_CLAIM: Final = text(_advance_sql(inputs=True)).columns(*JOB_RESULT, *LOG_RESULT, *ASSET_RESULT, *_INPUTS_RESULT)

_EXPLAIN: Final = text("""
SELECT id, status, fencing_token,
    greatest(extract(epoch FROM lease_expires_at - clock_timestamp()), 0)::float8 AS lease_s,
    greatest(extract(epoch FROM greatest(run_at, next_attempt_at) - clock_timestamp()), 0)::float8 AS due_s
FROM jobs WHERE id = ANY (:ids)
""").bindparams(bindparam("ids", type_=ARRAY(PG_UUID)))

_EXTEND: Final = text("""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(
        job_id uuid, held_token bigint, progress float8, progress_message text)
), locked AS (
    SELECT j.id FROM jobs j JOIN wanted w ON w.job_id = j.id
    WHERE j.status = 'PROCESSING' AND j.fencing_token = w.held_token
    ORDER BY j.id FOR NO KEY UPDATE OF j
)
UPDATE jobs j SET
    lease_expires_at = clock_timestamp() + :lease_s * interval '1 second',
    progress = coalesce(w.progress, j.progress),
    progress_message = coalesce(w.progress_message, j.progress_message)
FROM locked k JOIN wanted w ON w.job_id = k.id
WHERE j.id = k.id
RETURNING j.id
""")

_EXPIRED: Final = text(f"""
SELECT {SELECT_JOB} FROM jobs m
WHERE m.status = 'PROCESSING' AND m.lease_expires_at < clock_timestamp() - :grace_s * interval '1 second'
ORDER BY m.lease_expires_at LIMIT :most
""").columns(*JOB_RESULT)  # noqa: S608 - the interpolated part is the model's own column names


_CLIENTS_WORDS: Final = {Event.CANCEL: "cancelled", Event.RENEW: "retried"}


async def create(
    connection: AsyncConnection, wanted: Sequence[NewJob], keys: Mapping[WorldKey, UUID] | None = None
) -> list[Moved]:
    """Insert jobs with their derivations, first transitions and idempotency keys, in one statement.

    Args:
        connection: the connection.
        wanted: the jobs, each with a key of its own if it has one.
        keys: what keys shall stand for, where that is more than the jobs' own: an earlier job, for instance.

    Returns:
        What was created, by id. A job whose idempotency key exists in its world is left out.
    """
    if keys is None:
        keys = {new.key: new.job.id for new in wanted if new.key is not None}
    rows = [
        new.job.model_dump(mode="json", exclude={"created_at"})
        | new.derivation.model_dump(mode="json", exclude={"job_id"})
        for new in wanted
    ]
    stand_for = [{"world_id": world, "key": key, "job_id": str(job)} for (world, key), job in keys.items()]
    values = {"wanted": orjson.dumps(rows).decode(), "keys": orjson.dumps(stand_for).decode()}
    return [_moved(row) for row in (await connection.execute(_CREATE, values)).mappings()]


async def advance(
    connection: AsyncConnection, moves: Sequence[Move], *, with_inputs: bool = False
) -> dict[UUID, Moved]:
    """Take edges and record their transitions, in one statement.

    Several moves may name one job as long as at most one of them can apply, as CLAIM, RECLAIM and EXPIRE do.

    Args:
        connection: the connection.
        moves: what to do.
        with_inputs: whether to read the inputs of what comes out in PROCESSING.

    Returns:
        The edges that were taken, by job. What is missing was refused: ask `explain`.
    """
    if not moves:
        return {}
    rows = [_wanted(move) for move in moves]
    statement = _CLAIM if with_inputs else _ADVANCE
    result = await connection.execute(statement, {"wanted": orjson.dumps(rows).decode()})
    return {moved.job.id: moved for moved in map(_moved, result.mappings())}


def claim_moves(job_ids: Iterable[UUID], lease: timedelta) -> list[Move]:
    """Return the moves that open a lease on each job that may run now, and end those whose last lease ran out.

    Of the three moves for a job at most one can apply. Jobs that come out in PROCESSING are the caller's to run.
    """
    return [
        move
        for job_id in job_ids
        for move in (
            Move(job_id, Event.CLAIM, lease=lease),
            Move(job_id, Event.RECLAIM, lease=lease),
            lost(job_id),
        )
    ]


async def claim(connection: AsyncConnection, job_ids: Iterable[UUID], lease: timedelta) -> dict[UUID, Moved]:
    """Take the moves of `claim_moves`; returns the jobs that moved, with their inputs."""
    return await advance(connection, claim_moves(job_ids, lease), with_inputs=True)


def lost(job_id: UUID) -> Move:
    """Return the move that ends a job whose last lease ran out."""
    message = "The worker that ran the last attempt stopped responding."
    return Move(job_id, Event.EXPIRE, error_code="WORKER_LOST", error_message=message)


async def explain(connection: AsyncConnection, moves: Sequence[Move]) -> dict[UUID, Refusal]:
    """Say why edges were refused, from where the jobs stand now."""
    result = await connection.execute(_EXPLAIN, {"ids": [move.job_id for move in moves]})
    found = {row["id"]: row for row in result.mappings()}
    return {move.job_id: _refusal(move, found.get(move.job_id)) for move in moves}


async def extend(connection: AsyncConnection, leases: Sequence[Lease], lease: timedelta) -> set[UUID]:
    """Extend leases and store their progress; returns the jobs whose lease is still the caller's."""
    rows = [
        {
            "job_id": str(held.job_id),
            "held_token": held.held_token,
            "progress": held.progress,
            "progress_message": held.progress_message,
        }
        for held in leases
    ]
    result = await connection.execute(
        _EXTEND, {"wanted": orjson.dumps(rows).decode(), "lease_s": lease.total_seconds()}
    )
    return set(result.scalars())


async def expired(connection: AsyncConnection, *, grace: timedelta, most: int) -> list[JobRecord]:
    """Read jobs whose lease ran out longer ago than the grace, the longest first."""
    result = await connection.execute(_EXPIRED, {"grace_s": grace.total_seconds(), "most": most})
    return [job_of_row(row) for row in result.mappings()]


def _wanted(move: Move) -> dict[str, object]:
    """Return a move as the statement reads it. What the edge has no use for is left out."""
    edge = EDGES[move.event]
    opens_lease = edge.target is JobStatus.PROCESSING
    fails = edge.target in (JobStatus.RETRYING, JobStatus.FAILED)
    asset = move.asset if edge.target is JobStatus.SUCCEEDED else None
    return {
        "job_id": str(move.job_id),
        "event": move.event,
        "sources": sorted(edge.sources),
        "target": edge.target,
        "final": edge.target in FINAL,
        "holder": Guard.HOLDER in edge.guards,
        "expired": Guard.EXPIRED in edge.guards,
        "due": Guard.DUE in edge.guards,
        "attempts_left": Guard.ATTEMPTS_LEFT in edge.guards,
        "attempts_spent": Guard.ATTEMPTS_SPENT in edge.guards,
        "held_token": move.held_token,
        "opens_lease": opens_lease,
        "lease_s": _seconds(move.lease) if opens_lease else None,
        "retry_in_s": _seconds(move.retry_in) if edge.target is JobStatus.RETRYING else None,
        "gives_back": move.event is Event.RELEASE,
        "renews": move.event is Event.RENEW,
        "error_code": move.error_code if fails else None,
        "error_message": move.error_message if fails else None,
        "asset": asset and asset.model_dump(mode="json", exclude={"job_id", "world_id", "created_at"}),
    }


def _seconds(value: timedelta | None) -> float:
    return 0.0 if value is None else value.total_seconds()


def _moved(row: RowMapping) -> Moved:
    return Moved(
        job=job_of_row(row),
        transition=transition_of_row(row),
        asset=asset_of_row(row),
        prompt_spec=row.get("d_prompt_spec"),
        handle=row.get("r_handle"),
    )


def _refusal(move: Move, row: RowMapping | None) -> Refusal:
    if row is None:
        return Refusal(None, JobNotFound(f"There is no job {move.job_id}."))
    status = JobStatus(row["status"])
    edge = EDGES[move.event]
    if Guard.HOLDER in edge.guards and row["fencing_token"] != move.held_token:
        return Refusal(status, LeaseLost(f"A later claim of job {move.job_id} raised its fencing token."))
    if status is JobStatus.PROCESSING and move.event in (Event.CLAIM, Event.RECLAIM, Event.EXPIRE):
        return Refusal(
            status, LeaseHeld(f"Another run holds job {move.job_id}."), timedelta(seconds=row["lease_s"])
        )
    if status in WAITING and move.event is Event.CLAIM:
        return Refusal(status, NotDue(f"Job {move.job_id} may not run yet."), timedelta(seconds=row["due_s"] or 0))
    words = _CLIENTS_WORDS.get(move.event, f"moved by {move.event}")
    return Refusal(status, IllegalTransition(f"A job that is {status} cannot be {words}."))
