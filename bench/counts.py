"""What a live update costs in statements and Redis subscriptions, counted at the services."""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import uuid4

from bench.clients import crowd
from bench.deliveries import job_subscription, world_subscription
from bench.programs import running, start_api
from bench.report import Figure
from bench.system import BACKGROUND, System
from bench.tape import play, recorded
from services.events import job_channel, world_channel

_SUBSCRIBERS: Final = 200
_JOBS: Final = 20
_STEPS: Final = 10
_SETTLE_S: Final = 1.0
_LOOK_S: Final = 0.002


async def measure_counts(system: System) -> list[Figure]:
    """Count while 200 subscribers of a world and 200 of its jobs get live updates."""
    world_id = f"world-{uuid4().hex}"
    jobs = await system.create_jobs(_JOBS, world_id)
    updates = _JOBS * _STEPS
    with running(start_api(system.environment)) as api, crowd(api.url) as clients:
        await clients.join([world_subscription(world_id)] * _SUBSCRIBERS)
        await clients.join([job_subscription(jobs[number % _JOBS]) for number in range(_SUBSCRIBERS)])
        await clients.tally.wait_for(_SUBSCRIBERS)
        await asyncio.sleep(_SETTLE_S)
        channels = [world_channel(world_id), *map(job_channel, jobs)]
        numbers = await system.resources.redis.execute_command("PUBSUB", "NUMSUB", *channels)  # type: ignore[no-untyped-call]
        subscriptions = [int(number) for number in numbers[1::2]]
        async with recorded(system, jobs, _STEPS) as take:
            await system.next_check()
        clients.reset()
        before = await system.statements()
        seen: set[tuple[int, object, str]] = set()
        looking = asyncio.create_task(_look(system, seen))
        await play(
            system.redis_url, take.tape, clients.tally, fan_out=_SUBSCRIBERS // _JOBS + _SUBSCRIBERS, window=20
        )
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        seen |= await system.statements()
        live = [text for _, _, text in seen - before if not BACKGROUND.search(text)]
    return [
        Figure(
            f"SQL for {updates} live updates to {2 * _SUBSCRIBERS} subscribers "
            f"(besides {len(seen - before) - len(live)} of the background)",
            str(len(live)),
            budget="0",
            met=not live,
        ),
        Figure(
            f"Redis SUBSCRIBEs for a channel with {_SUBSCRIBERS} subscribers",
            str(max(subscriptions)),
            budget="1",
            met=set(subscriptions) == {1},
        ),
    ]


async def _look(system: System, seen: set[tuple[int, object, str]]) -> None:
    while True:
        seen |= await system.statements()
        await asyncio.sleep(_LOOK_S)
