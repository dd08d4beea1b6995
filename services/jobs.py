"""What clients do with jobs: create them, cancel them, renew them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.access import Caller
from services.catalog import Catalog
from services.database import Database
from services.dispatcher import Dispatcher
from services.errors import IdempotencyConflict
from services.events import Publisher
from services.intake import JobRequest, accept
from services.job_queries import JobState, find_identical, find_jobs_by_key, require_job
from services.job_store import advance, create, explain
from services.lifecycle import WAITING, Event
from services.moves import Move, Moved, NewJob
from services.updates import JobUpdate


@dataclass(frozen=True, slots=True)
class Creation:
    """The answer to a request.

    Attributes:
        state: the job, with its asset if it has one already.
        created: False when an earlier job was returned.
    """

    state: JobState
    created: bool


class Jobs:
    """The door through which clients change jobs."""

    def __init__(self, database: Database, catalog: Catalog, dispatcher: Dispatcher, publisher: Publisher) -> None:
        self.catalog = catalog
        self._database = database
        self._dispatcher = dispatcher
        self._publisher = publisher

    async def create(self, request: JobRequest, caller: Caller) -> Creation:
        """Create one job, or return the earlier one that the request asks to be given instead.

        The job is durable when this returns. SQS and Redis hear of it soon, whether or not they are up now.

        Raises:
            InvalidInput: the first value that breaks a rule, by its path; nothing was stored.
            WorldNotFound: there is no such world for the caller.
            IdempotencyConflict: the key was used in this world with other inputs.
            DatabaseUnavailable: nothing was stored, as far as can be known.
        """
        new = accept(request, self.catalog, requested_by=caller.subject)
        caller.require_world(new.job.world_id)
        if request.reuse_identical:
            created, earlier = await self._create_unless_identical(new)
        else:
            async with self._database.connect() as connection:
                created, earlier = await _create_or_find(connection, new)
        if earlier is not None:
            return Creation(earlier, created=False)
        self._announce(created)
        return Creation(JobState(created[0].job, None), created=True)

    async def cancel(self, job_id: UUID, caller: Caller) -> JobState:
        """End a job that is not final. A run that is under way learns of it and is stopped.

        Raises:
            JobNotFound: no such job for the caller.
            IllegalTransition: the job is final.
        """
        return await self._move(Move(job_id, Event.CANCEL), caller)

    async def renew(self, job_id: UUID, caller: Caller) -> JobState:
        """Put a failed or cancelled job back into the queue with its attempts renewed.

        Raises:
            JobNotFound: no such job for the caller.
            IllegalTransition: the job is neither failed nor cancelled.
        """
        return await self._move(Move(job_id, Event.RENEW), caller)

    async def _create_unless_identical(self, new: NewJob) -> tuple[list[Moved], JobState | None]:
        async with self._database.transaction() as connection:
            # Equal requests wait for each other, or all of them would find nothing and create.
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:hash, 0))")
            await connection.execute(lock, {"hash": new.job.world_id + new.job.input_hash})
            # The key promises more than the wish to reuse, so it is asked first.
            keyed = await _find_by_key(connection, new)
            earlier = keyed or await find_identical(connection, new.job.world_id, new.job.input_hash)
            if earlier is not None:
                return [], earlier
            return await _create_or_find(connection, new)

    async def _move(self, move: Move, caller: Caller) -> JobState:
        async with self._database.connect() as connection:
            await require_job(connection, move.job_id, caller)
            moved = (await advance(connection, [move])).get(move.job_id)
            if moved is None:
                raise (await explain(connection, [move]))[move.job_id].error
        self._announce([moved])
        return JobState(moved.job, moved.asset)

    def _announce(self, moves: Sequence[Moved]) -> None:
        self._publisher.publish(map(JobUpdate.of_move, moves))
        self._dispatcher.submit(moved.job for moved in moves if moved.job.status in WAITING)


async def _create_or_find(connection: AsyncConnection, new: NewJob) -> tuple[list[Moved], JobState | None]:
    """Create a job, or return the one that has its idempotency key."""
    created = await create(connection, [new])
    return created, None if created else await _find_by_key(connection, new)


async def _find_by_key(connection: AsyncConnection, new: NewJob) -> JobState | None:
    """Return the job that has the new one's idempotency key, if it has one and it was used.

    Raises:
        IdempotencyConflict: that job has other inputs.
    """
    if new.job.idempotency_key is None:
        return None
    key = new.job.world_id, new.job.idempotency_key
    earlier = (await find_jobs_by_key(connection, [key])).get(key)
    if earlier is not None and earlier.job.input_hash != new.job.input_hash:
        raise IdempotencyConflict(
            f"The idempotency key was used in world {key[0]!r} by job {earlier.job.id}, with other inputs."
        )
    return earlier
