"""A server that wants tokens, filled with the jobs of two worlds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
from sqlalchemy import text
from starlette.applications import Starlette

from services.cursors import world_cursor
from services.job_queries import JobFilter, page_of_jobs
from services.job_store import advance, create
from services.lifecycle import Event
from services.lists import Keyset
from services.messages import Message
from services.moves import Move
from services.positions import Position
from services.resources import Resources
from tests.factories import a_new_job, an_asset
from tests.tokens import bearer

OURS: Final = "eldoria"
THEIRS: Final = "mirth"
UNTOUCHED: Final = "a message that only a purge takes"


@dataclass(frozen=True)
class Realm:
    """A server that wants tokens, and what it has: a finished and a live job in each of two worlds."""

    address: str
    app: Starlette
    ids: Mapping[str, str]

    async def ask(self, operation: str, token: str | None) -> dict[str, Any]:
        """Send an operation; of a stream take the first item. Returns the answer and its status."""
        headers = {} if token is None else bearer(token)
        if operation.startswith("subscription"):
            headers["Accept"] = "text/event-stream"
        body = {"query": self.filled(operation)}
        async with (
            httpx.AsyncClient(base_url=f"http://{self.address}", headers=headers) as client,
            client.stream("POST", "/graphql", json=body) as response,
        ):
            answer: dict[str, Any]
            if response.headers["content-type"].startswith("text/event-stream"):
                answer = await first_event(response)
            else:
                answer = json.loads(await response.aread())
            return answer | {"status": response.status_code}

    def filled(self, operation: str) -> str:
        """Return an operation with ids in the places of their names."""
        for name, value in self.ids.items():
            operation = operation.replace(f"${name}", json.dumps(value))
        return operation

    async def state(self) -> tuple[int, int]:
        """Return what mutations of jobs and assets change: the transitions, and the assets that are READY."""
        counts = "SELECT (SELECT count(*) FROM transitions), (SELECT count(*) FROM assets WHERE status = 'READY')"
        async with self.app.state.resources.database.connect() as connection:
            transitions, ready = (await connection.execute(text(counts))).one()
        return transitions, ready

    async def holds(self, body: str) -> bool:
        """Whether the queue still has a message."""
        resources: Resources = self.app.state.resources
        return body in [
            delivery.body for delivery in await resources.queues.normal.receive(wait=timedelta(seconds=1))
        ]


async def first_event(response: httpx.Response) -> dict[str, Any]:
    """Return the first item of a stream."""
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            item: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return item
    raise AssertionError("the stream ended before its first item")


async def filled_with_jobs(resources: Resources) -> dict[str, str]:
    """Create what the ids of a realm name, and return them."""
    async with resources.database.connect() as connection:
        start = (await page_of_jobs(connection, JobFilter(), Keyset(limit=1))).snapshot
        for world_id in (THEIRS, OURS):
            finished, live = a_new_job(world_id=world_id), a_new_job(world_id=world_id)
            await create(connection, [finished, live])
            job_id = finished.job.id
            claimed = await advance(connection, [Move(job_id, Event.CLAIM, lease=timedelta(seconds=30))])
            asset = an_asset(claimed[job_id].job)
            await advance(connection, [Move(job_id, Event.SUCCEED, held_token=1, asset=asset)])
    await resources.queues.normal.send([Message(UNTOUCHED)])
    return {
        "job": str(finished.job.id),
        "live": str(live.job.id),
        "asset": str(asset.id),
        "start": world_cursor(OURS, Position(start)),
        "queue": resources.queues.normal.name,
    }
