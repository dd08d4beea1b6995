"""The way of committed jobs into SQS."""

import asyncio
import gc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from services.access import ANONYMOUS
from services.dispatcher import job_of
from services.errors import QueueUnavailable, Unavailable
from services.job_queries import find_jobs
from services.job_store import create
from services.messages import Message
from services.queues import Urgency
from services.resources import Resources, open_resources
from tests.conftest import Opener, until
from tests.factories import a_new_job, a_request

CLOSED = "http://127.0.0.1:1"


async def received(resources: Resources) -> list[str]:
    found: list[str] = []
    while batch := await resources.queues.normal.receive(wait=timedelta()):
        found += [str(job_of(delivery.body)) for delivery in batch]
    return sorted(found)


async def sent(resources: Resources) -> int:
    async with resources.database.connect() as connection:
        return int(
            (await connection.execute(text("SELECT count(*) FROM jobs WHERE sent_at IS NOT NULL"))).scalar_one()
        )


async def age(resources: Resources) -> None:
    """Let what was created lie for longer than the sweep leaves alone."""
    async with resources.database.connect() as connection:
        await connection.execute(text("UPDATE jobs SET created_at = created_at - interval '1 minute'"))


async def test_a_created_job_is_sent_and_marked(services: Resources) -> None:
    creations = [await services.jobs.create(a_request(), ANONYMOUS) for _ in range(3)]
    await services.dispatcher.drain()
    assert await received(services) == sorted(str(creation.state.job.id) for creation in creations)
    assert await sent(services) == 3


async def test_the_message_carries_routing_but_no_inputs(services: Resources) -> None:
    await services.jobs.create(a_request(prompt_spec={"error_code": "SECRET"}), ANONYMOUS)
    await services.dispatcher.drain()
    (delivery,) = await services.queues.normal.receive()
    assert delivery.attributes == {
        "type": "ASSET_GENERATION",
        "world_id": "eldoria",
        "asset_type": "IMAGE",
        "priority": "5",
    }
    assert "SECRET" not in delivery.body


async def test_what_is_not_sent_when_a_process_ends_is_left_to_the_sweep(services: Resources) -> None:
    """Falls where the dispatcher is not closed: it then tries to send by connections that are."""
    tasks = asyncio.all_tasks()
    async with open_resources(services.settings, services.endpoints, name="ends") as ending:
        await ending.jobs.create(a_request(), ANONYMOUS)
    await asyncio.sleep(0.1)  # the linger of a batch is long over
    del ending
    gc.collect()  # what was left open complains now, which fails the test
    assert not asyncio.all_tasks() - tasks
    assert await sent(services) == 0
    await age(services)
    assert await services.dispatcher.sweep() == 1


async def test_a_request_that_comes_after_the_close_is_refused_and_opens_nothing(services: Resources) -> None:
    async with open_resources(services.settings, services.endpoints, name="ends") as ended:
        await ended.queue_operations.depths()
    with pytest.raises(QueueUnavailable):
        await ended.queue_operations.depths()


async def test_creation_does_not_depend_on_sqs_and_the_sweep_catches_up(open_services: Opener) -> None:
    """Falls without the sweep."""
    cut_off = await open_services(AWS_ENDPOINT_URL=CLOSED)
    creation = await cut_off.jobs.create(a_request(), ANONYMOUS)
    await cut_off.dispatcher.drain()
    assert await sent(cut_off) == 0
    await age(cut_off)
    with pytest.raises(Unavailable):
        await cut_off.dispatcher.sweep()
    back = await open_services()
    assert await back.dispatcher.sweep() == 1
    assert await received(back) == [str(creation.state.job.id)]
    assert await sent(back) == 1
    assert await back.dispatcher.sweep() == 0


async def test_what_a_crash_left_between_commit_and_send_is_swept(services: Resources) -> None:
    async with services.database.connect() as connection:
        made = await create(connection, [a_new_job() for _ in range(25)])
    assert await services.dispatcher.sweep() == 0  # so young that its own process is about to send it
    await age(services)
    assert await services.dispatcher.sweep() == 25
    assert await received(services) == sorted(str(moved.job.id) for moved in made)


async def test_what_is_under_way_is_not_swept(services: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process under load takes longer than a sweep allows. Falls without `_under_way`: SQS gets it twice."""
    gate, send = asyncio.Event(), services.queues.send

    async def send_later(messages: Sequence[tuple[Urgency, Message]]) -> list[bool]:
        await gate.wait()
        return await send(messages)

    monkeypatch.setattr(services.queues, "send", send_later)
    creation = await services.jobs.create(a_request(), ANONYMOUS)
    await age(services)
    sweeping = asyncio.create_task(services.dispatcher.sweep())
    await asyncio.wait((sweeping,), timeout=1)
    gate.set()
    await services.dispatcher.drain()
    assert await sweeping == 0
    assert await received(services) == [str(creation.state.job.id)]


async def test_nothing_is_sent_for_a_job_that_was_rolled_back(services: Resources) -> None:
    async with services.database.transaction() as connection:
        await create(connection, [a_new_job()])
        await connection.rollback()
    await age(services)
    assert await services.dispatcher.sweep() == 0
    assert await received(services) == []


async def test_a_job_far_ahead_stays_in_the_outbox_until_sqs_can_hold_it(services: Resources) -> None:
    creation = await services.jobs.create(a_request(run_at=datetime.now(UTC) + timedelta(hours=1)), ANONYMOUS)
    await services.dispatcher.drain()
    await age(services)
    assert await services.dispatcher.sweep() == 0
    async with services.database.connect() as connection:
        await connection.execute(text("UPDATE jobs SET run_at = now() + interval '2 seconds'"))
    assert await services.dispatcher.sweep() == 1
    assert await services.queues.normal.receive(wait=timedelta()) == []
    found: list[str] = []

    async def arrived() -> bool:
        found.extend(await received(services))
        return bool(found)

    await until(arrived)
    assert found == [str(creation.state.job.id)]


async def test_a_renewed_job_is_sent_again(services: Resources) -> None:
    creation = await services.jobs.create(a_request(), ANONYMOUS)
    await services.dispatcher.drain()
    assert len(await received(services)) == 1
    await services.jobs.cancel(creation.state.job.id, ANONYMOUS)
    await services.jobs.renew(creation.state.job.id, ANONYMOUS)
    await services.dispatcher.drain()
    assert await received(services) == [str(creation.state.job.id)]
    async with services.database.connect() as connection:
        job = (await find_jobs(connection, [creation.state.job.id]))[creation.state.job.id].job
    assert job.send_count == 2
