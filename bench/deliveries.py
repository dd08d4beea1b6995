"""Deliveries a second: to many subscribers of one world, and to many jobs with one subscriber each.

Ours and the baselines take turns with the same updates and the same clients, each server alone on its core.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from bench import broadcast
from bench.clients import Crowd, Subscription, crowd
from bench.cores import busy_core_s, wait_until_quiet
from bench.programs import Program, running, start_api, start_broadcast, start_node
from bench.report import Figure
from bench.system import System
from bench.tape import Take, play, recorded, said
from services.updates import JobUpdate

_FIELDS: Final = """
kind jobId seq cursor status progress progressMessage errorCode job { asset { downloadUrl } }
"""
_WORLD: Final = f"subscription Watch($worldId: ID!) {{ worldUpdates(worldId: $worldId) {{ {_FIELDS} }} }}"
_JOB: Final = f"subscription Watch($jobId: ID!) {{ jobUpdates(jobId: $jobId) {{ {_FIELDS} }} }}"
_SETTLE_S: Final = 1.0
_SAMPLED: Final = 4
"""Clients whose every frame is decoded afterwards; all others' are counted, in frames and bytes."""
_TRIES: Final = 4
_MOST_OTHERS: Final = 0.08
_WINDOW: Final = 12_000
"""Deliveries under way at once: 60 updates to each of 200 subscribers, or a few to each of 1,000."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is delivered."""

    subscribers: int
    jobs: int
    steps: int

    @property
    def fan_out(self) -> int:
        """Subscribers of one update."""
        return self.subscribers if self.subscribers != self.jobs else 1

    @property
    def window(self) -> int:
        """Updates under way at once."""
        return max(_WINDOW // self.subscribers, 1) if self.fan_out > 1 else 2 * self.jobs

    @property
    def warm_up(self) -> int:
        """Updates that are delivered before the clock starts."""
        return self.jobs


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run.

    Attributes:
        rate: deliveries a second.
        server: what the server used of its core.
        clients: what the counting clients and the publisher used of theirs.
        others: what others used of the server's core.
    """

    rate: float
    server: float
    clients: float
    others: float

    @property
    def cost_us(self) -> float:
        """The server's CPU time for one delivery, in microseconds: hardly moved by what else the machine does."""
        return 1e6 * self.server / self.rate


Runs = dict[str, list[Run]]


def world_subscription(world_id: str) -> Subscription:
    """Return the subscription to a world that is measured."""
    return Subscription(_WORLD, {"worldId": world_id})


def job_subscription(job_id: UUID) -> Subscription:
    """Return the subscription to a job that is measured."""
    return Subscription(_JOB, {"jobId": str(job_id)})


async def measure_world(system: System, load: Load, rounds: int, *, patient: bool) -> list[Figure]:
    """Measure many subscribers of one world."""
    runs: Runs = {"ours": [], "graphql-ws": [], "broadcast": []}
    with (
        running(start_api(system.environment)) as api,
        running(start_node(system.redis_url)) as node,
        running(start_broadcast(system.redis_url)) as bare,
    ):
        frames: list[bytes] = []
        updates: Sequence[JobUpdate] = ()

        async def ours() -> Run:
            nonlocal frames, updates
            world_id = f"world-{uuid4().hex}"
            jobs = await system.create_jobs(load.jobs, world_id)
            wanted = [world_subscription(world_id)] * load.subscribers
            async with _crowd(api, wanted) as clients, _committed(system, jobs, load.steps) as take:
                run = await _run(system, api, clients, take.tape, load)
                updates = take.updates
                _check(clients, updates[load.warm_up :])
                frames = [arrival.text for arrival in clients.clients[0].kept or ()]
            return run

        async def theirs(server: Program, tape: Sequence[bytes]) -> Run:
            wanted = [world_subscription(updates[0].job.world_id)] * load.subscribers
            async with _crowd(server, wanted) as clients:
                run = await _run(system, server, clients, tape, load)
                _check(clients, updates[load.warm_up :])
            return run

        for _ in range(rounds):
            runs["ours"].append(await _undisturbed(ours, patient=patient))
            tape = [said(f"bench:world:{each.job.world_id}", each.model_dump_json().encode()) for each in updates]
            runs["graphql-ws"].append(await _undisturbed(partial(theirs, node, tape), patient=patient))
            tape = [said(broadcast.CHANNEL, frame) for frame in (*frames[: load.warm_up], *frames)]
            runs["broadcast"].append(await _undisturbed(partial(theirs, bare, tape), patient=patient))
    what = f"deliveries/s to {load.subscribers} subscribers of one world"
    return [
        _compare(what, runs, "graphql-ws", "graphql-ws on Node", at_least=3),
        _compare(what, runs, "broadcast", "bare ASGI broadcast", at_least=0.6),
        *_details(what, runs),
    ]


async def measure_jobs(system: System, load: Load, rounds: int, *, patient: bool) -> list[Figure]:
    """Measure one subscriber, with a connection of its own, for each of many jobs."""
    runs: Runs = {"ours": [], "graphql-ws": []}
    with running(start_api(system.environment)) as api, running(start_node(system.redis_url)) as node:
        updates: Sequence[JobUpdate] = ()

        async def ours() -> Run:
            nonlocal updates
            jobs = await system.create_jobs(load.jobs, f"world-{uuid4().hex}")
            wanted = [job_subscription(job) for job in jobs]
            async with _crowd(api, wanted, first=1) as clients, _committed(system, jobs, load.steps) as take:
                run = await _run(system, api, clients, take.tape, load)
                updates = take.updates
                _check(clients, updates[load.warm_up :])
            return run

        async def theirs() -> Run:
            wanted = [job_subscription(update.job_id) for update in updates[: load.jobs]]
            async with _crowd(node, wanted, first=1) as clients:
                tape = [said(f"bench:job:{each.job_id}", each.model_dump_json().encode()) for each in updates]
                run = await _run(system, node, clients, tape, load)
                _check(clients, updates[load.warm_up :])
            return run

        for _ in range(rounds):
            runs["ours"].append(await _undisturbed(ours, patient=patient))
            runs["graphql-ws"].append(await _undisturbed(theirs, patient=patient))
    what = f"deliveries/s to {load.jobs} separate jobs, a connection each"
    return [_compare(what, runs, "graphql-ws", "graphql-ws on Node", at_least=1), *_details(what, runs)]


async def _undisturbed(measure: Callable[[], Awaitable[Run]], *, patient: bool) -> Run:
    """Measure; where there is patience, wait for a quiet moment, and again where others took of the core."""
    for _ in range(_TRIES if patient else 1):
        if patient:
            await wait_until_quiet()
        run = await measure()
        if run.others < _MOST_OTHERS:
            break
    return run


@asynccontextmanager
async def _crowd(program: Program, wanted: Sequence[Subscription], *, first: int = 0) -> AsyncIterator[Crowd]:
    """Connect and subscribe; `first` is how many frames each client gets for that."""
    with crowd(program.url) as clients:
        await clients.join(wanted, keep=_SAMPLED)
        await clients.tally.wait_for(first * len(wanted))
        await asyncio.sleep(_SETTLE_S)
        yield clients


@asynccontextmanager
async def _committed(system: System, jobs: Sequence[UUID], steps: int) -> AsyncIterator[Take]:
    """Make transitions that commit when the block begins, right after the API has asked the log.

    So its next question, five seconds later, is not part of what is measured.
    """
    async with recorded(system, jobs, steps) as take:
        await system.next_check()
    yield take


async def _run(system: System, server: Program, clients: Crowd, tape: Sequence[bytes], load: Load) -> Run:
    clients.reset()
    fan_out, window = load.fan_out, load.window
    await play(system.redis_url, tape[: load.warm_up], clients.tally, fan_out=fan_out, window=window)
    clients.reset()
    began, server_s, busy_s, clients_s = time.perf_counter(), server.cpu_s(), busy_core_s(), time.process_time()
    await play(system.redis_url, tape[load.warm_up :], clients.tally, fan_out=fan_out, window=window)
    clients_s, server_s = time.process_time() - clients_s, server.cpu_s() - server_s
    others_s = busy_core_s() - busy_s - server_s
    lasted, tally = time.perf_counter() - began, clients.tally
    return Run(
        tally.frames / (tally.last_at - tally.first_at), server_s / lasted, clients_s / lasted, others_s / lasted
    )


def _check(clients: Crowd, expected: Sequence[JobUpdate]) -> None:
    """Check that each subscriber had every frame once, in order.

    Raises:
        RuntimeError: one had not.
    """
    shared = len(clients.clients) != len({str(client.wanted.variables) for client in clients.clients})
    for client in clients.clients:
        job_id = client.wanted.variables.get("jobId")
        awaited = [update for update in expected if shared or str(update.job_id) == job_id]
        if client.kept is not None:
            items = [arrival.decode() for arrival in client.kept]
            got = [(item["jobId"], item["seq"], item["status"]) for item in items]
            if got != [(str(update.job_id), update.seq, update.status) for update in awaited]:
                raise RuntimeError("a sampled subscriber did not get the updates as they were published")
        if client.frames != clients.clients[0].frames or client.bytes != clients.clients[0].bytes:
            raise RuntimeError(f"a subscriber got {client.frames} frames, {client.bytes} bytes, unlike the first")


def _compare(what: str, runs: Runs, name: str, label: str, *, at_least: float) -> Figure:
    ours, theirs = (statistics.median(run.rate for run in runs[each]) for each in ("ours", name))
    # Of runs that took turns: what disturbed one round disturbed both.
    ratio = statistics.median(mine.rate / other.rate for mine, other in zip(runs["ours"], runs[name], strict=True))
    return Figure(
        what,
        f"{ours:,.0f}",
        budget=f">= {at_least:g} x",
        against=f"{label}: {theirs:,.0f}",
        ratio=ratio,
        met=ratio >= at_least,
    )


def _details(what: str, runs: Runs) -> list[Figure]:
    """Tell how busy servers and clients were: the servers are the bottleneck, or the figures mean nothing."""
    who = what.removeprefix("deliveries/s ")
    return [
        Figure(
            f"  {who}, {name}: CPU us each; cores of server, clients, others; rounds",
            f"{statistics.median(run.cost_us for run in measured):.1f}; "
            f"{statistics.median(run.server for run in measured):.2f}, "
            f"{statistics.median(run.clients for run in measured):.2f}, "
            f"{max(run.others for run in measured):.2f}; " + ", ".join(f"{run.rate:,.0f}" for run in measured),
        )
        for name, measured in runs.items()
    ]
