"""A system to measure: embedded services, and this process as the one that commits and publishes."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from bench.cores import OTHER_CORES
from bench.programs import Program, running
from services.intake import JobRequest, accept
from services.job_store import create
from services.local_sqs import LOCAL_CREDENTIAL
from services.local_stack import Endpoint, LocalStackNotRunning, Part, read_stack
from services.migrating import migrate
from services.models import AssetType
from services.resources import Resources, find_endpoints, open_resources
from services.settings import load_settings

_CREATE_BATCH: Final = 500
_DEADLINE_S: Final = 60
_APPLICATION: Final = "lorekeeper-api"
_CHECK: Final = r"^\s*(SELECT jobs\.id, jobs\.seq\s|WITH unread AS)"
"""What a process of ours asks the log at an interval, whether or not anything happens."""
BACKGROUND: Final = re.compile(rf"{_CHECK}|^(BEGIN|COMMIT|ROLLBACK)|pg_try_advisory_xact_lock|sent_at IS NULL")
"""The same, and the sweep of the outbox."""


@dataclass(frozen=True, slots=True)
class System:
    """What a measurement works with."""

    resources: Resources
    environment: dict[str, str]
    """The variables that configure a process of ours."""
    monitor: "asyncpg.Connection[asyncpg.Record]"
    """A connection that only looks, so that it can be told apart."""

    @property
    def redis_url(self) -> str:
        """Where Valkey answers."""
        return self.environment["REDIS_URL"]

    async def create_jobs(self, number: int, world_id: str) -> list[UUID]:
        """Create jobs, and send their messages, so that nothing of theirs is left to be measured."""
        request = JobRequest(world_id=world_id, asset_type=AssetType.IMAGE, provider="simulator", prompt_spec={})
        ids: list[UUID] = []
        for start in range(0, number, _CREATE_BATCH):
            new = [
                accept(request, self.resources.catalog, requested_by="bench")
                for _ in range(min(_CREATE_BATCH, number - start))
            ]
            async with self.resources.database.connect() as connection:
                jobs = [moved.job for moved in await create(connection, new)]
            self.resources.dispatcher.submit(jobs)
            await self.resources.dispatcher.drain()
            ids += [job.id for job in jobs]
        return ids

    async def statements(self) -> set[tuple[int, object, str]]:
        """Return the last statement of each connection of the API: backend, start, text."""
        rows = await self.monitor.fetch(
            "SELECT pid, query_start, query FROM pg_stat_activity WHERE application_name = $1", _APPLICATION
        )
        return {(row["pid"], row["query_start"], row["query"]) for row in rows}

    async def next_check(self) -> None:
        """Wait until the API has just asked the log whether a message went missing: it does so every 5 s."""
        async with asyncio.timeout(_DEADLINE_S):
            before = await self._checks()
            while await self._checks() == before:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.02)

    async def _checks(self) -> object:
        return await self.monitor.fetchval(
            "SELECT max(query_start) FROM pg_stat_activity WHERE application_name = $1 AND query ~ $2",
            _APPLICATION,
            _CHECK,
        )


@asynccontextmanager
async def open_system() -> AsyncIterator[System]:
    """Start the embedded services in a folder of their own and open them; all is gone at the end."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lorekeeper-bench-")))
        environment = {"LOREKEEPER_HOME": str(home), "LOREKEEPER_LOG_LEVEL": "warning"}
        services = Program([sys.executable, "server.py", "services"], environment, cores=OTHER_CORES)
        stack.enter_context(running(services))
        endpoints = await _await_services(home, services)
        await migrate(endpoints[Part.POSTGRES].url)
        environment |= {
            "DATABASE_URL": endpoints[Part.POSTGRES].url,
            "REDIS_URL": endpoints[Part.REDIS].url,
            "AWS_ENDPOINT_URL": endpoints[Part.SQS].url,
            "AWS_ACCESS_KEY_ID": LOCAL_CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": LOCAL_CREDENTIAL,
            "LOREKEEPER_SIMULATOR": "true",
        }
        os.environ.update(environment)
        settings = load_settings()
        resources = await stack.enter_async_context(
            open_resources(settings, find_endpoints(settings), name="bench")
        )
        monitor = await asyncpg.connect(endpoints[Part.POSTGRES].url, timeout=10)
        stack.push_async_callback(monitor.close)
        yield System(resources, environment, monitor)


async def _await_services(home: Path, services: Program) -> dict[Part, Endpoint]:
    async with asyncio.timeout(_DEADLINE_S):
        while services.running:
            try:
                found = dict(read_stack(home))
            except LocalStackNotRunning:
                found = {}
            if len(found) == len(Part):
                return found
            await asyncio.sleep(0.05)
    raise RuntimeError("the embedded services did not start")
