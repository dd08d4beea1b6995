"""Every statement that reads jobs, their history and their derivations."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Select,
    TableValuedAlias,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from services.access import Caller
from services.asset_queries import ASSET
from services.errors import JobNotFound
from services.lifecycle import JobStatus
from services.lists import Keyset, matching
from services.models import (
    Asset,
    AssetRecord,
    AssetStatus,
    AssetType,
    Derivation,
    DerivationRecord,
    IdempotencyKey,
    Job,
    JobRecord,
    Transition,
    TransitionRecord,
)
from services.moves import WorldKey
from services.positions import Snapshot
from services.rows import among, record_of

_JOB: Final[list[Any]] = [getattr(Job, name) for name in JobRecord.model_fields]
_TRANSITION: Final[list[Any]] = [getattr(Transition, name) for name in TransitionRecord.model_fields]
_DERIVATION: Final[list[Any]] = [getattr(Derivation, name) for name in DerivationRecord.model_fields]
_MADE: Final = col(Asset.job_id) == col(Job.id)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; a field that is None does not limit.

    `worlds` is where the caller may look, whatever `world_id` asks for.
    """

    world_id: str | None = None
    status: Collection[JobStatus] | None = None
    asset_type: Collection[AssetType] | None = None
    provider: str | None = None
    requested_by: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    worlds: Collection[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what the rows must satisfy."""
        conditions = matching(
            {
                Job.world_id: self.world_id,
                Job.provider: self.provider,
                Job.requested_by: self.requested_by,
            },
            {Job.status: self.status, Job.asset_type: self.asset_type},
            (Job.world_id, self.worlds),
        )
        if self.created_after is not None:
            conditions.append(col(Job.created_at) > self.created_after)
        if self.created_before is not None:
            conditions.append(col(Job.created_at) < self.created_before)
        return conditions


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it stands, with its asset if it has made one, be it deleted since."""

    job: JobRecord
    asset: AssetRecord | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, and the snapshot of the database that it shows."""

    states: Sequence[JobState]
    snapshot: Snapshot


class LogRange(NamedTuple):
    """A stretch of one job's history: so many transitions at the most behind a seq."""

    job_id: UUID
    after: int
    most: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """The transitions behind a seq, with the job as it stands; all from one snapshot of the database."""

    state: JobState
    transitions: Sequence[TransitionRecord]


async def find_jobs(connection: AsyncConnection, job_ids: Collection[UUID]) -> dict[UUID, JobState]:
    """Read jobs by id; what does not exist is missing from the result."""
    query = select(*_JOB, *ASSET).outerjoin(Asset, _MADE).where(among(Job.id, job_ids))
    return {state.job.id: state for state in map(_state, await connection.execute(query))}


async def require_job(connection: AsyncConnection, job_id: UUID, caller: Caller) -> None:
    """Check that a job exists for the caller; the world of a job never changes.

    Raises:
        JobNotFound: it does not.
    """
    if caller.worlds is not None:
        world_id = await connection.scalar(select(col(Job.world_id)).where(col(Job.id) == job_id))
        if world_id is None or not caller.may_see(world_id):
            raise no_job(job_id)


def no_job(job_id: UUID) -> JobNotFound:
    """Return what is raised for a job that does not exist for the caller."""
    return JobNotFound(f"There is no job {job_id}.")


async def page_of_jobs(connection: AsyncConnection, wanted: JobFilter, page: Keyset) -> JobPage:
    """Read a page of jobs."""
    rows = select(*_JOB, *ASSET).outerjoin(Asset, _MADE).where(*wanted.conditions())
    found = page.cut(rows, Job.id).subquery()
    # By the outer join an empty page still says which snapshot it was empty in.
    one = select(cast(func.pg_current_snapshot(), Text).label("snapshot")).subquery()
    query = select(one, found).select_from(one.outerjoin(found, true()))
    result = (await connection.execute(query.order_by(page.order(found.c[0])))).all()
    states = [_state(row[1:]) for row in result if row[1] is not None]
    return JobPage(states, Snapshot.parse(result[0][0]))


async def count_jobs(connection: AsyncConnection, wanted: JobFilter) -> int:
    """Count the jobs that a filter lets through."""
    query: Select[Any] = select(func.count()).select_from(Job).where(*wanted.conditions())
    return int((await connection.execute(query)).scalar_one())


async def find_jobs_by_key(connection: AsyncConnection, keys: Collection[WorldKey]) -> dict[WorldKey, JobState]:
    """Read the jobs that idempotency keys stand for."""
    wanted = _pairs(keys)
    query = (
        select(col(IdempotencyKey.world_id), col(IdempotencyKey.key), *_JOB, *ASSET)
        .select_from(wanted)
        .join(
            IdempotencyKey,
            and_(col(IdempotencyKey.world_id) == wanted.c.world_id, col(IdempotencyKey.key) == wanted.c.value),
        )
        .join(Job, col(Job.id) == col(IdempotencyKey.job_id))
        .outerjoin(Asset, _MADE)
    )
    return {(row[0], row[1]): _state(row[2:]) for row in await connection.execute(query)}


async def find_identical(
    connection: AsyncConnection, inputs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], JobState]:
    """Read by world and input hash the latest job that is live, or succeeded and has its asset's content."""
    wanted = _pairs(inputs)
    latest = (
        select(col(Job.id))
        .outerjoin(Asset, _MADE)
        .where(
            col(Job.world_id) == wanted.c.world_id,
            col(Job.input_hash) == wanted.c.value,
            col(Job.status).not_in((JobStatus.FAILED, JobStatus.CANCELLED)),
            func.coalesce(col(Asset.status), AssetStatus.READY) == AssetStatus.READY,
        )
        .order_by(col(Job.id).desc())
        .limit(1)
        .lateral()
    )
    query = (
        select(*_JOB, *ASSET)
        .select_from(wanted)
        .join(latest, true())
        .join(Job, col(Job.id) == latest.c.id)
        .outerjoin(Asset, _MADE)
    )
    states = map(_state, await connection.execute(query))
    return {(state.job.world_id, state.job.input_hash): state for state in states}


async def read_logs(connection: AsyncConnection, wanted: Sequence[LogRange]) -> list[LogPage | None]:
    """Read stretches of jobs' histories in one statement; None where there is no such job."""
    job_ids, after, most = zip(*wanted, strict=True)
    values = {"job_ids": [*job_ids], "after": [*after], "most": [*most]}
    found = defaultdict[int, list[Sequence[Any]]](list)
    for row in await connection.execute(_LOGS, values):
        found[row[0]].append(row[1:])
    return [_log_page(found[place]) if place in found else None for place in range(1, len(wanted) + 1)]


def _log_page(rows: Sequence[Sequence[Any]]) -> LogPage:
    start = len(_JOB) + len(ASSET)
    transitions = [record_of(TransitionRecord, row[start:]) for row in rows if row[start] is not None]
    return LogPage(_state(rows[0]), transitions)


def _logs() -> Select[Any]:
    stretch = (
        func.unnest(
            bindparam("job_ids", type_=ARRAY(Uuid)),
            bindparam("after", type_=ARRAY(Integer)),
            bindparam("most", type_=ARRAY(Integer)),
        )
        .table_valued(
            column("job_id", Uuid), column("after", Integer), column("most", Integer), with_ordinality="place"
        )
        .render_derived()
    )
    log = (
        select(*_TRANSITION)
        .where(col(Transition.job_id) == stretch.c.job_id, col(Transition.seq) > stretch.c.after)
        .order_by(col(Transition.seq))
        .limit(stretch.c.most)
        .lateral()
    )
    return (
        select(stretch.c.place, *_JOB, *ASSET, *log.c)
        .select_from(stretch)
        .join(Job, col(Job.id) == stretch.c.job_id)
        .outerjoin(Asset, _MADE)
        .outerjoin(log, true())
        .order_by(stretch.c.place, log.c.seq)
    )


_LOGS: Final = _logs()
"""Built once: every subscriber of a job begins with it, and building takes longer than all else there."""


async def latest_seqs(connection: AsyncConnection, job_ids: Collection[UUID]) -> dict[UUID, int]:
    """Read how far jobs have come."""
    rows = await connection.execute(select(col(Job.id), col(Job.seq)).where(among(Job.id, job_ids)))
    return {row[0]: row[1] for row in rows}


async def find_derivations(connection: AsyncConnection, job_ids: Collection[UUID]) -> dict[UUID, DerivationRecord]:
    """Read what jobs derive from."""
    rows = await connection.execute(select(*_DERIVATION).where(among(Derivation.job_id, job_ids)))
    return {found.job_id: found for found in (record_of(DerivationRecord, row) for row in rows)}


def _pairs(pairs: Collection[tuple[str, str]]) -> TableValuedAlias:
    """Return a table of worlds and values: two parameters, whatever the number of pairs."""
    worlds, values = ([pair[i] for pair in pairs] for i in (0, 1))
    table = func.unnest(literal(worlds, ARRAY(Text)), literal(values, ARRAY(Text)))
    return table.table_valued(column("world_id", Text), column("value", Text)).render_derived()


def _state(row: Sequence[Any]) -> JobState:
    job = record_of(JobRecord, row)
    asset = row[len(_JOB) : len(_JOB) + len(ASSET)]
    return JobState(job, record_of(AssetRecord, asset) if asset[0] is not None else None)
