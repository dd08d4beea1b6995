"""Guarantees 1 to 6 and 12 under fire: real processes, really killed.

Each test names the line whose removal makes it fail. The short form runs in `make test`, the long one in
`make soak`.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import psutil
import pytest

from services.lifecycle import Event
from services.local_stack import Part
from services.messages import Message
from services.resources import find_endpoints, open_resources
from services.settings import load_settings
from services.sqs import Queue
from tests.conftest import until
from tests.faults.conftest import GRACE_S, LEASE_S, TIMEOUT_S, System, a_mix, size

pytestmark = pytest.mark.timeout(900)


async def test_workers_killed_at_random_moments_lose_and_double_nothing(system: System) -> None:
    """Falls without RECLAIM among `claim_moves`: the jobs of dead workers stay PROCESSING."""
    for _ in range(3):
        await system.ready_worker()
    loading = asyncio.create_task(system.load(size(120, 1000), a_mix))
    for _ in range(size(4, 40)):
        await asyncio.sleep(random.uniform(0.2, 1.0))
        victim = random.choice(system.workers)
        victim.popen.kill()
        system.workers.remove(victim)
        system.start_worker()
    await loading
    took_s = await system.settle(within_s=size(60, 300))
    ended = await system.check()
    print(f"\nworkers killed: {dict(ended)}, all final {took_s:.1f} s after the last creation")


async def test_the_job_of_a_killed_worker_runs_again_within_one_lease_and_a_fifth(system: System) -> None:
    """Falls where the heartbeat extends the message for longer than the lease."""
    for _ in range(size(1, 5)):
        victim = await system.ready_worker()
        job_id = await system.create({"duration_ms": 60_000, "steps": 600})
        await until(partial(_ran, system, job_id, Event.CLAIM))
        heir = await system.ready_worker()
        await asyncio.sleep(random.uniform(0, 1))  # anywhere between two heartbeats
        killed_at = datetime.now(UTC)
        victim.popen.kill()
        await until(partial(_ran, system, job_id, Event.RECLAIM), within_s=20)
        async with system.database() as connection:
            reclaimed_at = await connection.fetchval(
                "SELECT at FROM transitions WHERE job_id = $1 AND event = 'RECLAIM'", job_id
            )
        took_s = (reclaimed_at - killed_at).total_seconds()
        print(f"\nran again {took_s:.2f} s after the kill, lease {LEASE_S} s")
        assert took_s <= 1.2 * LEASE_S
        await system.cancel(job_id)
        await system.settle()
        heir.popen.kill()
    await system.check()


async def _ran(system: System, job_id: UUID, event: Event) -> bool:
    return event in await system.events(job_id)


async def test_an_api_killed_between_commit_and_send_loses_nothing(system: System) -> None:
    """Falls without `Dispatcher.run`: nobody sends what the dead process had committed."""
    await system.ready_worker()
    assert system.api is not None
    sqs = system.pid(Part.SQS)
    os.kill(sqs, signal.SIGSTOP)  # commits go on, sends hang
    try:
        await asyncio.wait_for(system.load(size(20, 200), dict), 30)
        system.api.popen.kill()
    finally:
        os.kill(sqs, signal.SIGCONT)
    system.start_api()
    took_s = await system.settle(within_s=60)
    assert (await system.check()).total() == len(system.accepted)
    print(f"\nall final {took_s:.1f} s after the API was back")


async def test_a_worker_that_wakes_after_its_lease_changes_nothing(system: System) -> None:
    """Falls without the fence: `NOT w.holder OR j.fencing_token = w.held_token` in the store.

    It wakes while its heir is running the job, so that nothing but the fence can refuse what it writes.
    """
    sleeper = await system.ready_worker()
    jobs = await system.load(5, lambda: {"duration_ms": 2500})
    await asyncio.gather(*(until(partial(_ran, system, job, Event.CLAIM)) for job in jobs))
    sleeper.popen.send_signal(signal.SIGSTOP)
    try:
        await system.ready_worker()
        await asyncio.gather(*(until(partial(_ran, system, job, Event.RECLAIM)) for job in jobs))
    finally:
        sleeper.popen.send_signal(signal.SIGCONT)
    await system.settle()
    for job in jobs:
        assert await system.events(job) == [Event.CREATE, Event.CLAIM, Event.RECLAIM, Event.SUCCEED]
    async with system.database() as connection:
        keys = await connection.fetch("SELECT storage_key FROM assets WHERE job_id = ANY ($1)", jobs)
    assert all(row["storage_key"].endswith("/2.bin") for row in keys)  # what the heir made
    await system.check()


@pytest.mark.parametrize("part", list(Part))
async def test_a_service_that_is_killed_under_load_costs_nothing(system: System, part: Part) -> None:
    """Falls where a loop is not supervised: the consumer, the dispatcher, the publisher or the feed stays dead."""
    for _ in range(2):
        await system.ready_worker()
    loading = asyncio.create_task(system.load(size(80, 300), a_mix, at_once=8))
    for _ in range(size(2, 6)):
        await asyncio.sleep(random.uniform(0.3, 1.2))
        await system.restart(part)
    await loading
    took_s = await system.settle(within_s=size(90, 300))
    ended = await system.check()
    print(f"\n{part} killed: {dict(ended)}, all final {took_s:.1f} s after the last creation")


@pytest.mark.parametrize("part", list(Part))
async def test_a_service_that_hangs_under_load_costs_nothing(system: System, part: Part) -> None:
    """Falls without a deadline on each wait: the API would not answer while PostgreSQL hangs."""
    await system.ready_worker()
    loading = asyncio.create_task(system.load(size(30, 200), a_mix, at_once=5))
    await asyncio.sleep(0.5)
    with hanging(system.pid(part)):
        began = time.monotonic()
        answer = await system.attempt()
        took_s = time.monotonic() - began
        if part is Part.POSTGRES:
            assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
            assert took_s < 2 * TIMEOUT_S + 1
        else:
            assert "errors" not in answer
            assert took_s < 1
        await asyncio.sleep(size(2, 60))
    await loading
    took_s = await system.settle(within_s=size(60, 200))
    # The attempt that was told UNAVAILABLE may have been committed when PostgreSQL went on: it ends as well.
    await until(partial(_nothing_is_live, system), within_s=60)
    await system.check()
    print(f"\n{part} hung: all final {took_s:.1f} s after the last creation")


async def _nothing_is_live(system: System) -> bool:
    async with system.database() as connection:
        return not await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL")


@contextmanager
def hanging(pid: int) -> Iterator[None]:
    """Stop a service and all its processes for the block."""
    own = psutil.Process(pid)
    stopped = [own, *own.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


async def test_a_purge_under_load_is_made_good(system: System) -> None:
    """Falls without `Maintenance`: what was purged waits for ever."""
    loading = asyncio.create_task(system.load(size(80, 300), a_mix))
    async with queue_of(system) as queue:
        for _ in range(size(2, 8)):
            await asyncio.sleep(random.uniform(0.3, 0.8))
            await queue.purge()
        system.start_worker()
        await loading
        await queue.purge()
    took_s = await system.settle(within_s=size(60, 200))
    await system.check()
    print(f"\nall final {took_s:.1f} s after the last purge")


async def test_a_duplicate_of_every_message_runs_nothing_twice(system: System) -> None:
    """Falls where a claim does not look at the status."""
    jobs = await system.load(size(60, 300), a_mix)
    async with queue_of(system) as queue:
        await queue.send([Message(f'{{"job_id": "{job}", "type": "ASSET_GENERATION"}}') for job in jobs])
        for _ in range(2):
            system.start_worker()
        await system.settle(within_s=size(60, 200))
        await system.check()
        async with system.database() as connection:
            runs = await connection.fetch(
                "SELECT count(*) FILTER (WHERE event = 'RECLAIM') AS again FROM transitions GROUP BY job_id"
            )
        assert all(row["again"] == 0 for row in runs)
        await until(lambda: _is_empty(queue), within_s=30)


async def test_sigterm_at_any_moment_strands_no_job(system: System) -> None:
    """Falls where a claim is cancelled half way: what it claimed is nobody's until the lease runs out."""
    for _ in range(size(3, 25)):
        worker = await system.ready_worker()  # before that, the signal simply ends it
        await system.load(60, dict, at_once=20)
        await asyncio.sleep(random.uniform(0, 1.2))
        assert worker.stop() == 0
        async with system.database() as connection:
            held = await connection.fetchval("SELECT count(*) FROM jobs WHERE status = 'PROCESSING'")
            again = await connection.fetchval("SELECT count(*) FROM jobs WHERE attempt > 1")
        assert (held, again) == (0, 0)
    system.start_worker()
    await system.settle()
    await system.check()


async def test_an_sqs_that_hangs_ends_no_healthy_run(system: System) -> None:
    """Falls where the extension of the rows waits for that of the messages."""
    await system.ready_worker()
    job_id = await system.create({"duration_ms": int(3000 * LEASE_S), "steps": 10}, maxAttempts=1)
    await until(partial(_ran, system, job_id, Event.CLAIM))
    sqs = system.pid(Part.SQS)
    os.kill(sqs, signal.SIGSTOP)
    try:
        await asyncio.sleep(2 * LEASE_S)
    finally:
        os.kill(sqs, signal.SIGCONT)
    await system.settle()
    assert await system.events(job_id) == [Event.CREATE, Event.CLAIM, Event.SUCCEED]


async def test_sigterm_under_load_finishes_or_releases_and_redelivers_nothing_finished(system: System) -> None:
    """Falls without `Runner.finish`: runs are cut and wait for their leases, finished messages come back."""
    worker = await system.ready_worker()
    jobs = await system.load(size(30, 300), lambda: {"duration_ms": random.choice([50, 200, size(4000, 8000)])})
    await asyncio.sleep(0.5)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < GRACE_S + 3  # and what it takes to say so
    async with system.database() as connection:
        rows = await connection.fetch("SELECT id, status, attempt FROM jobs WHERE id = ANY ($1)", jobs)
    status = {row["id"]: row["status"] for row in rows}
    assert "PROCESSING" not in status.values()
    assert all(row["attempt"] == 0 for row in rows if row["status"] == "QUEUED")
    system.start_worker()
    await system.settle(within_s=120)
    async with system.database() as connection:
        again = await connection.fetchval(
            "SELECT count(*) FROM transitions WHERE event = 'RECLAIM' AND job_id = ANY ($1)", jobs
        )
    assert again == 0
    await system.check()


@asynccontextmanager
async def queue_of(system: System) -> AsyncIterator[Queue]:
    """Open the system's queue in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOREKEEPER_HOME", str(system.home))
        settings = load_settings()
    async with open_resources(settings, find_endpoints(settings), name="test") as resources:
        yield resources.queues.normal


async def _is_empty(queue: Queue) -> bool:
    depth = await queue.depth()
    return (depth.available, depth.in_flight, depth.delayed) == (0, 0, 0)
