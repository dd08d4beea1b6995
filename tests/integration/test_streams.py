"""`jobUpdates` as a stream: in order, none missing, none twice, whatever Redis does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.access import ANONYMOUS
from services.cursors import job_cursor
from services.errors import InvalidInput, JobNotFound
from services.events import job_channel
from services.job_store import advance, claim
from services.lifecycle import Event, JobStatus
from services.moves import Move, Moved
from services.resources import Resources
from services.updates import JobUpdate, StreamItem, UpdateKind
from tests.conftest import Opener, recorded_statements, running_loops, until
from tests.factories import a_request, an_asset

LEASE = timedelta(seconds=30)
CLOSED = "redis://127.0.0.1:1/0"


class Job:
    """A job whose life the test drives, publishing or not."""

    def __init__(self, resources: Resources, moved: Moved) -> None:
        self.resources = resources
        self.moved = moved
        self.id = moved.job.id

    @classmethod
    async def create(cls, resources: Resources) -> "Job":
        creation = await resources.jobs.create(a_request(), ANONYMOUS)
        async with resources.database.connect() as connection:
            moved = (await claim(connection, [creation.state.job.id], LEASE))[creation.state.job.id]
        resources.publisher.publish([JobUpdate.of_move(moved)])
        return cls(resources, moved)

    async def take(self, event: Event, *, publish: bool = True) -> None:
        job = self.moved.job
        asset = an_asset(job) if event is Event.SUCCEED else None
        code = "X" if event in (Event.RETRY, Event.FAIL) else None
        retry_in = timedelta() if event is Event.RETRY else None
        move = Move(
            job.id,
            event,
            held_token=job.fencing_token,
            error_code=code,
            retry_in=retry_in,
            asset=asset,
            lease=LEASE,
        )
        async with self.resources.database.connect() as connection:
            self.moved = (await advance(connection, [move]))[job.id]
        if publish:
            self.resources.publisher.publish([JobUpdate.of_move(self.moved)])

    async def rounds(self, number: int, *, publish: bool = True) -> None:
        """Retry and claim so many times, then succeed."""
        for _ in range(number):
            await self.take(Event.RELEASE, publish=publish)
            await self.take(Event.CLAIM, publish=publish)
        await self.take(Event.SUCCEED, publish=publish)


@asynccontextmanager
async def watching(
    resources: Resources, job: Job, after: str | None = None
) -> AsyncIterator[AsyncGenerator[JobUpdate, None]]:
    async with aclosing(updates_of(resources.streams.job_updates(job.id, after))) as stream:
        yield stream


async def updates_of(stream: AsyncGenerator[StreamItem, None]) -> AsyncGenerator[JobUpdate, None]:
    async with aclosing(stream):
        async for item in stream:
            yield item.update


async def seqs(stream: AsyncGenerator[JobUpdate, None], *, within_s: float = 15) -> list[int]:
    async with asyncio.timeout(within_s):
        return [update.seq async for update in stream]


async def test_a_stream_begins_with_a_snapshot_and_ends_after_the_final_transition(services: Resources) -> None:
    job = await Job.create(services)
    async with watching(services, job) as stream:
        first = await anext(stream)
        assert (first.kind, first.seq, first.status) == (UpdateKind.SNAPSHOT, 2, JobStatus.PROCESSING)
        await job.rounds(2)
        rest = [update async for update in stream]
    assert [update.seq for update in rest] == [3, 4, 5, 6, 7]
    assert {update.kind for update in rest} == {UpdateKind.TRANSITION}
    assert rest[-1].status is JobStatus.SUCCEEDED
    assert rest[-1].asset is not None
    assert services.feed.channels == 0


async def test_a_stream_of_a_final_job_is_its_snapshot(services: Resources) -> None:
    job = await Job.create(services)
    await job.take(Event.FAIL)
    async with watching(services, job) as stream:
        updates = [update async for update in stream]
    assert [(update.kind, update.status) for update in updates] == [(UpdateKind.SNAPSHOT, JobStatus.FAILED)]


async def test_a_stream_goes_on_exactly_behind_its_cursor(services: Resources) -> None:
    job = await Job.create(services)
    await job.rounds(1)
    for position in range(6):
        async with watching(services, job, job_cursor(job.id, position)) as stream:
            assert await seqs(stream) == list(range(position + 1, 6))


async def test_every_message_lost_is_read_from_the_log(services: Resources) -> None:
    """Falls without the check of `Streams.run`."""
    job = await Job.create(services)
    async with watching(services, job) as stream:
        await anext(stream)
        await job.rounds(3, publish=False)
        assert await seqs(stream) == [3, 4, 5, 6, 7, 8, 9]


async def test_a_hole_is_filled_in_order_at_once(unchecked: Resources) -> None:
    """Falls where a live update beyond the next seq is passed on."""
    job = await Job.create(unchecked)
    async with watching(unchecked, job) as stream:
        await anext(stream)
        await job.take(Event.RELEASE, publish=False)
        await job.take(Event.CLAIM, publish=True)
        async with asyncio.timeout(2):
            assert [(await anext(stream)).seq for _ in range(2)] == [3, 4]
        await job.take(Event.SUCCEED)
        assert await seqs(stream) == [5]


async def test_repeated_and_reordered_messages_change_nothing(unchecked: Resources) -> None:
    """Falls where an update is passed on without comparing its seq."""
    job = await Job.create(unchecked)
    updates = [JobUpdate.of_move(job.moved)]
    async with watching(unchecked, job) as stream:
        await anext(stream)
        for event in (Event.RELEASE, Event.CLAIM, Event.SUCCEED):
            await job.take(event, publish=False)
            updates.append(JobUpdate.of_move(job.moved))
        for update in (*reversed(updates), *updates, updates[0]):
            await unchecked.redis.publish(job_channel(job.id), update.model_dump_json())
        assert await seqs(stream) == [3, 4, 5]


async def test_without_redis_a_stream_lives_on_the_log(open_services: Opener) -> None:
    resources = await open_services(REDIS_URL=CLOSED)
    job = await Job.create(resources)
    supervised = asyncio.create_task(resources.streams.run())
    async with watching(resources, job) as stream:
        assert (await anext(stream)).seq == 2
        await job.rounds(1)
        assert await seqs(stream) == [3, 4, 5]
    supervised.cancel()


async def test_what_happens_while_redis_is_lost_is_delivered_when_it_is_back(unchecked: Resources) -> None:
    job = await Job.create(unchecked)
    async with watching(unchecked, job) as stream:
        await anext(stream)
        # Every connection of this user is cut; the publisher and the feed must both find their way back.
        await unchecked.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")  # type: ignore[no-untyped-call]
        await job.rounds(2)
        assert await seqs(stream) == [3, 4, 5, 6, 7]


async def test_a_live_update_costs_no_sql(unchecked: Resources) -> None:
    job = await Job.create(unchecked)
    async with watching(unchecked, job) as stream:
        await anext(stream)
        await unchecked.dispatcher.drain()  # its statement is not the stream's
        moves = [JobUpdate.of_move(job.moved)]
        for event in (Event.RELEASE, Event.CLAIM, Event.SUCCEED):
            await job.take(event, publish=False)
            moves.append(JobUpdate.of_move(job.moved))
        with recorded_statements() as statements:
            unchecked.publisher.publish(moves)
            assert await seqs(stream) == [3, 4, 5]
        assert statements == []


async def test_many_readers_of_one_job_share_one_channel(services: Resources) -> None:
    job = await Job.create(services)

    async def read() -> list[int]:
        async with watching(services, job) as stream:
            return await seqs(stream)

    readers = [asyncio.create_task(read()) for _ in range(20)]
    await until(lambda: len(services.streams._jobs) == 20)  # noqa: SLF001 - how many have subscribed
    assert services.feed.channels == 1
    numbers = await services.redis.execute_command("PUBSUB", "NUMSUB", job_channel(job.id))  # type: ignore[no-untyped-call]
    assert int(numbers[1]) == 1
    await job.rounds(5)
    for result in await asyncio.gather(*readers):
        assert result[-1] == 13
        assert result == list(range(result[0], 14))
    await until(lambda: services.feed.channels == 0)


async def test_a_slow_reader_gets_everything_although_its_buffer_is_bounded(unchecked: Resources) -> None:
    job = await Job.create(unchecked)
    async with watching(unchecked, job) as stream:
        await anext(stream)
        (reader,) = unchecked.streams._jobs  # noqa: SLF001 - whose buffer
        await job.rounds(150)
        await until(lambda: reader.inbox.behind)
        assert await seqs(stream) == list(range(3, 304))


async def test_pruned_history_is_told_by_a_reset(services: Resources) -> None:
    job = await Job.create(services)
    await job.rounds(1)
    async with services.database.connect() as connection:
        await connection.execute(text("DELETE FROM transitions WHERE seq <= 3"))
    async with watching(services, job, job_cursor(job.id, 1)) as stream:
        updates = [update async for update in stream]
    assert [(update.kind, update.seq) for update in updates] == [(UpdateKind.RESET, 5)]


async def test_foreign_and_impossible_cursors_are_refused(services: Resources) -> None:
    job = await Job.create(services)
    for cursor in ("", "x", job_cursor(uuid4(), 1), job_cursor(job.id, 99)):
        async with watching(services, job, cursor) as stream:
            with pytest.raises(InvalidInput):
                await anext(stream)


async def test_an_unknown_job_has_no_stream(services: Resources) -> None:
    async with aclosing(services.streams.job_updates(uuid4())) as stream:
        with pytest.raises(JobNotFound):
            await anext(stream)
    assert services.feed.channels == 0


async def test_a_hundred_streams_survive_a_storm_of_lost_messages(open_services: Opener) -> None:
    """Every third message is lost, the subscription is cut now and then; every seq arrives once, in order."""
    resources = await open_services()
    async with running_loops(resources):
        jobs = [await Job.create(resources) for _ in range(20)]

        async def read(job: Job) -> list[int]:
            async with watching(resources, job) as stream:
                return await seqs(stream, within_s=30)

        readers = [asyncio.create_task(read(job)) for job in jobs for _ in range(5)]
        await until(lambda: len(resources.streams._jobs) == len(readers))  # noqa: SLF001

        async def live(number: int, job: Job) -> None:
            for turn in range(6):
                for event in (Event.RELEASE, Event.CLAIM):
                    await job.take(event, publish=(number + turn) % 3 > 0)
                if (number + turn) % 10 == 0:
                    await resources.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
            await job.take(Event.SUCCEED)

        await asyncio.gather(*(live(number, job) for number, job in enumerate(jobs)))
        for result in await asyncio.gather(*readers):
            assert result == list(range(result[0], 16))
