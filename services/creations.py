"""Creating jobs, or finding the earlier ones that requests ask to be given instead: all of a call, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.database import Database
from services.errors import IdempotencyConflict
from services.job_queries import JobState, find_identical, find_jobs_by_key
from services.job_store import create
from services.models import JobRecord
from services.moves import Moved, NewJob, WorldKey

_LOCKS: Final = 0x696E7075  # "inpu"; the advisory locks of equal requests
# 1,024 of them at the most: a lock for each of a thousand inputs would soon fill PostgreSQL's table of locks.
# Taken in one order, so that two calls never wait for each other.
_LOCK: Final = text(f"""
SELECT pg_advisory_xact_lock({_LOCKS}, place) FROM (
    SELECT DISTINCT (hashtextextended(input_hash, 0) & 1023)::int AS place
    FROM unnest(CAST(:input_hashes AS text[])) AS input_hash ORDER BY 1
) AS places
""")  # noqa: S608 - the interpolated part is a number of ours


@dataclass(frozen=True, slots=True)
class Creation:
    """The answer to a request.

    Attributes:
        state: the job, with its asset if it has one already.
        created: False when an earlier job was returned.
    """

    state: JobState
    created: bool


async def create_all(database: Database, wanted: Sequence[NewJob]) -> tuple[list[Creation], list[Moved]]:
    """Create jobs as if each request had come after the one before it, in a constant number of statements.

    Returns:
        The answers in the order of the requests, and what was created.

    Raises:
        IdempotencyConflict: a key was used with other inputs; nothing was stored.
        DatabaseUnavailable: nothing was stored, as far as can be known.
    """
    reuses = any(new.reuse_identical for new in wanted)
    keyed = sum(new.key is not None for new in wanted)
    # A statement is atomic by itself. Only where another one follows that may refuse the call, or where one
    # precedes it that must still hold, does it take a transaction.
    lend = database.transaction if reuses or (keyed and len(wanted) > 1) else database.connect
    async with lend() as connection:
        if not reuses:
            return await _carry_out(connection, _Plan(wanted))
        # Equal requests wait for each other, or all of them would find nothing and create.
        reusing = [new.job for new in wanted if new.reuse_identical]
        await connection.execute(_LOCK, {"input_hashes": [job.input_hash for job in reusing]})
        by_key = await find_jobs_by_key(connection, [new.key for new in wanted if new.key]) if keyed else {}
        identical = await find_identical(connection, {(job.world_id, job.input_hash) for job in reusing})
        return await _carry_out(connection, _Plan(wanted, by_key, identical))


class _Plan:
    """What is to become of each request, decided in their order.

    Attributes:
        jobs: what to create.
        keys: what keys shall stand for, those of the jobs to create too.
        answers: the job that each request is to get.
        states: the earlier jobs among them.
    """

    def __init__(
        self,
        wanted: Sequence[NewJob],
        by_key: Mapping[WorldKey, JobState] = MappingProxyType({}),
        identical: Mapping[tuple[str, str], JobState] = MappingProxyType({}),
    ) -> None:
        self.wanted = wanted
        self.jobs: list[NewJob] = []
        self.keys: dict[WorldKey, UUID] = {}
        self.answers: list[UUID] = []
        self.states = {state.job.id: state for found in (by_key, identical) for state in found.values()}
        self._by_key = {key: state.job for key, state in by_key.items()}
        self._identical = {inputs: state.job for inputs, state in identical.items()}
        for new in wanted:
            self.answers.append(self._decide(new))

    def _decide(self, new: NewJob) -> UUID:
        inputs = new.job.world_id, new.job.input_hash
        # A key promises more than the wish to reuse, so it is asked first.
        if new.key in self._by_key:
            earlier = self._by_key[new.key]
            _check_inputs(new, earlier)
            return earlier.id
        job = self._identical.get(inputs) if new.reuse_identical else None
        if job is None:
            job = self._identical[inputs] = new.job
            self.jobs.append(new)
        if new.key is not None:
            self._by_key[new.key] = job
            self.keys[new.key] = job.id
        return job.id


async def _carry_out(connection: AsyncConnection, plan: _Plan) -> tuple[list[Creation], list[Moved]]:
    moves = await create(connection, plan.jobs, plan.keys) if plan.jobs or plan.keys else []
    states = plan.states | {moved.job.id: JobState(moved.job, None) for moved in moves}
    created = {moved.job.id for moved in moves}
    # Whether a key is this call's, or another was faster, only the table of keys can tell.
    unsure = [key for key, job_id in plan.keys.items() if job_id not in created]
    by_key = await find_jobs_by_key(connection, unsure) if unsure else {}
    for key, state in by_key.items():
        states.setdefault(plan.keys[key], state)
    answers = []
    for new, job_id in zip(plan.wanted, plan.answers, strict=True):
        state = by_key.get(new.key, states[job_id]) if new.key else states[job_id]
        if new.key in by_key:
            _check_inputs(new, state.job)
        answers.append(Creation(state, created=new.job.id in created))
    return answers, moves


def _check_inputs(new: NewJob, earlier: JobRecord) -> None:
    if earlier.input_hash != new.job.input_hash:
        raise IdempotencyConflict(
            f"The idempotency key {new.job.idempotency_key!r} was used in world {earlier.world_id!r}"
            f" by job {earlier.id}, with other inputs."
        )
