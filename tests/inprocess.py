"""A worker's parts inside of the test's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.events import CANCELLED_CHANNEL
from services.resources import Resources
from worker.consumer import Consumer
from worker.handlers import register_handler
from worker.handlers.asset_generation import JOB_TYPE, generate_asset
from worker.leases import Leases
from worker.providers.registry import build_providers
from worker.runner import Runner

register_handler(JOB_TYPE, generate_asset)


class InProcessWorker:
    """A worker's consumer and heartbeat, run by the test."""

    def __init__(self, resources: Resources) -> None:
        settings = resources.settings
        self.resources = resources
        self.leases = Leases(
            resources.database,
            resources.queues,
            lease=settings.lease,
            heartbeat=timedelta(seconds=settings.heartbeat_s),
        )
        providers = build_providers(simulator=True, plugins=resources.plugins)
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
