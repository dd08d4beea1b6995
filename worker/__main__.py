"""`python -m worker`: one worker process."""

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog

from services.events import CANCELLED_CHANNEL
from services.migrating import require_current, wait_for_database
from services.program import run_program
from services.resources import find_endpoints, open_resources
from services.settings import Settings
from services.supervision import Supervisor
from worker.consumer import Consumer
from worker.handlers import register_handler
from worker.handlers.asset_generation import JOB_TYPE, generate_asset
from worker.leases import Leases
from worker.maintenance import Maintenance
from worker.providers.registry import open_providers
from worker.renders import RenderSweep
from worker.runner import Runner
from worker.webhooks import open_sender

_LAST_WEBHOOKS = timedelta(seconds=2)
"""How long webhooks that are being called may go on after the last job. What is cut is sent again."""

log = structlog.get_logger("worker")


async def work(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT, then finish or release what runs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    endpoints = find_endpoints(settings)
    if endpoints.embedded:
        names = ", ".join(sorted(endpoints.embedded))
        log.info("worker.joins", services=names, home=str(settings.home))
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings, endpoints, name="lorekeeper-worker"))
        await wait_for_database(resources.database, patience=timedelta(seconds=settings.startup_timeout_s))
        await require_current(resources.database)
        register_handler(JOB_TYPE, generate_asset)
        providers = await stack.enter_async_context(open_providers(resources))
        leases = Leases(
            resources.database,
            resources.queues,
            lease=settings.lease,
            heartbeat=timedelta(seconds=settings.heartbeat_s),
        )
        runner = Runner(resources, providers, leases)
        consumer = Consumer(resources, runner)
        sweep = RenderSweep(resources.database, providers, interval=timedelta(seconds=settings.maintenance_s))
        sender = await stack.enter_async_context(open_sender(resources))
        # Two circles: what delivers results must outlive what takes on new work.
        outer = await stack.enter_async_context(Supervisor())
        outer.start("publisher", resources.publisher.run)
        outer.start("feed", resources.feed.run)
        outer.start("heartbeat", leases.run)
        outer.start("renders", sweep.run)
        if sender is not None:
            outer.start("webhooks", sender.run)
        for listener in (leases, sweep):
            await stack.enter_async_context(resources.feed.listen(CANCELLED_CHANNEL, listener))
        async with Supervisor() as inner:
            inner.start("dispatcher", resources.dispatcher.run)
            inner.start("maintenance", Maintenance(resources).run)
            inner.start("consumer", consumer.run)
            log.info("worker.ready", concurrency=settings.worker_concurrency, queue=settings.sqs_queue_name)
            await stop.wait()
            log.info("worker.stopping")
            await consumer.stop()
        await runner.finish(timedelta(seconds=settings.shutdown_grace_s))
        if sender is not None:
            await sender.finish(_LAST_WEBHOOKS)
        try:
            async with asyncio.timeout(1):
                await resources.publisher.drain()
        except TimeoutError:
            log.warning("worker.unpublished")
    log.info("worker.stopped")


def main() -> int:
    """Run the worker; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="One lorekeeper worker process.")
    parser.parse_args()
    return run_program("worker", work)


if __name__ == "__main__":
    sys.exit(main())
