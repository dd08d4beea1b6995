"""Every statement that reads jobs, their history and their assets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Text, Uuid, and_, any_, cast, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from services.access import Caller
from services.errors import JobNotFound
from services.lifecycle import JobStatus
from services.models import (
    Asset,
    AssetRecord,
    AssetStatus,
    AssetType,
    Derivation,
    DerivationRecord,
    Job,
    JobRecord,
    Transition,
    TransitionRecord,
)
from services.positions import Snapshot

_JOB: Final[list[Any]] = [getattr(Job, name) for name in JobRecord.model_fields]
_ASSET: Final[list[Any]] = [getattr(Asset, name) for name in AssetRecord.model_fields]
_TRANSITION: Final[list[Any]] = [getattr(Transition, name) for name in TransitionRecord.model_fields]
_DERIVATION: Final[list[Any]] = [getattr(Derivation, name) for name in DerivationRecord.model_fields]
_READY: Final = and_(col(Asset.job_id) == col(Job.id), col(Asset.status) == AssetStatus.READY)


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
        equal: Mapping[Any, object] = {
            Job.world_id: self.world_id,
            Job.provider: self.provider,
            Job.requested_by: self.requested_by,
        }
        among: Mapping[Any, Collection[object] | None] = {
            Job.status: self.status,
            Job.asset_type: self.asset_type,
        }
        conditions = [col(field) == value for field, value in equal.items() if value is not None]
        conditions += [col(field).in_(values) for field, values in among.items() if values is not None]
        if self.worlds is not None:
            conditions.append(col(Job.world_id) == any_(literal(list(self.worlds), ARRAY(Text))))
        if self.created_after is not None:
            conditions.append(col(Job.created_at) > self.created_after)
        if self.created_before is not None:
            conditions.append(col(Job.created_at) < self.created_before)
        return conditions


@dataclass(frozen=True, slots=True)
class Keyset:
    """A page by keyset: `limit` rows between two ids (both left out), newest first unless `oldest_first`."""

    limit: int
    older_than: UUID | None = None
    newer_than: UUID | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it stands, with its asset if it has a ready one."""

    job: JobRecord
    asset: AssetRecord | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, and the snapshot of the database that it shows."""

    states: Sequence[JobState]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class LogPage:
    """The transitions behind a seq, with the job as it stands; all from one snapshot of the database."""

    state: JobState
    transitions: Sequence[TransitionRecord]


async def find_jobs(connection: AsyncConnection, job_ids: Collection[UUID]) -> dict[UUID, JobState]:
    """Read jobs by id; what does not exist is missing from the result."""
    query = select(*_JOB, *_ASSET).outerjoin(Asset, _READY).where(_among(Job.id, job_ids))
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
    """Read a page of jobs. Ids are UUIDv7, so their order is that of creation."""
    rows = select(*_JOB, *_ASSET).outerjoin(Asset, _READY).where(*wanted.conditions())
    if page.older_than is not None:
        rows = rows.where(col(Job.id) < page.older_than)
    if page.newer_than is not None:
        rows = rows.where(col(Job.id) > page.newer_than)
    order = col(Job.id).asc() if page.oldest_first else col(Job.id).desc()
    found = rows.order_by(order).limit(page.limit).subquery()
    # By the outer join an empty page still says which snapshot it was empty in.
    one = select(cast(func.pg_current_snapshot(), Text).label("snapshot")).subquery()
    first = found.c[0]
    query = select(one, found).select_from(one.outerjoin(found, true()))
    result = (await connection.execute(query.order_by(first.asc() if page.oldest_first else first.desc()))).all()
    states = [_state(row[1:]) for row in result if row[1] is not None]
    return JobPage(states, Snapshot.parse(result[0][0]))


async def count_jobs(connection: AsyncConnection, wanted: JobFilter) -> int:
    """Count the jobs that a filter lets through."""
    query: Select[Any] = select(func.count()).select_from(Job).where(*wanted.conditions())
    return int((await connection.execute(query)).scalar_one())


async def find_jobs_by_key(
    connection: AsyncConnection, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], JobState]:
    """Read jobs by world and idempotency key."""
    query = (
        select(*_JOB, *_ASSET)
        .outerjoin(Asset, _READY)
        .where(
            col(Job.world_id).in_({world for world, _ in keys}),
            col(Job.idempotency_key).in_({key for _, key in keys}),
        )
    )
    states = map(_state, await connection.execute(query))
    return {(state.job.world_id, state.job.idempotency_key or ""): state for state in states}


async def find_identical(connection: AsyncConnection, world_id: str, input_hash: str) -> JobState | None:
    """Read the latest job of a world that has the same inputs and is live or succeeded."""
    query = (
        select(*_JOB, *_ASSET)
        .outerjoin(Asset, _READY)
        .where(
            col(Job.world_id) == world_id,
            col(Job.input_hash) == input_hash,
            col(Job.status).not_in((JobStatus.FAILED, JobStatus.CANCELLED)),
        )
        .order_by(col(Job.id).desc())
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else _state(row)


async def read_log(connection: AsyncConnection, job_id: UUID, *, after: int, limit: int) -> LogPage:
    """Read the transitions behind a seq, and the job as it stands.

    Raises:
        JobNotFound: no such job.
    """
    query = (
        select(*_JOB, *_ASSET, *_TRANSITION)
        .outerjoin(Asset, _READY)
        .outerjoin(Transition, and_(col(Transition.job_id) == col(Job.id), col(Transition.seq) > after))
        .where(col(Job.id) == job_id)
        .order_by(col(Transition.seq))
        .limit(limit)
    )
    rows = (await connection.execute(query)).all()
    if not rows:
        raise no_job(job_id)
    start = len(_JOB) + len(_ASSET)
    transitions = [_record(TransitionRecord, row[start:]) for row in rows if row[start] is not None]
    return LogPage(_state(rows[0]), transitions)


async def latest_seqs(connection: AsyncConnection, job_ids: Collection[UUID]) -> dict[UUID, int]:
    """Read how far jobs have come."""
    rows = await connection.execute(select(col(Job.id), col(Job.seq)).where(_among(Job.id, job_ids)))
    return {row[0]: row[1] for row in rows}


async def find_assets(connection: AsyncConnection, asset_ids: Collection[UUID]) -> dict[UUID, AssetRecord]:
    """Read assets by id; what does not exist is missing from the result."""
    rows = await connection.execute(select(*_ASSET).where(_among(Asset.id, asset_ids)))
    return {asset.id: asset for asset in (_record(AssetRecord, row) for row in rows)}


async def find_derivations(connection: AsyncConnection, job_ids: Collection[UUID]) -> dict[UUID, DerivationRecord]:
    """Read what jobs derive from."""
    rows = await connection.execute(select(*_DERIVATION).where(_among(Derivation.job_id, job_ids)))
    return {found.job_id: found for found in (_record(DerivationRecord, row) for row in rows)}


def _among(column: Any, ids: Collection[UUID]) -> ColumnElement[bool]:  # noqa: ANN401 - a column
    # One array is one parameter: the statement stays the same, and prepared, whatever the number of ids.
    return col(column) == any_(literal(list(ids), ARRAY(Uuid)))


def _state(row: Sequence[Any]) -> JobState:
    job = _record(JobRecord, row)
    asset = row[len(_JOB) : len(_JOB) + len(_ASSET)]
    return JobState(job, _record(AssetRecord, asset) if asset[0] is not None else None)


def _record(kind: type[Any], values: Sequence[Any]) -> Any:  # noqa: ANN401 - the caller names the kind
    # Rows come from columns that the database has checked: validating them again would only cost time.
    return kind.model_construct(**dict(zip(kind.model_fields, values, strict=False)))
