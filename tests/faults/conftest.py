"""A whole system of real processes that a test may kill part by part."""

import asyncio
import json
import os
import random
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import psutil
import pytest

from services.lifecycle import EDGES, FINAL, LIVE, Event, JobStatus
from services.local_stack import LocalStackNotRunning, Part, read_stack
from services.migrating import migrate
from tests.conftest import Start, until
from tests.processes import Process

SOAK = os.environ.get("LOREKEEPER_SOAK") == "1"
"""The long form: more jobs, more faults (`make soak`)."""
LEASE_S = 3.0
GRACE_S = 2.0
TIMEOUT_S = 3.0
_CREATE = """mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { job { id seq cursor } } }"""
_A_JOB: dict[str, Any] = {
    "worldId": "eldoria",
    "assetType": "IMAGE",
    "provider": "simulator",
    "promptSpec": {},
}
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Without the system's certificates, which each client would read anew."""
_SETTINGS = {
    "LOREKEEPER_LEASE_S": str(LEASE_S),
    "LOREKEEPER_HEARTBEAT_S": "1",
    "LOREKEEPER_RETRY_BASE_S": "0.2",
    "LOREKEEPER_MAINTENANCE_S": "1",
    "LOREKEEPER_SHUTDOWN_GRACE_S": str(GRACE_S),
    "LOREKEEPER_LOG_LEVEL": "warning",
    "LOREKEEPER_REQUEST_TIMEOUT_S": str(TIMEOUT_S),
}


def size(short: int, long: int) -> int:
    """Return how many, in the form of this run."""
    return long if SOAK else short


@dataclass(frozen=True, slots=True)
class Created:
    """A job as its mutation returned it."""

    id: UUID
    seq: int
    cursor: str


@dataclass
class History:
    """What the log tells of one job."""

    world_id: str
    priority: int
    statuses: list[str] = field(default_factory=list)
    """Of its transitions: the first is that of `seq` 1."""
    last_at: float = 0
    """When the last one was made, by the clock, in seconds."""


@dataclass
class System:
    """The embedded services, one API and any number of workers, each a process of its own."""

    home: Path
    start: Start
    api: Process | None = None
    workers: list[Process] = field(default_factory=list)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Inputs by idempotency key: all that anybody tried to create."""
    accepted: set[UUID] = field(default_factory=set)
    """Jobs whose mutation answered."""
    address: str = ""
    """`host:port` of the API."""

    def start_api(self, *, port: int = 0, **changes: str) -> Process:
        """Start an API process: the one that is used from now on. `changes` are settings by variable."""
        self.api = self.start(
            "-m", "uvicorn", "server:app", "--port", str(port), "--no-access-log", **_SETTINGS | changes
        )
        self.address = self.api.wait_for(r"running on http://(127\.0\.0\.1:\d+)").group(1)
        return self.api

    def start_worker(self) -> Process:
        worker = self.start("-m", "worker", **_SETTINGS | {"LOREKEEPER_LOG_LEVEL": "info"})
        self.workers.append(worker)
        return worker

    async def ready_worker(self) -> Process:
        """Start a worker and wait until it receives."""
        worker = self.start_worker()
        await asyncio.to_thread(worker.wait_for, "worker.ready")
        return worker

    async def launch(self, *, port: int = 0, **changes: str) -> None:
        """Start an API process and a worker, with the patience that they have where nothing is configured."""
        changes = {"LOREKEEPER_REQUEST_TIMEOUT_S": "10"} | changes
        await asyncio.gather(asyncio.to_thread(partial(self.start_api, port=port, **changes)), self.ready_worker())

    @property
    def api_process(self) -> psutil.Process:
        assert self.api is not None
        return psutil.Process(self.api.popen.pid)

    def pid(self, part: Part) -> int:
        return read_stack(self.home)[part].pid

    def kill(self, part: Part) -> None:
        """Kill an embedded service; it is started again on the same port, with its data."""
        os.kill(self.pid(part), signal.SIGKILL)

    async def restart(self, part: Part) -> None:
        """Kill an embedded service and wait until it was started again."""
        before = self.pid(part)
        self.kill(part)

        def started() -> bool:
            try:
                return self.pid(part) != before
            except (KeyError, LocalStackNotRunning):
                return False

        await until(started, within_s=20)

    async def updates_cursor(self, world: str) -> str:
        """Return where a world's updates stand now."""
        query = "query($worldId: ID!) { jobs(filter: {worldId: $worldId}, first: 1) { updatesCursor } }"
        answer = await self.ask(query, {"worldId": world})
        return str(answer["data"]["jobs"]["updatesCursor"])

    async def create(self, prompt: dict[str, Any], **changes: object) -> UUID:
        """Create a job, insisting as a client does."""
        return (await self.insist({"promptSpec": prompt} | changes)).id

    async def insist(self, changes: dict[str, Any]) -> Created:
        """Create a job that differs so from an ordinary one: with the same key until there is an answer."""
        key = uuid4().hex
        wanted = _A_JOB | {"idempotencyKey": key, "maxAttempts": 50} | changes
        self.asked[key] = wanted
        while True:
            try:
                found = await self.ask(_CREATE, {"input": wanted})
                if "errors" not in found:
                    job = found["data"]["createAssetJob"]["job"]
                    created = Created(UUID(job["id"]), job["seq"], job["cursor"])
                    self.accepted.add(created.id)
                    return created
                assert found["errors"][0]["extensions"]["code"] == "UNAVAILABLE", found
            except (httpx.TransportError, json.JSONDecodeError):
                pass
            await asyncio.sleep(0.05)

    async def ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Send one operation; returns the answer."""
        async with httpx.AsyncClient(timeout=20, verify=_NO_TLS) as client:
            response = await client.post(
                f"http://{self.address}/graphql", json={"query": query, "variables": variables}
            )
        answer: dict[str, Any] = response.json()
        return answer

    async def attempt(self) -> dict[str, Any]:
        """Try once to create a job; returns the answer."""
        wanted = _A_JOB | {"idempotencyKey": uuid4().hex}
        self.asked[wanted["idempotencyKey"]] = wanted
        return await self.ask(_CREATE, {"input": wanted})

    async def cancel(self, job_id: UUID) -> None:
        answer = await self.ask("mutation($id: ID!) { cancelJob(id: $id) { status } }", {"id": str(job_id)})
        assert "errors" not in answer, answer

    async def load(self, number: int, prompt: Callable[[], dict[str, Any]], *, at_once: int = 10) -> list[UUID]:
        """Create many jobs, some at a time."""
        gate = asyncio.Semaphore(at_once)

        async def one() -> UUID:
            async with gate:
                return await self.create(prompt())

        return await asyncio.gather(*(one() for _ in range(number)))

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(read_stack(self.home)[Part.POSTGRES].url, timeout=5)
        try:
            yield connection
        finally:
            await connection.close()

    async def is_final(self, jobs: Sequence[UUID]) -> bool:
        try:
            async with self.database() as connection:
                left = await connection.fetchval(
                    "SELECT count(*) FROM jobs WHERE id = ANY ($1) AND status::text = ANY ($2)",
                    jobs,
                    sorted(LIVE),
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return bool(left == 0)

    async def settle(self, *, within_s: float = 60) -> float:
        """Wait until every accepted job is final; returns how long that took, in seconds."""
        began = time.monotonic()
        await until(lambda: self.is_final(sorted(self.accepted)), within_s=within_s)
        return time.monotonic() - began

    async def events(self, job_id: UUID) -> list[Event]:
        async with self.database() as connection:
            rows = await connection.fetch("SELECT event FROM transitions WHERE job_id = $1 ORDER BY seq", job_id)
        return [Event(row["event"]) for row in rows]

    async def histories(self) -> dict[str, History]:
        """Return the log, by job."""
        histories: dict[str, History] = {}
        async with self.database() as connection:
            rows = await connection.fetch(
                "SELECT t.job_id, t.world_id, t.status, t.at, j.priority FROM transitions t "
                "JOIN jobs j ON j.id = t.job_id ORDER BY t.job_id, t.seq"
            )
        for row in rows:
            history = histories.setdefault(str(row["job_id"]), History(row["world_id"], row["priority"]))
            history.statuses.append(row["status"])
            history.last_at = row["at"].timestamp()
        return histories

    async def check(self) -> Counter[str]:
        """Check what must hold whatever happened; returns how many jobs ended how."""
        async with self.database() as connection:
            jobs = {row["id"]: row for row in await connection.fetch("SELECT * FROM jobs")}
            log = await connection.fetch("SELECT * FROM transitions ORDER BY job_id, seq")
            ready = await connection.fetch("SELECT * FROM assets WHERE status = 'READY'")
        assert self.accepted <= jobs.keys(), "an accepted job is lost"
        keys = {row["idempotency_key"] for row in jobs.values()}
        assert keys <= self.asked.keys(), "a job that nobody asked for"
        assert len(keys) == len(jobs), "one key, two jobs"
        histories: dict[UUID, list[Any]] = {}
        for entry in log:
            histories.setdefault(entry["job_id"], []).append(entry)
        for job_id, job in jobs.items():
            history = histories[job_id]
            assert [entry["seq"] for entry in history] == list(range(1, job["seq"] + 1)), "a hole in seq"
            assert history[-1]["status"] == job["status"]
            assert sum(entry["status"] in FINAL for entry in history) == 1, "final more or less than once"
            for before, entry in zip([None, *history], history, strict=False):
                edge = EDGES[Event(entry["event"])]
                assert entry["status"] == edge.target
                source = None if before is None else JobStatus(before["status"])
                assert source is None if not edge.sources else source in edge.sources, "no such edge"
        succeeded = {job_id for job_id, job in jobs.items() if job["status"] == JobStatus.SUCCEEDED}
        assert {row["job_id"] for row in ready} == succeeded
        assert len(ready) == len(succeeded), "two READY assets of one job"
        for row in ready:
            assert (self.home / "assets" / row["storage_key"]).stat().st_size == row["size_bytes"]
        return Counter(job["status"] for job in jobs.values())


@pytest.fixture
async def parts(start: Start, tmp_path: Path) -> AsyncIterator[System]:
    """Start the services; at the end there is nothing left to be polite about."""
    home = tmp_path / "home"
    start("server.py", "services", LOREKEEPER_LOG_LEVEL="error")
    await until((home / "stack.json").exists, within_s=30)
    await migrate(read_stack(home)[Part.POSTGRES].url)
    system = System(home, start)
    yield system
    for process in (*system.workers, system.api):
        if process is not None and process.popen.poll() is None:
            process.kill_all()
    if system.api is not None:
        print(system.api.output[-10_000:])  # shown where the test fails


@pytest.fixture
async def system(parts: System) -> System:
    """Start the services and one API."""
    parts.start_api()
    return parts


def free_port() -> int:
    """Return a port for a server that will restart on it.

    It lies below the range of outgoing connections: there, a client that retries could connect to itself.
    """
    while True:
        port = random.randint(10_000, 14_999)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def a_mix() -> dict[str, Any]:
    """Return what a job of the load does: mostly short, some long, some failing."""
    kind = random.random()
    if kind < 0.1:
        return {"duration_ms": random.randint(1000, 4000), "steps": 10}
    if kind < 0.25:
        return {"fail_attempts": random.randint(1, 2), "duration_ms": 20}
    if kind < 0.3:
        return {"fail_attempts": 1, "permanent": True}
    return {"duration_ms": random.randint(0, 300), "size_bytes": random.randint(0, 5000)}
