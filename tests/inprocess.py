"""A worker's parts inside of the test's process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast
from uuid import UUID

from services.events import CANCELLED_CHANNEL
from services.job_queries import JobState, find_jobs
from services.lifecycle import JobStatus
from services.resources import Resources
from worker.consumer import Consumer
from worker.handlers import register_handler
from worker.handlers.asset_generation import JOB_TYPE, generate_asset
from worker.leases import Leases
from worker.providers.protocol import Provider
from worker.providers.simulator import SimulatorProvider
from worker.renders import RenderSweep
from worker.runner import Runner

register_handler(JOB_TYPE, generate_asset)


class InProcessWorker:
    """A worker's consumer and heartbeat, run by the test.

    Args:
        resources: what it works with.
        others: providers beside the simulator and those of other packages.
    """

    def __init__(self, resources: Resources, *others: Provider) -> None:
        settings = resources.settings
        self.resources = resources
        self.leases = Leases(
            resources.database,
            resources.queues,
            lease=settings.lease,
            heartbeat=timedelta(seconds=settings.heartbeat_s),
        )
        plugins = [cast("Provider", plugin) for plugin in resources.plugins]
        providers: dict[str, Provider] = {
            each.spec.name: each for each in (SimulatorProvider(), *plugins, *others)
        }
        self.sweep = RenderSweep(resources.database, providers, interval=timedelta(seconds=1))
        self.runner = Runner(resources, providers, self.leases)
        self.consumer = Consumer(resources, self.runner)

    @asynccontextmanager
    async def running(self, *, beating: bool = True, grace: timedelta = timedelta()) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.consumer.run())]
        if beating:
            tasks.append(asyncio.create_task(self.leases.run()))
        async with self.resources.feed.listen(CANCELLED_CHANNEL, self.leases):
            try:
                yield
            finally:
                await self.consumer.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self.runner.finish(grace)


async def state(resources: Resources, job_id: UUID) -> JobState:
    """Return a job as it stands."""
    async with resources.database.connect() as connection:
        return (await find_jobs(connection, [job_id]))[job_id]


def reached(resources: Resources, job_id: UUID, *statuses: JobStatus) -> Callable[[], Awaitable[bool]]:
    """Return the condition that a job stands at one of these."""

    async def check() -> bool:
        return (await state(resources, job_id)).job.status in statuses

    return check
