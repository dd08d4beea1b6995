"""What clients do with jobs: create them, cancel them, renew them."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.access import Caller
from services.catalog import Catalog
from services.creations import Creation, create_all
from services.database import Database
from services.dispatcher import Dispatcher
from services.errors import InvalidInput
from services.events import Publisher
from services.intake import InputLimits, JobRequest, Path, accept
from services.job_queries import JobState, require_job
from services.job_store import advance, explain
from services.lifecycle import WAITING, Event
from services.moves import Move, Moved, NewJob
from services.updates import JobUpdate

_MOST: Final = 1000
_SLICE: Final = 25
"""Requests that are validated without letting anything else run: a few milliseconds."""


class Jobs:
    """The door through which clients change jobs."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        dispatcher: Dispatcher,
        publisher: Publisher,
        limits: InputLimits,
    ) -> None:
        self.catalog = catalog
        self._limits = limits
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
        return (await self._create([self._accepted(request, caller, ("input",))]))[0]

    async def create_many(self, requests: Sequence[JobRequest], caller: Caller) -> list[Creation]:
        """Do what `create` does for each request, in their order and as if one came after the other: all or none.

        Raises:
            InvalidInput: there are none or too many, or the first value that breaks a rule; nothing was stored.
            WorldNotFound: as `create`, for any of them; nothing was stored.
            IdempotencyConflict: likewise; a key may come twice if it comes with the same inputs.
            DatabaseUnavailable: nothing was stored, as far as can be known.
        """
        if not 1 <= len(requests) <= _MOST:
            raise InvalidInput(["inputs"], f"must hold from 1 to {_MOST} inputs")
        accepted = []
        for i, request in enumerate(requests):
            accepted.append(self._accepted(request, caller, ("inputs", i)))
            if i % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return await self._create(accepted)

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

    def _accepted(self, request: JobRequest, caller: Caller, path: Path) -> NewJob:
        new = accept(request, self.catalog, requested_by=caller.subject, path=path, limits=self._limits)
        caller.require_world(new.job.world_id)
        return new

    async def _create(self, accepted: Sequence[NewJob]) -> list[Creation]:
        answers, moves = await create_all(self._database, accepted)
        self._announce(moves)
        return answers

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
