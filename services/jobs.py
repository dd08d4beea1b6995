"""What clients do with jobs: create them, cancel them, renew them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog import Catalog
from services.database import Database
from services.dispatcher import Dispatcher
from services.errors import IdempotencyConflict
from services.events import Publisher
from services.intake import JobRequest, accept
from services.job_queries import JobState, find_identical, find_jobs_by_key
from services.job_store import Move, Moved, NewJob, advance, create, explain
from services.lifecycle import WAITING, Event
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

    async def create(self, request: JobRequest, *, requested_by: str) -> Creation:
        """Create one job, or return the earlier one that the request asks to be given instead.

        The job is durable when this returns. SQS and Redis hear of it soon, whether or not they are up now.

        Raises:
            InvalidInput: the first value that breaks a rule, by its path; nothing was stored.
            IdempotencyConflict: the key was used in this world with other inputs.
            DatabaseUnavailable: nothing was stored, as far as can be known.
        """
        new = accept(request, self.catalog, requested_by=requested_by)
        async with self._database.connect() as connection:
            if request.reuse_identical:
                earlier = await find_identical(connection, new.job.world_id, new.job.input_hash)
                if earlier is not None:
                    return Creation(earlier, created=False)
            created = await create(connection, [new])
            if not created:
                return await _earlier(connection, new)
        self._announce(created)
        return Creation(JobState(created[0].job, None), created=True)

    async def cancel(self, job_id: UUID) -> JobState:
        """End a job that is not final. A run that is under way learns of it and is stopped.

        Raises:
            JobNotFound: no such job.
            IllegalTransition: the job is final.
        """
        return await self._move(Move(job_id, Event.CANCEL))

    async def renew(self, job_id: UUID) -> JobState:
        """Put a failed or cancelled job back into the queue with its attempts renewed.

        Raises:
            JobNotFound: no such job.
            IllegalTransition: the job is neither failed nor cancelled.
        """
        return await self._move(Move(job_id, Event.RENEW))

    async def _move(self, move: Move) -> JobState:
        async with self._database.connect() as connection:
            moved = (await advance(connection, [move])).get(move.job_id)
            if moved is None:
                raise (await explain(connection, [move]))[move.job_id].error
        self._announce([moved])
        return JobState(moved.job, moved.asset)

    def _announce(self, moves: Sequence[Moved]) -> None:
        self._publisher.publish(map(JobUpdate.of_move, moves))
        self._dispatcher.submit(moved.job for moved in moves if moved.job.status in WAITING)


async def _earlier(connection: AsyncConnection, new: NewJob) -> Creation:
    """Return the job that has the new one's idempotency key."""
    key = new.job.world_id, new.job.idempotency_key or ""
    earlier = (await find_jobs_by_key(connection, [key]))[key]
    if earlier.job.input_hash != new.job.input_hash:
        raise IdempotencyConflict(
            f"The idempotency key was used in world {key[0]!r} by job {earlier.job.id}, with other inputs."
        )
    return Creation(earlier, created=False)
