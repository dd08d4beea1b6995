"""Guarantees 7 and 8 under fire: whatever happens to Redis and to the clients' sockets, each `seq` comes once.

Real clients follow worlds and jobs; what they were told is compared with the log in PostgreSQL.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from services.local_stack import Part, read_stack
from tests.faults.adversary import (
    ALL_TOGETHER,
    DELAY,
    LOSE_ALL,
    LOSE_SOME,
    PASS,
    REORDER,
    REPEAT,
    Adversary,
    Mischief,
)
from tests.faults.conftest import Created, System, size
from tests.faults.subscriber import MARKER, Crowd, Stream, Subscriber
from tests.relay import Relay

pytestmark = pytest.mark.timeout(300)

WORLDS: Final = [f"world-{number}" for number in range(4)]
TOGETHER: Final = 10
"""Jobs of each world that are created at once."""
AT_ONCE: Final = 8
"""Jobs that one subscriber follows."""
BOUND_S: Final = 20
"""How long after the last transition a stream may take to tell it, once its client is cut no more.

Before, it needs most of the bytes that it may pass to resume, and how soon it gets on is the machine's affair.
"""
LATE_S: Final = 2


@dataclass(frozen=True, slots=True)
class Way:
    """One way of doing harm."""

    mischief: Mischief = PASS
    """To what Redis publishes."""
    cut_redis: bool = False
    kill_redis: bool = False
    cut_clients: bool = False


WAYS: Final = {
    "lose_all": Way(LOSE_ALL),
    "lose_some": Way(LOSE_SOME),
    "delay": Way(DELAY),
    "reorder": Way(REORDER),
    "repeat": Way(REPEAT),
    "cut_redis": Way(cut_redis=True),
    "kill_redis": Way(kill_redis=True),
    "cut_clients": Way(cut_clients=True),
    "all_together": Way(ALL_TOGETHER, cut_redis=True, cut_clients=True),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_nothing_is_missed_repeated_or_reordered(parts: System, way: Way) -> None:
    """Falls without the check of `Streams.run`, where all is lost; elsewhere, where an update is passed on
    without comparing its `seq`.
    """
    async with harm(parts, way) as clients, Crowd() as crowd:

        def follow(*streams: Stream, most: int) -> None:
            """Let one more subscriber follow: some resume after so many items at the most, some come late."""
            number = len(crowd.subscribers)
            patience = (lambda: random.randint(1, most)) if number % 4 == 1 else lambda: None
            late_s = random.uniform(0, LATE_S) if number % 4 > 1 else 0
            crowd.join(Subscriber(clients.address, streams, patience=patience), late_s=late_s)

        cursors = {world: await parts.updates_cursor(world) for world in WORLDS}
        for number in range(size(6, 25)):
            world = WORLDS[number % len(WORLDS)]
            follow(Stream.of_world(world, None if number % 8 == 7 else cursors[world]), most=50)
        jobs: list[Created] = []
        for _ in range(size(40, 200) // len(WORLDS) // TOGETHER):
            jobs += await create_together(parts, [a_job(world) for world in WORLDS for _ in range(TOGETHER)])
        for number in range(size(6, 25)):
            follow(*(Stream.of_job(job, whole=number % 8 != 3) for job in random.sample(jobs, AT_ONCE)), most=5)
        await parts.settle(within_s=120)
        await create_together(parts, [{"worldId": world, "priority": MARKER} for world in WORLDS])
        await parts.settle()
        clients.spare()
        since = time.time() if way.cut_clients else 0
        await crowd.check(await parts.histories(), within_s=BOUND_S, since=since)
        print(f"\n{crowd}")


@asynccontextmanager
async def harm(system: System, way: Way) -> AsyncIterator[Relay]:
    """Do harm between Redis, an API process and its clients, whose way to it is returned. The worker is spared."""
    redis = urlsplit(read_stack(system.home)[Part.REDIS].url)
    assert redis.port is not None
    async with AsyncExitStack() as exits:
        adversary = await exits.enter_async_context(Adversary(redis.port, way.mischief))
        cutters: list[Relay] = []
        near = adversary.port
        if way.cut_redis:
            cutters.append(await exits.enter_async_context(Relay(near, lifetime=lambda: lifetime(30_000))))
            near = cutters[-1].port
        url = redis._replace(netloc=f":{redis.password}@127.0.0.1:{near}").geturl()
        await system.launch(REDIS_URL=url)
        clients = Relay(
            int(system.address.rpartition(":")[2]),
            lifetime=lambda: lifetime(2_000) if way.cut_clients else None,
        )
        await exits.enter_async_context(clients)
        if way.cut_clients:
            cutters.append(clients)
        killing = asyncio.create_task(_kill_redis(system)) if way.kill_redis else None
        yield clients
        if killing is not None:
            assert not killing.done()
            killing.cancel()
        assert adversary.messages > 0
        assert (adversary.harmed > 0) == (way.mischief is not PASS)
        assert min((cutter.cuts for cutter in cutters), default=3) > 2


def lifetime(mean: int) -> int:
    """Return after how many bytes a connection is cut: mostly few, now and then enough to get on."""
    return 1_000 + int(random.expovariate(1 / mean))


async def _kill_redis(system: System) -> None:
    while True:
        await asyncio.sleep(random.uniform(0.3, 1.5))
        await system.restart(Part.REDIS)


async def create_together(system: System, wanted: Sequence[dict[str, Any]]) -> list[Created]:
    return await asyncio.gather(*(system.insist(changes) for changes in wanted))


def a_job(world: str) -> dict[str, Any]:
    """Return a job of several transitions."""
    return {
        "worldId": world,
        "promptSpec": {"fail_attempts": random.randint(1, 2), "duration_ms": random.randint(50, 300), "steps": 3},
    }
