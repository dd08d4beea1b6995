"""Time and urgency: urgent jobs begin first, low ones never starve, and a FIFO queue keeps a world's order."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.access import ANONYMOUS
from services.job_queries import find_jobs
from services.lifecycle import JobStatus
from services.messages import Delivery
from services.models import JobRecord
from services.queues import Urgency
from services.resources import Resources
from tests.conftest import Opener, running_loops, until
from tests.factories import a_request
from tests.inprocess import InProcessWorker
from worker.polling import Poller


@pytest.fixture
async def worker(open_services: Opener) -> AsyncIterator[InProcessWorker]:
    """A worker of two slots."""
    resources = await open_services(LOREKEEPER_WORKER_CONCURRENCY="2")
    async with running_loops(resources):
        yield InProcessWorker(resources)


async def ask(resources: Resources, priorities: Sequence[int], **changes: object) -> list[JobRecord]:
    """Ask for jobs that take 20 ms, one for each priority; they are in SQS when this returns."""
    prompt = {"duration_ms": 20}
    wanted = [a_request(priority=priority, prompt_spec=prompt, **changes) for priority in priorities]
    made = await resources.jobs.create_many(wanted, ANONYMOUS)
    await resources.dispatcher.drain()
    return [creation.state.job for creation in made]


async def begun(resources: Resources, jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Wait until jobs have succeeded; returns them in the order in which they began."""

    async def found() -> list[JobRecord]:
        async with resources.database.connect() as connection:
            return [state.job for state in (await find_jobs(connection, [job.id for job in jobs])).values()]

    async def done() -> bool:
        return all(job.status is JobStatus.SUCCEEDED for job in await found())

    await until(done, within_s=30)
    return sorted(await found(), key=lambda job: job.started_at or datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("priority", "urgency"),
    [(0, "low"), (2, "low"), (3, "normal"), (5, "normal"), (6, "normal"), (7, "high"), (9, "high")],
)
def test_a_priority_has_its_urgency(priority: int, urgency: str) -> None:
    assert Urgency.of(priority) == urgency


async def test_urgent_jobs_begin_first_whatever_waits(worker: InProcessWorker) -> None:
    """Falls where all priorities go to one queue."""
    services = worker.resources
    waiting = await ask(services, [1, 5] * 40)
    urgent = await ask(services, [9] * 10)
    async with worker.running():
        order = [job.priority for job in await begun(services, waiting + urgent)]
    last = max(place for place, priority in enumerate(order) if priority == 9)
    assert last < 30, order
    assert order.index(5) < 15, order


async def test_a_job_that_becomes_urgent_while_others_wait_passes_them(worker: InProcessWorker) -> None:
    services = worker.resources
    waiting = await ask(services, [5] * 100)
    async with worker.running():
        await asyncio.sleep(0.3)
        urgent = await ask(services, [9])
        order = await begun(services, waiting + urgent)
    started_at = {job.id: job.started_at for job in order}[urgent[0].id]
    assert started_at is not None
    behind = [job for job in order if job.started_at and job.started_at > started_at]
    assert len(behind) > 40
    assert started_at - urgent[0].created_at < timedelta(seconds=1)


async def test_low_jobs_do_not_starve_while_urgent_ones_keep_coming(worker: InProcessWorker) -> None:
    """Falls without the turns that are for the low: they would begin when nothing else is left."""
    services = worker.resources
    low = await ask(services, [0] * 5)
    urgent = await ask(services, [9] * 150)
    async with worker.running():
        order = [job.priority for job in await begun(services, low + urgent)]
    assert max(place for place, priority in enumerate(order) if priority == 0) < 110, order


async def test_what_finds_no_room_is_given_back(open_services: Opener) -> None:
    """Falls without `_drop`: others would wait for its visibility to end."""
    resources = await open_services()
    returned: list[Delivery] = []
    poller = Poller(resources.queues, returned.append, keep=timedelta(milliseconds=200))
    await ask(resources, [0, 9])
    (first,) = await poller.receive(1)
    await until(lambda: len(returned) == 1)
    assert returned[0].queue != first.queue
    await resources.queues.change_visibility([(returned[0], timedelta())])
    (again,) = await poller.receive(1)
    assert again.body == returned[0].body
    await poller.stop()


async def test_a_fifo_queue_keeps_the_order_of_a_world(open_services: Opener) -> None:
    """One job of a world runs at a time, those of others beside it."""
    resources = await open_services(LOREKEEPER_SQS_FIFO="true", LOREKEEPER_WORKER_CONCURRENCY="10")
    assert resources.queues.normal.name.endswith(".fifo")
    async with running_loops(resources):
        worker = InProcessWorker(resources)
        jobs = [
            job
            for number in range(8)
            for job in await ask(resources, [5], world_id="eldoria" if number % 2 else "mirth")
        ]
        async with worker.running():
            order = await begun(resources, jobs)
    for world in ("eldoria", "mirth"):
        own = [job for job in order if job.world_id == world]
        assert [job.id for job in own] == [job.id for job in jobs if job.world_id == world]
        for first, second in itertools.pairwise(own):
            assert first.finished_at is not None
            assert second.started_at is not None
            assert first.finished_at <= second.started_at


async def test_a_fifo_queue_begins_a_job_within_a_second_of_its_instant(open_services: Opener) -> None:
    """It cannot hold one message back, so PostgreSQL does. Falls where the sweep waits for an age first."""
    resources = await open_services(LOREKEEPER_SQS_FIFO="true")
    async with running_loops(resources) as supervisor:
        supervisor.start("dispatcher", resources.dispatcher.run)
        worker = InProcessWorker(resources)
        run_at = datetime.now(UTC) + timedelta(seconds=1.5)
        jobs = await ask(resources, [5], run_at=run_at)
        async with worker.running():
            (job,) = await begun(resources, jobs)
    assert job.started_at is not None
    assert timedelta() <= job.started_at - run_at < timedelta(seconds=1.5)
