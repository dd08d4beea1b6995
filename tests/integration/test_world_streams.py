"""`worldUpdates` as a stream: each job's transitions in order, none missing, none twice, whatever commits late."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cursors import job_cursor, world_cursor
from services.database import Database
from services.errors import DatabaseUnavailable, InvalidInput
from services.events import world_channel
from services.job_queries import JobFilter, page_of_jobs
from services.job_store import advance, create
from services.lifecycle import Event, JobStatus
from services.lists import Keyset
from services.models import AssetType
from services.positions import Position, Snapshot
from services.resources import Resources
from services.retention import prune
from services.streams import WorldFilter
from services.updates import JobUpdate, StreamItem, UpdateKind
from services.world_log import Chunk, read_world
from tests.conftest import Opener, recorded_statements, until
from tests.factories import a_new_job
from tests.worlds import (
    WORLD,
    World,
    begun,
    entries,
    in_order,
    level,
    present,
    snapshot,
    take,
    watching,
)


async def test_every_job_of_the_world_is_followed_from_now(services: Resources) -> None:
    world = World(services)
    old = await world.create()
    async with begun(services) as stream:
        new = await world.create()
        await world.take(old, Event.CLAIM)
        await world.live(new)
        found = await take(stream, 6)
    assert entries(found) == [(new, 1), (old, 2), (new, 2), (new, 3), (new, 4), (new, 5)]
    assert found[-1].update.status is JobStatus.SUCCEEDED
    assert found[-1].update.asset is not None
    assert services.feed.channels == 0


async def test_without_a_cursor_nothing_comes_that_was_before(services: Resources) -> None:
    world = World(services)
    for _ in range(3):
        await world.live(await world.create(), publish=False)
    async with begun(services) as stream:
        new = await world.create()
        assert entries(await take(stream, 1)) == [(new, 1)]


async def test_a_stream_goes_on_exactly_behind_every_cursor(services: Resources) -> None:
    world = World(services)
    start = await present(services)
    jobs = [await world.create() for _ in range(3)]
    for event in (Event.CLAIM, Event.RELEASE, Event.CLAIM, Event.SUCCEED):
        for job_id in jobs:
            await world.take(job_id, event)
    async with watching(services, start) as stream:
        found = await take(stream, len(world.log))
    assert entries(found) == [(update.job.id, update.seq) for update in world.log]
    for position, item in enumerate(found[:-1]):
        async with watching(services, item.cursor) as stream:
            assert entries(await take(stream, len(found) - position - 1)) == entries(found[position + 1 :])


async def test_cursors_of_live_updates_resume_as_exactly(services: Resources) -> None:
    world = World(services)
    async with begun(services) as stream:
        jobs = [await world.create() for _ in range(3)]
        for job_id in jobs:
            await world.live(job_id)
        found = await take(stream, len(world.log))
    in_order(entries(found))
    for position, item in enumerate(found[:-1]):
        async with watching(services, item.cursor) as stream:
            rest = entries(await take(stream, len(found) - position - 1))
        assert sorted(rest) == sorted(entries(found[position + 1 :]))
        in_order(rest, in_order(entries(found[: position + 1])))


async def test_between_a_page_and_its_stream_nothing_is_missed_or_repeated(services: Resources) -> None:
    world = World(services)
    creating = asyncio.create_task(_keep_creating(world, 60))
    await until(lambda: len(world.log) > 10)
    async with services.database.connect() as connection:
        page = await page_of_jobs(connection, JobFilter(world_id=WORLD), Keyset(limit=1000))
    listed = {state.job.id: state.job.seq for state in page.states}
    assert 0 < len(listed) < 60
    async with watching(services, world_cursor(None, Position(page.snapshot))) as stream:
        await creating
        found = entries(await take(stream, len(world.log) - sum(listed.values())))
    in_order(found, listed)


async def _keep_creating(world: World, number: int) -> None:
    for _ in range(number):
        job_id = await world.create()
        await world.take(job_id, Event.CLAIM)


async def test_an_empty_page_has_a_cursor_too(services: Resources) -> None:
    async with services.database.connect() as connection:
        page = await page_of_jobs(connection, JobFilter(world_id=WORLD), Keyset(limit=10))
    assert page.states == []
    world = World(services)
    job_id = await world.create()
    async with watching(services, world_cursor(WORLD, Position(page.snapshot))) as stream:
        assert entries(await take(stream, 1)) == [(job_id, 1)]


async def test_every_message_lost_is_read_from_the_log(services: Resources) -> None:
    """Falls without the check of `Streams.run`."""
    world = World(services)
    async with begun(services) as stream:
        job_id = await world.create(publish=False)
        await world.live(job_id, publish=False)
        assert entries(await take(stream, 5)) == [(job_id, seq) for seq in range(1, 6)]


async def test_a_hole_is_filled_in_order_at_once(unchecked: Resources) -> None:
    """Falls where the tail passes a transition on whose predecessor it has not."""
    world = World(unchecked)
    async with begun(unchecked) as stream:
        job_id = await world.create()
        assert entries(await take(stream, 1)) == [(job_id, 1)]
        await world.take(job_id, Event.CLAIM, publish=False)
        await world.take(job_id, Event.RELEASE)
        assert entries(await take(stream, 2, within_s=2)) == [(job_id, 2), (job_id, 3)]


async def test_repeated_and_reordered_messages_change_nothing(unchecked: Resources) -> None:
    """Falls where the tail does not ask whether it has passed an entry on."""
    world = World(unchecked)
    async with begun(unchecked) as stream:
        jobs = [await world.create(publish=False) for _ in range(3)]
        for job_id in jobs:
            await world.live(job_id, publish=False)
        messages = [*world.log, *reversed(world.log), *world.log]
        random.shuffle(messages)
        for update in messages:
            await unchecked.redis.publish(world_channel(WORLD), update.model_dump_json())
        found = entries(await take(stream, len(world.log)))
        in_order(found)
        last = await world.create()
        assert entries(await take(stream, 1)) == [(last, 1)]
    assert sorted(found) == sorted((update.job.id, update.seq) for update in world.log[:-1])


async def test_without_redis_a_stream_lives_on_the_log(open_services: Opener) -> None:
    resources = await open_services(REDIS_URL="redis://127.0.0.1:1/0")
    world = World(resources)
    checking = asyncio.create_task(resources.streams.run())
    async with begun(resources) as stream:
        job_id = await world.create()
        await world.live(job_id)
        assert entries(await take(stream, 5)) == [(job_id, seq) for seq in range(1, 6)]
    checking.cancel()


async def test_progress_comes_only_between_its_transitions(unchecked: Resources) -> None:
    world = World(unchecked)
    async with begun(unchecked) as stream:
        job_id = await world.create()
        await world.take(job_id, Event.CLAIM)
        await take(stream, 2)
        job = world.log[-1].job
        now = world.log[-1].at
        half, late = (
            JobUpdate.of_state(UpdateKind.PROGRESS, job.model_copy(update={"seq": seq, "progress": 0.5}), now)
            for seq in (2, 1)
        )
        for update in (half, late):
            await unchecked.redis.publish(world_channel(WORLD), update.model_dump_json())
        await world.take(job_id, Event.RELEASE)
        await unchecked.publisher.drain()
        await unchecked.redis.publish(world_channel(WORLD), half.model_dump_json())
        await world.create()
        found = await take(stream, 3)
    assert [(item.update.kind, item.update.seq) for item in found] == [
        (UpdateKind.PROGRESS, 2),
        (UpdateKind.TRANSITION, 3),
        (UpdateKind.TRANSITION, 1),
    ]


async def test_the_filter_admits_what_it_names_and_nothing_else(services: Resources) -> None:
    world = World(services)
    async with begun(
        services, None, WorldFilter(status={JobStatus.SUCCEEDED}, asset_type={AssetType.IMAGE})
    ) as stream:
        for _ in range(3):
            await world.live(await world.create())
        found = await take(stream, 3)
        assert [(item.update.status, item.update.seq) for item in found] == [(JobStatus.SUCCEEDED, 5)] * 3
    async with watching(services, found[1].cursor, WorldFilter(status={JobStatus.SUCCEEDED})) as stream:
        assert entries(await take(stream, 1)) == entries(found[2:])


async def test_live_updates_cost_no_sql_and_one_channel_for_all(unchecked: Resources) -> None:
    world = World(unchecked)
    job_id = await world.create()
    for _ in range(30):
        await world.take(job_id, Event.CLAIM, publish=False)
        await world.take(job_id, Event.RELEASE, publish=False)
    start = await present(unchecked)

    async def read() -> list[StreamItem]:
        async with watching(unchecked, start) as stream:
            return await take(stream, 40)

    readers = [asyncio.create_task(read()) for _ in range(20)]
    await level(unchecked, len(readers))
    numbers = await unchecked.redis.execute_command("PUBSUB", "NUMSUB", world_channel(WORLD))  # type: ignore[no-untyped-call]
    assert int(numbers[1]) == 1
    begin = len(world.log)
    for _ in range(20):
        await world.take(job_id, Event.CLAIM, publish=False)
        await world.take(job_id, Event.RELEASE, publish=False)
    with recorded_statements() as statements:
        unchecked.publisher.publish(world.log[begin:])
        results = await asyncio.gather(*readers)
    assert statements == []
    for result in results[1:]:
        assert all(mine is theirs for mine, theirs in zip(results[0], result, strict=True)), "one object for all"
    await until(lambda: unchecked.feed.channels == 0 and not unchecked.streams._tails)  # noqa: SLF001


async def test_what_precedes_an_entry_is_read_with_it(services: Resources, database: Database) -> None:
    """Falls without `preceding`: a later seq may come with an earlier transaction, in an earlier chunk."""
    world = World(services)
    begin = Position(await snapshot(services))
    shared = await world.create()
    async with database.transaction() as early:
        await create(early, [a_new_job(world_id=WORLD)])
        await world.take(shared, Event.CLAIM)
        await advance(early, [world.move(shared, Event.RELEASE)])
    async with services.database.connect() as connection:
        first = await read_world(connection, WORLD, begin, most=3)
        second = await read_world(connection, WORLD, first.position, most=3)
    assert not first.complete
    assert [update.seq for update in first.updates if update.job.id == shared] == [1, 2, 3]
    assert (list(second.updates), second.complete) == ([], True)


async def test_who_joins_a_tail_that_has_missed_something_gets_it_once(unchecked: Resources) -> None:
    """Falls where a reader that has caught up by the log does not wait until the tail has."""
    world = World(unchecked)
    start = await present(unchecked)
    async with begun(unchecked) as early:
        job_id = await world.create(publish=False)
        await world.take(job_id, Event.CLAIM, publish=False)
        async with begun(unchecked, start, readers=2) as late:
            await world.take(job_id, Event.RELEASE)
            for stream in (early, late):
                assert entries(await take(stream, 3)) == [(job_id, 1), (job_id, 2), (job_id, 3)]


async def test_what_arrives_while_the_log_is_read_comes_once(
    unchecked: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Falls where the tail forgets, with a new snapshot, what it took since that was taken."""
    world = World(unchecked)
    late: list[UUID] = []

    async def read_slowly(connection: AsyncConnection, world_id: str, position: Position, *, most: int) -> Chunk:
        chunk = await read_world(connection, world_id, position, most=most)
        late.append(await world.create(publish=False))
        unchecked.streams._tails[WORLD].push(StreamItem(world.log[-1]))  # noqa: SLF001 - as the feed would
        return chunk

    async with begun(unchecked) as stream:
        tail = unchecked.streams._tails[WORLD]  # noqa: SLF001 - to let it read
        monkeypatch.setattr("services.world_tail.read_world", read_slowly)
        for _ in range(3):
            await tail.refresh()
        monkeypatch.undo()
        await tail.refresh()
        last = await world.create()
        assert entries(await take(stream, 4)) == [(job_id, 1) for job_id in (*late, last)]


async def test_a_slow_reader_gets_everything_although_its_buffer_is_bounded(unchecked: Resources) -> None:
    world = World(unchecked)
    async with watching(unchecked, await present(unchecked)) as stream:
        jobs = [await world.create() for _ in range(4)]
        await take(stream, 1)
        (follower,) = unchecked.streams._tails[WORLD].followers  # noqa: SLF001 - whose place it is
        for _ in range(40):
            for job_id in jobs:
                await world.take(job_id, Event.CLAIM)
                await world.take(job_id, Event.RELEASE)
        await until(lambda: follower.link is None)
        found = entries(await take(stream, len(world.log) - 1))
        in_order([(jobs[0], 1), *found])
        last = await world.create()
        assert entries(await take(stream, 1)) == [(last, 1)]


async def test_pruned_history_is_told_by_resets_in_its_place(services: Resources) -> None:
    """Falls where `read_world` does not ask for the predecessor of an entry."""
    world = World(services)
    start = await present(services)
    old = await world.create()
    await world.live(old)
    recent = await world.create()
    await world.take(recent, Event.CLAIM)
    async with services.database.connect() as connection:
        await connection.execute(text("UPDATE transitions SET at = at - interval '2 days'"))
        await connection.execute(
            text("UPDATE jobs SET finished_at = finished_at - interval '2 days' WHERE finished_at IS NOT NULL")
        )
        assert await prune(connection, older_than=timedelta(days=1), most=100) == 4
    async with watching(services, start) as stream:
        found = await take(stream, 3)
        await world.take(recent, Event.RELEASE)
        found += await take(stream, 1)
    assert [(item.update.kind, item.update.job.id, item.update.seq) for item in found] == [
        (UpdateKind.RESET, old, 5),
        (UpdateKind.TRANSITION, recent, 1),
        (UpdateKind.TRANSITION, recent, 2),
        (UpdateKind.TRANSITION, recent, 3),
    ]
    assert found[0].update.job.status is JobStatus.SUCCEEDED
    async with watching(services, found[0].cursor) as stream:
        assert entries(await take(stream, 3)) == entries(found)


async def test_cursors_that_are_none_of_this_world_are_refused(services: Resources) -> None:
    ahead = world_cursor(WORLD, Position(Snapshot(2**62 + 3, 2**62 + 3)))
    foreign = world_cursor("narnia", Position(Snapshot(3, 3)))
    for cursor in ("", "x", "A" * 100, ahead, foreign, job_cursor(a_new_job().job.id, 1)):
        async with watching(services, cursor) as stream:
            with pytest.raises(InvalidInput) as caught:
                await anext(stream)
            assert caught.value.path == ("after",)
    assert services.feed.channels == 0


async def test_a_stream_outlives_an_outage_of_the_log(
    services: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(services)
    async with begun(services) as stream:
        job_id = await world.create()
        await take(stream, 1)
        tail = services.streams._tails[WORLD]  # noqa: SLF001 - to let it read
        with monkeypatch.context() as patch:
            patch.setattr(Database, "connect", _unavailable)
            with pytest.raises(DatabaseUnavailable):
                await tail.refresh()
            async with watching(services, tail.cursor) as late:
                with pytest.raises(DatabaseUnavailable):
                    await anext(late)
        await world.take(job_id, Event.CLAIM, publish=False)
        assert entries(await take(stream, 1)) == [(job_id, 2)]


def _unavailable(_: Database) -> object:
    raise DatabaseUnavailable("PostgreSQL does not answer.")


async def test_a_reset_passes_every_filter_of_status() -> None:
    update = JobUpdate.of_state(UpdateKind.RESET, a_new_job().job, datetime.now(UTC))
    assert WorldFilter(status={JobStatus.FAILED}).admits(update)
    assert not WorldFilter(requested_by="somebody else").admits(update)
