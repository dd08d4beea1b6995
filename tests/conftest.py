"""Real services for the tests: one embedded stack a session, one database, queue and home a test."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from uuid import uuid4

import botocore.session
import pytest
import structlog
from botocore.loaders import create_loader
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.database import Database, asyncpg_url
from services.local_sqs import LOCAL_CREDENTIAL
from services.local_stack import Endpoint, LocalStackNotRunning, Part, read_stack
from services.logs import console_renderer
from services.migrating import migrate
from services.resources import Resources, find_endpoints, open_resources
from services.settings import Settings, load_settings
from services.supervision import Supervisor
from tests.processes import ROOT, Process

structlog.configure(processors=[console_renderer(colors=False)])

WEBHOOK_SECRET = "whsec_bG9yZWtlZXBlcidzIG93biB0ZXN0IHNlY3JldCE="
_OURS = ("LOREKEEPER_", "AWS_", "SQS_", "DATABASE_URL", "REDIS_URL")

Opener = Callable[..., Awaitable[Resources]]
Start = Callable[..., Process]


def pytest_collection_finish() -> None:
    """Keep what is imported by now from the collector, which each application would have walk over it."""
    gc.collect()
    gc.freeze()


async def until(condition: Callable[[], object], *, within_s: float = 10) -> None:
    """Wait until a condition, plain or awaitable, holds; fail when the time is up."""
    async with asyncio.timeout(within_s):
        while True:
            answer = condition()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.01)


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """Collect every SQL statement that this process sends inside the block."""
    statements: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)


def clean_environment(**values: str) -> dict[str, str]:
    """Return this process's environment without anything that configures lorekeeper, plus values."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | values


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own configuration, `.env` and `.lorekeeper` out of every test."""
    for name in os.environ:
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOREKEEPER_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture(scope="session", autouse=True)
def _one_loader() -> Iterator[None]:
    """Let the descriptions of AWS's services be read once, not by each client of each test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(create_loader))
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[Part, Endpoint]]:
    """Run the embedded services for the whole session."""
    home = tmp_path_factory.mktemp("stack")
    process = subprocess.Popen(
        [sys.executable, "server.py", "services"],
        cwd=ROOT,
        env=clean_environment(LOREKEEPER_HOME=str(home), LOREKEEPER_LOG_LEVEL="warning"),
    )
    try:
        yield asyncio.run(_running(home, process))
    finally:
        process.terminate()
        assert process.wait(20) == 0


async def _running(home: Path, process: "subprocess.Popen[bytes]") -> Mapping[Part, Endpoint]:
    def started() -> bool:
        assert process.poll() is None, "the embedded services did not start"
        try:
            return len(read_stack(home)) == len(Part)
        except LocalStackNotRunning:
            return False

    await until(started, within_s=30)
    return read_stack(home)


async def _run_as_owner(url: str, statement: str) -> None:
    engine = create_async_engine(asyncpg_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template(stack: Mapping[Part, Endpoint]) -> str:
    """Migrate one database that the others are cloned from; returns its name."""
    url = stack[Part.POSTGRES].url
    name = f"template_{uuid4().hex}"

    async def build() -> None:
        await _run_as_owner(url, f'CREATE DATABASE "{name}"')
        await migrate(_named(url, name))

    asyncio.run(build())
    return name


@pytest.fixture
async def database_url(stack: Mapping[Part, Endpoint], template: str) -> AsyncIterator[str]:
    """Clone a migrated database for one test."""
    owner = stack[Part.POSTGRES].url
    name = f"test_{uuid4().hex}"
    await _run_as_owner(owner, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield _named(owner, name)
    await _run_as_owner(owner, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open the test's database alone, for tests that need nothing else."""
    opened = Database(database_url, timeout=timedelta(seconds=10))
    yield opened
    await opened.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start one of our programs in the home of this test; what still runs at the end is stopped."""
    base = {"LOREKEEPER_HOME": str(tmp_path / "home"), "LOREKEEPER_PORT": "0"}
    with ExitStack() as running:

        def start_one(*arguments: str, **environment: str) -> Process:
            process = Process(*arguments, environment=clean_environment(**base | environment))
            running.callback(process.end)
            return process

        yield start_one


@pytest.fixture
def environment(stack: Mapping[Part, Endpoint], database_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the variables that configure a process for one test: own database, own queue, short times."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": stack[Part.REDIS].url,
        "AWS_ENDPOINT_URL": stack[Part.SQS].url,
        "AWS_ACCESS_KEY_ID": LOCAL_CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": LOCAL_CREDENTIAL,
        "SQS_QUEUE_NAME": f"test-{uuid4().hex}",
        "LOREKEEPER_HOME": str(tmp_path / "home"),
        "LOREKEEPER_SIMULATOR": "true",
        "LOREKEEPER_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "LOREKEEPER_LEASE_S": "3",
        "LOREKEEPER_HEARTBEAT_S": "1",
        "LOREKEEPER_RETRY_BASE_S": "0.1",
        "LOREKEEPER_SHUTDOWN_GRACE_S": "5",
    }


@pytest.fixture
def serve(start: Start, environment: dict[str, str]) -> Start:
    """Start an API process without a worker; keyword arguments are variables."""
    return lambda **variables: start("server.py", "--no-worker", **environment | variables)


@pytest.fixture
async def open_services(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opener]:
    """Open a process's resources in this one; keyword arguments override settings by variable."""
    async with AsyncExitStack() as exits:

        async def open_one(**overrides: str) -> Resources:
            with monkeypatch.context() as patch:
                for name, value in (environment | overrides).items():
                    patch.setenv(name, value)
                settings = load_settings()
            return await exits.enter_async_context(open_resources(settings, find_endpoints(settings), name="test"))

        yield open_one


@pytest.fixture
async def services(open_services: Opener) -> AsyncIterator[Resources]:
    """Return opened resources with the loops of an API process running."""
    resources = await open_services()
    async with running_loops(resources):
        yield resources


@pytest.fixture
async def unchecked(open_services: Opener) -> AsyncIterator[Resources]:
    """Return what `services` does, without the check that would make up for a stream's own mistakes."""
    resources = await open_services()
    async with running_loops(resources, checking=False):
        yield resources


@asynccontextmanager
async def running_loops(resources: Resources, *, checking: bool = True) -> AsyncIterator[Supervisor]:
    """Run the background loops of an API process, with or without the streams' check of the log."""
    async with Supervisor() as supervisor:
        supervisor.start("publisher", resources.publisher.run)
        supervisor.start("feed", resources.feed.run)
        if checking:
            supervisor.start("streams", resources.streams.run)
        await until(lambda: resources.feed.connected)
        yield supervisor
