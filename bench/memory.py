"""What one more idle subscribed WebSocket costs in memory."""

import asyncio
import signal
import statistics
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID, uuid4

from bench.clients import crowd
from bench.deliveries import job_subscription
from bench.programs import Program, running, start_api, start_node
from bench.report import Figure
from bench.system import System

_SETTLE_S: Final = 3.0
_BUDGET_KIB: Final = 24


async def measure_memory(system: System, steps: Sequence[int], rounds: int) -> list[Figure]:
    """Measure a fresh process with more and more idle subscribers, each of its own job that waits."""
    jobs = await system.create_jobs(steps[-1], f"world-{uuid4().hex}")
    costs: dict[str, list[float]] = {"ours": [], "graphql-ws": []}
    starts: dict[str, Callable[[], Program]] = {
        "ours": lambda: start_api(system.environment),
        "graphql-ws": lambda: start_node(system.redis_url),
    }
    for _ in range(rounds):
        for name, start in starts.items():
            with running(start()) as program:
                costs[name].append(await _cost_kib(program, jobs, steps))
    ours, theirs = (statistics.median(costs[name]) for name in ("ours", "graphql-ws"))
    return [
        Figure(
            f"memory of one more idle subscribed WebSocket, from {steps[0]:,} to {steps[-1]:,}",
            f"{ours:.1f} KiB",
            budget=f"<= {_BUDGET_KIB} KiB",
            against=f"graphql-ws on Node: {theirs:.1f} KiB",
            ratio=ours / theirs,
            met=ours <= _BUDGET_KIB,
        )
    ]


async def _cost_kib(program: Program, jobs: Sequence[UUID], steps: Sequence[int]) -> float:
    """Return the slope of the line through the measured points."""
    used: list[float] = []
    with crowd(program.url) as clients:
        for step in steps:
            await clients.join([job_subscription(job) for job in jobs[len(clients.clients) : step]])
            await clients.tally.wait_for(step)
            if "node" in program.process.name():
                program.process.send_signal(signal.SIGUSR2)
            await asyncio.sleep(_SETTLE_S)
            used.append(program.memory_bytes() / 1024)
    return statistics.linear_regression(steps, used).slope
