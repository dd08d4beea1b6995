"""What is run by itself, beside an API: migrations, and the embedded services alone."""

import asyncio
import signal
from datetime import timedelta

import structlog

from services.database import Database
from services.local_stack import LocalStack
from services.migrating import migrate, wait_for_database
from services.resources import find_database_url
from services.settings import Settings

log = structlog.get_logger("server")


async def run_migrations(settings: Settings) -> None:
    """Bring the database to this version, as soon as it answers."""
    url = find_database_url(settings)
    await await_database(settings, url)
    await migrate(url)
    log.info("database.migrated")


async def await_database(settings: Settings, url: str) -> None:
    """Return as soon as PostgreSQL answers.

    Raises:
        DatabaseUnavailable: it does not in time.
    """
    database = Database(url, timeout=timedelta(seconds=settings.request_timeout_s))
    try:
        await wait_for_database(database, patience=timedelta(seconds=settings.startup_timeout_s))
    finally:
        await database.close()


async def run_services(settings: Settings) -> None:
    """Run only the embedded services, until a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with LocalStack(settings.home) as stack:
        for part, endpoint in stack.endpoints.items():
            log.info("service.ready", service=part, pid=endpoint.pid)
        await stop.wait()
