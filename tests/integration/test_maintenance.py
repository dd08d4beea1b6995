"""Maintenance on real services: what no delivery brings back by itself."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from services.access import ANONYMOUS
from services.dispatcher import job_of
from services.job_queries import find_jobs
from services.job_store import claim
from services.lifecycle import Event, JobStatus
from services.messages import Message
from services.resources import Resources
from tests.conftest import Opener, running_loops
from tests.factories import a_request, log_of
from worker.maintenance import LOCK, Maintenance

LEASE = timedelta(seconds=30)


@pytest.fixture
async def resources(open_services: Opener) -> AsyncIterator[Resources]:
    opened = await open_services(LOREKEEPER_MAINTENANCE_S="0.1", LOREKEEPER_HISTORY_DAYS="1")
    async with running_loops(opened):
        yield opened


async def asked(resources: Resources, **changes: object) -> UUID:
    job_id = (await resources.jobs.create(a_request(**changes), ANONYMOUS)).state.job.id
    await resources.dispatcher.drain()
    return job_id


async def received(resources: Resources) -> list[UUID]:
    found: list[UUID] = []
    while batch := await resources.queues.normal.receive(wait=timedelta()):
        found += [job_of(delivery.body) for delivery in batch]
        await resources.queues.normal.delete([delivery.receipt_handle for delivery in batch])
    return sorted(found)


async def change(resources: Resources, statement: str) -> None:
    async with resources.database.connect() as connection:
        await connection.execute(text(statement))


async def grow_old(resources: Resources, age: str = "2 seconds") -> None:
    await change(resources, f"UPDATE jobs SET sent_at = sent_at - interval '{age}'")  # noqa: S608 - our own words


async def status(resources: Resources, job_id: UUID) -> JobStatus:
    async with resources.database.connect() as connection:
        return (await find_jobs(connection, [job_id]))[job_id].job.status


async def test_jobs_whose_messages_were_purged_are_sent_again(resources: Resources) -> None:
    """Falls without `_send_what_is_gone`."""
    jobs = [await asked(resources) for _ in range(12)]
    await resources.queues.normal.purge()
    await grow_old(resources)
    maintenance = Maintenance(resources)
    await maintenance.round()
    assert await received(resources) == []  # one look proves nothing
    await maintenance.round()
    assert await received(resources) == sorted(jobs)


async def test_jobs_that_still_have_their_messages_are_not_sent_again(resources: Resources) -> None:
    """Falls without the comparison with what SQS holds."""
    jobs = [await asked(resources) for _ in range(12)]
    await grow_old(resources)
    maintenance = Maintenance(resources)
    for _ in range(4):
        await maintenance.round()
    assert await received(resources) == sorted(jobs)


async def test_a_job_that_was_due_for_very_long_is_sent_again_whatever_sqs_reports(resources: Resources) -> None:
    """Falls without `_ANYWAY`: the message of the cancelled job stands in for the one that is missing."""
    job_id, cancelled = await asked(resources), await asked(resources)
    await resources.queues.normal.purge()
    await resources.jobs.cancel(cancelled, ANONYMOUS)
    await resources.queues.normal.send([Message("{}")] * 5)
    await grow_old(resources, "1 hour")
    await Maintenance(resources).round()
    bodies = [delivery.body for delivery in await resources.queues.normal.receive(wait=timedelta())]
    assert sum(str(job_id) in body for body in bodies) == 1
    assert not any(str(cancelled) in body for body in bodies)


async def test_a_job_that_waits_for_its_next_attempt_is_left_alone(resources: Resources) -> None:
    await asked(resources)
    await resources.queues.normal.purge()
    await change(
        resources,
        "UPDATE jobs SET status = 'RETRYING', error_code = 'X', started_at = now(),"
        " sent_at = now() - interval '1 h',"
        " next_attempt_at = now() + interval '1 minute'",
    )
    maintenance = Maintenance(resources)
    for _ in range(3):
        await maintenance.round()
    assert await received(resources) == []


async def test_a_lost_run_with_attempts_left_gets_a_message_if_its_own_is_gone(resources: Resources) -> None:
    job_id = await asked(resources)
    await resources.queues.normal.purge()
    async with resources.database.connect() as connection:
        await claim(connection, [job_id], LEASE)
    await change(resources, "UPDATE jobs SET lease_expires_at = now() - interval '1 minute'")
    maintenance = Maintenance(resources)
    await maintenance.round()
    await maintenance.round()
    assert await received(resources) == [job_id]
    assert await status(resources, job_id) is JobStatus.PROCESSING


async def test_a_lost_run_on_its_last_attempt_ends_as_worker_lost(resources: Resources) -> None:
    """Falls without `_end_lost_runs`."""
    job_id = await asked(resources, max_attempts=1)
    async with resources.database.connect() as connection:
        await claim(connection, [job_id], LEASE)
    await change(resources, "UPDATE jobs SET lease_expires_at = now() - interval '1 minute'")
    await Maintenance(resources).round()
    async with resources.database.connect() as connection:
        page = await log_of(connection, job_id, after=2)
    assert [(entry.event, entry.status, entry.error_code) for entry in page.transitions] == [
        (Event.EXPIRE, JobStatus.FAILED, "WORKER_LOST")
    ]


async def test_a_lease_that_runs_is_left_alone(resources: Resources) -> None:
    job_id = await asked(resources, max_attempts=1)
    async with resources.database.connect() as connection:
        await claim(connection, [job_id], LEASE)
    await Maintenance(resources).round()
    assert await status(resources, job_id) is JobStatus.PROCESSING


async def test_history_of_jobs_that_ended_long_ago_is_pruned(resources: Resources) -> None:
    old, recent, live = [await asked(resources) for _ in range(3)]
    for job_id in (old, recent):
        await resources.jobs.cancel(job_id, ANONYMOUS)
    await change(resources, "UPDATE transitions SET at = at - interval '2 days'")
    await change(resources, f"UPDATE jobs SET finished_at = finished_at - interval '2 days' WHERE id = '{old}'")  # noqa: S608
    await Maintenance(resources).round()
    async with resources.database.connect() as connection:
        left = {job_id: await log_of(connection, job_id) for job_id in (old, recent, live)}
    assert [len(left[job_id].transitions) for job_id in (old, recent, live)] == [1, 2, 1]
    assert left[old].transitions[0].status is JobStatus.CANCELLED


async def test_one_maintenance_at_a_time(resources: Resources) -> None:
    """Falls without the advisory lock."""
    job_id = await asked(resources, max_attempts=1)
    async with resources.database.connect() as connection:
        await claim(connection, [job_id], LEASE)
    await change(resources, "UPDATE jobs SET lease_expires_at = now() - interval '1 minute'")
    async with resources.database.transaction() as other:
        await other.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        await Maintenance(resources).round()
        assert await status(resources, job_id) is JobStatus.PROCESSING
    await Maintenance(resources).round()
    assert await status(resources, job_id) is JobStatus.FAILED
