"""The worker's parts in this process, on real PostgreSQL, Valkey, SQS and storage."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from services.access import ANONYMOUS
from services.dispatcher import message_of
from services.errors import DatabaseUnavailable
from services.job_queries import JobFilter, count_jobs
from services.job_store import create
from services.lifecycle import Event, JobStatus
from services.messages import Delivery, Message
from services.moves import Move, Moved
from services.resources import Resources
from tests.conftest import Opener, recorded_statements, running_loops, until
from tests.factories import a_new_job, a_request, log_of
from tests.inprocess import InProcessWorker, reached, state
from worker.handlers.asset_generation import JOB_TYPE
from worker.leases import StopReason


@pytest.fixture
async def worker(open_services: Opener) -> AsyncIterator[InProcessWorker]:
    resources = await open_services(LOREKEEPER_LEASE_S="2", LOREKEEPER_HEARTBEAT_S="0.5")
    async with running_loops(resources):
        yield InProcessWorker(resources)


async def ask(resources: Resources, **prompt: object) -> UUID:
    asked = await resources.jobs.create(a_request(prompt_spec=prompt), ANONYMOUS)
    return asked.state.job.id


async def events(resources: Resources, job_id: UUID) -> list[Event]:
    async with resources.database.connect() as connection:
        page = await log_of(connection, job_id)
    return [entry.event for entry in page.transitions]


async def is_empty(resources: Resources) -> bool:
    depth = await resources.queues.normal.depth()
    return (depth.available, depth.in_flight, depth.delayed) == (0, 0, 0)


async def test_a_job_runs_to_its_asset_and_its_message_is_deleted(worker: InProcessWorker, tmp_path: Path) -> None:
    services = worker.resources
    async with worker.running():
        job_id = await ask(services, size_bytes=100_000)
        await until(reached(services, job_id, JobStatus.SUCCEEDED))
        await until(lambda: is_empty(services))
    found = await state(services, job_id)
    assert found.asset is not None
    content = (tmp_path / "home" / "assets" / found.asset.storage_key).read_bytes()
    assert len(content) == found.asset.size_bytes == 100_000
    assert hashlib.sha256(content).hexdigest() == found.asset.checksum
    assert await events(services, job_id) == [Event.CREATE, Event.CLAIM, Event.SUCCEED]


async def test_a_passing_error_is_retried_and_told(worker: InProcessWorker) -> None:
    services = worker.resources
    async with worker.running():
        job_id = await ask(services, fail_attempts=2, error_code="BUSY")
        await until(reached(services, job_id, JobStatus.SUCCEEDED), within_s=20)
    async with services.database.connect() as connection:
        log = (await log_of(connection, job_id)).transitions
    assert [entry.event for entry in log] == [
        Event.CREATE,
        Event.CLAIM,
        Event.RETRY,
        Event.CLAIM,
        Event.RETRY,
        Event.CLAIM,
        Event.SUCCEED,
    ]
    assert [entry.error_code for entry in log if entry.event is Event.RETRY] == ["BUSY", "BUSY"]


async def test_the_last_attempt_and_a_permanent_error_are_final(worker: InProcessWorker) -> None:
    services = worker.resources
    async with worker.running():
        spent = await ask(services, fail_attempts=99)
        permanent = await ask(services, fail_attempts=1, permanent=True, error_code="POLICY")
        for job_id in (spent, permanent):
            await until(reached(services, job_id, JobStatus.FAILED), within_s=20)
        await until(lambda: is_empty(services))
    assert (await state(services, spent)).job.attempt == 3
    job = (await state(services, permanent)).job
    assert (job.attempt, job.error_code) == (1, "POLICY")


async def test_an_attempt_that_runs_too_long_is_stopped(worker: InProcessWorker) -> None:
    services = worker.resources
    request = a_request(prompt_spec={"duration_ms": 60_000}, timeout_s=1, max_attempts=1)
    job_id = (await services.jobs.create(request, ANONYMOUS)).state.job.id
    async with worker.running():
        await until(reached(services, job_id, JobStatus.FAILED))
    assert (await state(services, job_id)).job.error_code == "TIMEOUT"


async def test_a_heartbeat_keeps_a_long_run_to_itself(worker: InProcessWorker) -> None:
    """Falls without either line of `Leases.beat`: the lease of 2 s runs out, or the message comes back."""
    services = worker.resources
    received: list[int] = []
    take = worker.consumer.take

    async def counted(deliveries: Sequence[Delivery]) -> None:
        received.append(len(deliveries))
        await take(deliveries)

    worker.consumer.take = counted  # type: ignore[method-assign]
    async with worker.running():
        job_id = await ask(services, duration_ms=5_000, steps=50)
        await until(reached(services, job_id, JobStatus.PROCESSING))
        progress = 0.0
        while (found := (await state(services, job_id)).job).status is JobStatus.PROCESSING:
            assert found.lease_expires_at is not None
            assert found.lease_expires_at > datetime.now(UTC)
            progress = max(progress, found.progress or 0)
            await asyncio.sleep(0.1)
    assert received == [1]  # the message never came back
    assert progress > 0.5  # the heartbeat stores it
    assert await events(services, job_id) == [Event.CREATE, Event.CLAIM, Event.SUCCEED]


async def test_the_job_of_a_dead_worker_runs_again_once_its_lease_has_run_out(worker: InProcessWorker) -> None:
    services = worker.resources
    job_id = await ask(services, duration_ms=100)
    dead = InProcessWorker(services)
    await services.dispatcher.drain()
    deliveries = await services.queues.normal.receive()
    await dead.consumer.take(deliveries)
    for held in dead.leases:
        assert held.task is not None
        held.task.cancel()  # as if the process were gone: nothing is settled
    async with worker.running():
        await until(reached(services, job_id, JobStatus.SUCCEEDED), within_s=8)
    assert await events(services, job_id) == [Event.CREATE, Event.CLAIM, Event.RECLAIM, Event.SUCCEED]


async def test_an_idle_worker_begins_a_job_at_its_instant(worker: InProcessWorker) -> None:
    """Never before it, and less than a second after it. Falls without `_take_later`, two times of three."""
    services = worker.resources
    run_at = [datetime.now(UTC) + timedelta(seconds=1.05 + number / 3) for number in range(4)]
    async with worker.running():
        asked = [await services.jobs.create(a_request(run_at=instant), ANONYMOUS) for instant in run_at]
        for job in asked:
            await until(reached(services, job.state.job.id, JobStatus.SUCCEEDED))
        await until(lambda: is_empty(services))
    late = []
    for job, instant in zip(asked, run_at, strict=True):
        started_at = (await state(services, job.state.job.id)).job.started_at
        assert started_at is not None
        late.append((started_at - instant).total_seconds())
    assert min(late) >= 0, late
    assert max(late) < 0.5, late


async def test_a_worker_that_stops_gives_early_deliveries_back(worker: InProcessWorker) -> None:
    services = worker.resources
    run_at = datetime.now(UTC) + timedelta(seconds=30)
    asked = await services.jobs.create(a_request(run_at=run_at), ANONYMOUS)
    await services.dispatcher.drain()
    async with services.database.connect() as connection:
        await connection.execute(text("UPDATE jobs SET run_at = clock_timestamp() + interval '1.5 seconds'"))
    await services.queues.normal.send([Message(message_of(asked.state.job).body)])
    async with worker.running():
        await until(lambda: len(worker.consumer._kept) == 1)  # noqa: SLF001 - nothing else shows it
    assert (await state(services, asked.state.job.id)).job.status is JobStatus.QUEUED
    assert (await services.queues.normal.depth()).available == 1


async def test_a_duplicate_delivery_runs_nothing_and_is_deleted(worker: InProcessWorker) -> None:
    services = worker.resources
    job_id = await ask(services, duration_ms=500)
    body = orjson.dumps({"job_id": str(job_id), "type": JOB_TYPE}).decode()
    await services.queues.normal.send([Message(body)] * 5)
    async with worker.running():
        await until(reached(services, job_id, JobStatus.SUCCEEDED))
        await until(lambda: is_empty(services), within_s=10)
    assert await events(services, job_id) == [Event.CREATE, Event.CLAIM, Event.SUCCEED]


async def test_poison_goes_to_the_dead_letters_with_its_reason_and_stops_nobody(worker: InProcessWorker) -> None:
    services = worker.resources
    poison = ["", "{", "[]", "null", '{"job_id": 7}', '{"job_id": "x"}', '"job_id"']
    await services.queues.normal.send([Message(body) for body in poison[1:]])
    async with worker.running():
        job_id = await ask(services)
        await until(reached(services, job_id, JobStatus.SUCCEEDED))
        await until(lambda: is_empty(services))
    client, url = services.queues.normal._client, services.queues.normal._dead_letter_url or ""  # noqa: SLF001 - as an operator would
    letters = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    assert sorted(letter["Body"] for letter in letters["Messages"]) == sorted(poison[1:])
    for letter in letters["Messages"]:
        assert "job_id" in letter["MessageAttributes"]["reason"]["StringValue"]


async def test_a_message_whose_job_is_unknown_is_deleted(worker: InProcessWorker) -> None:
    services = worker.resources
    await services.queues.normal.send([Message(orjson.dumps({"job_id": str(uuid4())}).decode())])
    async with worker.running():
        await until(lambda: is_empty(services))


async def test_a_running_job_is_stopped_when_it_is_cancelled(worker: InProcessWorker) -> None:
    services = worker.resources
    async with worker.running(beating=False):
        job_id = await ask(services, duration_ms=60_000)
        await until(reached(services, job_id, JobStatus.PROCESSING))
        await services.jobs.cancel(job_id, ANONYMOUS)
        await until(lambda: len(worker.leases) == 0, within_s=2)
        await until(lambda: is_empty(services))
    assert await events(services, job_id) == [Event.CREATE, Event.CLAIM, Event.CANCEL]


async def test_a_cancellation_that_was_not_heard_is_noticed_by_the_heartbeat(worker: InProcessWorker) -> None:
    services = worker.resources
    async with worker.running():
        job_id = await ask(services, duration_ms=60_000)
        await until(reached(services, job_id, JobStatus.PROCESSING))
        # The hearing is switched off, not the saying.
        worker.leases.push = lambda item: None  # type: ignore[method-assign] # noqa: ARG005
        await services.jobs.cancel(job_id, ANONYMOUS)
        await until(lambda: len(worker.leases) == 0, within_s=3)


async def test_a_result_whose_answer_was_lost_keeps_its_content(worker: InProcessWorker, tmp_path: Path) -> None:
    """Falls where every refused result is cleared up: the first settlement committed, the second is refused."""
    services = worker.resources
    settle = worker.runner._settle_together  # noqa: SLF001 - its first answer is lost
    lost: list[int] = []

    async def answer_lost(moves: Sequence[Move]) -> Sequence[Moved | None]:
        outcomes = await settle(moves)
        if not lost:
            lost.append(1)
            raise DatabaseUnavailable("The connection was cut after the commit.")
        return outcomes

    worker.runner.settler._flush = answer_lost  # noqa: SLF001 - as above
    async with worker.running():
        job_id = await ask(services, size_bytes=10)
        await until(reached(services, job_id, JobStatus.SUCCEEDED))
        await until(lambda: is_empty(services))
    found = await state(services, job_id)
    assert (lost, found.job.status) == ([1], JobStatus.SUCCEEDED)
    assert found.asset is not None
    assert (tmp_path / "home" / "assets" / found.asset.storage_key).stat().st_size == 10


async def test_a_result_that_is_refused_leaves_no_content(worker: InProcessWorker, tmp_path: Path) -> None:
    """Falls where nobody clears up after a run whose job was taken over."""
    services = worker.resources
    async with worker.running(beating=False):
        job_id = await ask(services, size_bytes=10, duration_ms=300)
        await until(reached(services, job_id, JobStatus.PROCESSING))
        async with services.database.connect() as connection:
            await connection.execute(text("UPDATE jobs SET fencing_token = fencing_token + 1"))
        with capture_logs() as told:
            await until(lambda: not len(worker.leases))
    assert [(each["event"], each["edge"]) for each in told if "edge" in each] == [
        ("settle.refused", Event.SUCCEED)
    ]
    assert not [path for path in (tmp_path / "home" / "assets").rglob("*") if path.is_file()]
    assert (await state(services, job_id)).asset is None


async def test_a_run_that_is_stopped_before_its_first_step_leaves_nothing_behind(worker: InProcessWorker) -> None:
    """Falls where such a task is cancelled: it would never run, and its slot and lease would stay."""
    services = worker.resources
    job_id = await ask(services, duration_ms=60_000)
    await services.dispatcher.drain()
    deliveries = await services.queues.normal.receive()
    await worker.consumer.take(deliveries)
    (held,) = worker.leases
    held.stop(StopReason.RELEASED)  # the task has not run yet
    assert held.task is not None
    assert not held.started
    await held.task
    await until(lambda: len(worker.leases) == 0)
    assert (await state(services, job_id)).job.status is JobStatus.QUEUED
    assert await worker.runner.wait_for_room() == 10
    await worker.runner.finish(timedelta())


async def test_one_result_that_is_refused_fails_neither_the_claim_nor_the_others(worker: InProcessWorker) -> None:
    """Falls where a rider's error is the claim's: PostgreSQL cannot hold a NUL."""
    services = worker.resources
    job_id = await ask(services)
    await services.dispatcher.drain()
    deliveries = await services.queues.normal.receive()
    rider = worker.runner.settler.put_nowait(Move(uuid4(), Event.FAIL, held_token=1, error_code="a\x00"))
    await worker.consumer.take(deliveries)
    await until(reached(services, job_id, JobStatus.SUCCEEDED))
    assert isinstance(rider.exception(), DBAPIError)
    await worker.runner.finish(timedelta())


async def test_shutdown_lets_short_jobs_end_and_releases_long_ones(worker: InProcessWorker) -> None:
    services = worker.resources
    async with worker.running(grace=timedelta(seconds=1.5)):
        short = await ask(services, duration_ms=600)
        long = await ask(services, duration_ms=60_000)
        await until(lambda: len(worker.leases) == 2)
    assert (await state(services, short)).job.status is JobStatus.SUCCEEDED
    job = (await state(services, long)).job
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    (delivery,) = await services.queues.normal.receive(wait=timedelta(seconds=2))
    assert str(long) in delivery.body


async def test_a_backlog_costs_a_third_of_an_sqs_request_a_job(open_services: Opener) -> None:
    """The budgets of a backlog: at most 0.32 SQS requests and 0.15 SQL round trips a job."""
    resources = await open_services(LOREKEEPER_LEASE_S="30", LOREKEEPER_HEARTBEAT_S="10")
    requests: list[str] = []
    client = resources.queues.normal._client  # noqa: SLF001 - its requests are counted
    client.meta.events.register(
        "before-send.sqs", lambda request, **_: requests.append(request.headers["X-Amz-Target"].decode())
    )
    wanted = [a_new_job() for _ in range(1000)]
    async with running_loops(resources):
        with recorded_statements() as statements:
            async with resources.database.connect() as connection:
                made = await create(connection, wanted)
            resources.dispatcher.submit(moved.job for moved in made)
            await resources.dispatcher.drain()
            worker = InProcessWorker(resources)
            async with worker.running():
                await until(lambda: succeeded(resources, len(wanted)), within_s=30)
        asked = [statement for statement in statements if "count(*)" not in statement]
    assert await is_empty(resources)
    sqs = Counter(name.removeprefix("AmazonSQS.") for name in requests)
    batches = sum(sqs[name] for name in ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"))
    assert batches <= 0.32 * len(wanted), sqs
    assert len(asked) <= 0.15 * len(wanted), Counter(statement[:60] for statement in asked)


async def succeeded(resources: Resources, number: int) -> bool:
    async with resources.database.connect() as connection:
        return await count_jobs(connection, JobFilter(status=[JobStatus.SUCCEEDED])) == number


async def test_one_job_alone_costs_four_statements(open_services: Opener) -> None:
    """Without a heartbeat, which none so short needs."""
    services = await open_services(LOREKEEPER_LEASE_S="30", LOREKEEPER_HEARTBEAT_S="10")
    async with running_loops(services), InProcessWorker(services).running():
        with recorded_statements() as statements:
            job_id = await ask(services)
            await asyncio.sleep(0)
            async with aclosing(services.streams.job_updates(job_id)) as stream:
                assert [item.update.status async for item in stream][-1] is JobStatus.SUCCEEDED
            await services.dispatcher.drain()
    asked = [statement for statement in statements if "LEFT OUTER JOIN" not in statement]  # the stream's own
    assert len(asked) <= 4, asked
