"""Renders that jobs keep at external services: gone on with, and cancelled where nobody waits for them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.access import ANONYMOUS
from services.events import CANCELLED_CHANNEL
from services.lifecycle import JobStatus
from services.renders import keep
from services.resources import Resources
from tests.conftest import Opener, recorded_statements, running_loops, until
from tests.factories import a_request
from tests.fake_services import FILM, FakeServices, cut_short, video
from tests.inprocess import InProcessWorker, reached, state
from tests.integration.external.conftest import BUSY, KEYS, RENDERERS, ordered, refusing, rendering
from worker.renders import RenderSweep


async def renders(resources: Resources) -> list[str]:
    async with resources.database.connect() as connection:
        return [*(await connection.scalars(text("SELECT handle FROM renders")))]


@pytest.mark.parametrize("case", RENDERERS)
async def test_another_attempt_goes_on_with_what_is_paid_for(
    case: str, fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    """Falls where a claim does not read what was kept."""
    resources = await open_services(**KEYS)
    worker = InProcessWorker(resources, provider_of(case))
    fake.will("file", cut_short)
    async with running_loops(resources), worker.running():
        job_id = await ordered(resources, case)
        await until(reached(resources, job_id, JobStatus.SUCCEEDED))
    found = await state(resources, job_id)
    assert (found.job.attempt, fake.count("create")) == (2, 1)
    assert found.asset is not None
    assert found.asset.size_bytes == len(FILM)
    assert len(await renders(resources)) == 1
    await worker.sweep.round()
    assert (await renders(resources), fake.count("cancel")) == ([], 0)


@pytest.mark.parametrize("case", RENDERERS)
async def test_a_cancellation_reaches_the_service(
    case: str, fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    """Falls without the sweep; it is asked again where the service does not answer."""
    resources = await open_services(**KEYS)
    worker = InProcessWorker(resources, provider_of(case))
    fake.will("look", *[rendering(case, BUSY[case])] * 500)
    fake.will("cancel", refusing(case, 500))
    async with running_loops(resources), worker.running():
        job_id = await ordered(resources, case)
        await until(lambda: fake.count("look") > 1)
        await resources.jobs.cancel(job_id, ANONYMOUS)
        await worker.sweep.round()
        assert (len(await renders(resources)), fake.count("cancel")) == (1, 1)
        await worker.sweep.round()
    assert (await renders(resources), fake.count("cancel")) == ([], 2)
    assert {call.handle for call in fake.calls if call.operation == "cancel"} == {
        "video_1" if case == "sora" else "prediction_1"
    }


async def test_a_worker_hears_of_a_cancellation(fake: FakeServices, provider_of: Any, services: Resources) -> None:
    """Falls where the channel does not wake the sweep: its next round is an hour away."""
    sweep = RenderSweep(services.database, {"sora": provider_of("sora")}, interval=timedelta(hours=1))
    job_id = (await services.jobs.create(a_request(), ANONYMOUS)).state.job.id
    async with services.database.connect() as connection:
        await connection.execute(
            text("INSERT INTO renders (job_id, provider, handle) VALUES (:id, 'sora', 'video_1')"), {"id": job_id}
        )
    async with services.feed.listen(CANCELLED_CHANNEL, sweep):
        with recorded_statements() as asked:
            sweeping = asyncio.create_task(sweep.run())
            await until(lambda: any("FROM renders" in statement for statement in asked))
        await services.jobs.cancel(job_id, ANONYMOUS)
        await until(lambda: fake.count("cancel"))
        sweeping.cancel()


async def test_a_run_that_has_lost_its_job_keeps_nothing_and_cancels_what_it_began(
    fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    """Falls where `keep` does not compare the fencing token."""
    resources = await open_services(**KEYS)

    async def lose(request: Any) -> Any:
        async with resources.database.connect() as connection:
            await connection.execute(text("UPDATE jobs SET fencing_token = fencing_token + 1"))
        return await video("queued")(request)

    fake.will("create", lose)
    async with running_loops(resources), InProcessWorker(resources, provider_of("sora")).running(beating=False):
        job_id = await ordered(resources, "sora")
        await until(lambda: fake.count("cancel"))
    assert (await renders(resources), fake.count("look")) == ([], 0)
    assert (await state(resources, job_id)).job.status is JobStatus.PROCESSING


async def test_only_the_holder_of_a_job_keeps_something_for_it(services: Resources) -> None:
    job_id = (await services.jobs.create(a_request(), ANONYMOUS)).state.job.id
    async with services.database.connect() as connection:
        assert not await keep(connection, job_id, "handle", held_token=0, provider="sora")
    assert await renders(services) == []
