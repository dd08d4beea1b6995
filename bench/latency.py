"""How long a committed transition takes to a WebSocket client when nothing else happens."""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from bench.clients import Subscription, crowd
from bench.cores import wait_until_quiet
from bench.deliveries import job_subscription, world_subscription
from bench.programs import Program, running, start_api
from bench.report import Figure
from bench.system import System
from services.job_store import advance, claim
from services.lifecycle import Event
from services.moves import Move, Moved
from services.updates import JobUpdate

_LEASE: Final = timedelta(hours=1)
_EVERY_S: Final = 0.05
_SETTLE_S: Final = 1.0
_WARM_UP: Final = 20
_BUDGET_MS: Final = 10


async def measure_latency(system: System, transitions: int, *, patient: bool) -> list[Figure]:
    """Measure commit to frame: this process commits, publishes and reads the socket, so one clock tells."""
    if patient:
        await wait_until_quiet()
    publishing = asyncio.create_task(system.resources.publisher.run())
    try:
        with running(start_api(system.environment)) as api:
            world_id = f"world-{uuid4().hex}"
            first, second = await system.create_jobs(2, world_id)
            return [
                _figure("jobUpdates", await _measure(system, api, job_subscription(first), first, transitions)),
                _figure(
                    "worldUpdates", await _measure(system, api, world_subscription(world_id), second, transitions)
                ),
            ]
    finally:
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing


async def _measure(system: System, api: Program, wanted: Subscription, job: UUID, transitions: int) -> list[float]:
    """Return how long each transition took, in milliseconds."""
    committed: dict[int, float] = {}
    with crowd(api.url) as clients:
        await clients.join([wanted], keep=1)
        await asyncio.sleep(_SETTLE_S)
        clients.reset()
        held: Moved | None = None
        for number in range(_WARM_UP + transitions):
            due = time.perf_counter() + _EVERY_S
            held = await _step(
                system, job, held, lambda moved: committed.setdefault(moved.job.seq, time.perf_counter())
            )
            if number % 2:
                held = None
            await asyncio.sleep(due - time.perf_counter())
        await clients.tally.wait_for(_WARM_UP + transitions)
        (client,) = clients.clients
        arrived = {int(arrival.decode()["seq"]): arrival.at for arrival in client.kept or ()}
    if arrived.keys() != committed.keys() or client.frames != len(committed):
        raise RuntimeError("not every transition arrived once")
    return [1000 * (arrived[seq] - at) for seq, at in sorted(committed.items())][_WARM_UP:]


def _figure(name: str, took_ms: list[float]) -> Figure:
    cuts = statistics.quantiles(took_ms, n=100, method="inclusive")
    return Figure(
        f"commit -> frame, {name}, {len(took_ms)} transitions at 20/s: p50, p99, most",
        f"{cuts[49]:.2f}, {cuts[98]:.2f}, {max(took_ms):.2f} ms",
        budget=f"p99 <= {_BUDGET_MS} ms",
        ratio=cuts[98] / _BUDGET_MS,
        met=cuts[98] <= _BUDGET_MS,
    )


async def _step(system: System, job: UUID, held: Moved | None, committed: Callable[[Moved], object]) -> Moved:
    """Claim the job, or release it where it is held, and publish after the commit."""
    async with system.resources.database.connect() as connection:
        if held is None:
            moved = (await claim(connection, [job], _LEASE))[job]
        else:
            move = Move(job, Event.RELEASE, held_token=held.job.fencing_token)
            moved = (await advance(connection, [move]))[job]
        # The connection is in autocommit: the statement has committed.
        committed(moved)
        system.resources.publisher.publish([JobUpdate.of_move(moved)])
    return moved
