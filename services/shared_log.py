"""The log as the streams of one process read it: those that ask together share statements.

A stream may be cancelled at any moment, whenever its client leaves, and a statement that is cancelled costs its
connection. So no stream holds one: the statements run in tasks that are nobody's, a few at once, however many
clients resume together.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from services.batching import Batcher
from services.cursors import world_cursor
from services.database import Database
from services.errors import InvalidInput
from services.job_queries import LogPage, LogRange, no_job, read_logs
from services.positions import Position
from services.world_log import PAGE, Chunk, read_world

_MOST_JOBS: Final = 50
_MOST_WORLDS: Final = 25
_AT_ONCE: Final = 2
"""Connections that either kind of reading takes at the most: the rest of the pool is everybody's."""


class SharedLog:
    """Reads the log for streams."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs = Batcher(self._read_jobs, most=_MOST_JOBS, linger=timedelta(), at_once=_AT_ONCE)
        self._worlds = Batcher(self._read_worlds, most=_MOST_WORLDS, linger=timedelta(), at_once=_AT_ONCE)

    async def job(self, job_id: UUID, *, after: int, most: int) -> LogPage:
        """Read a job as it stands now or later, with its transitions behind a seq.

        Raises:
            JobNotFound: no such job.
            DatabaseUnavailable: the log cannot be read.
        """
        page = await self._jobs.put(LogRange(job_id, after, most))
        if page is None:
            raise no_job(job_id)
        return page

    async def world(self, world_id: str, position: Position) -> Chunk:
        """Read what a reader at a position of a world has not been given by now, about a page of it.

        Raises:
            InvalidInput: the position lies ahead of the database.
            DatabaseUnavailable: the log cannot be read.
        """
        chunk = await self._worlds.put((world_id, position))
        if isinstance(chunk, InvalidInput):
            raise chunk
        # The position is the caller's to go on from.
        return Chunk(chunk.updates, chunk.position.copy(), chunk.complete)

    async def _read_jobs(self, wanted: Sequence[LogRange]) -> Sequence[LogPage | None]:
        async with self._database.connect() as connection:
            return await read_logs(connection, wanted)

    async def _read_worlds(self, wanted: Sequence[tuple[str, Position]]) -> Sequence[Chunk | InvalidInput]:
        # After a restart of the API all that were level with each other resume from the same cursor.
        places = [(world_id, world_cursor(world_id, position)) for world_id, position in wanted]
        read: dict[tuple[str, str], Chunk | InvalidInput] = {}
        async with self._database.connect() as connection:
            for place, (world_id, position) in dict(zip(places, wanted, strict=True)).items():
                try:
                    read[place] = await read_world(connection, world_id, position, most=PAGE)
                except InvalidInput as error:
                    read[place] = error
        return [read[place] for place in places]
