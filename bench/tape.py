"""Real transitions of real jobs, with what the publisher says of them to Redis recorded, to be played back.

So the cost of making updates is kept apart from that of delivering them: the transitions are made in one
transaction that is held open; it commits when the tape is played.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import hiredis

from bench.clients import Tally
from bench.system import System
from services.events import Publisher, open_redis
from services.job_store import advance, claim
from services.lifecycle import Event
from services.moves import Move, Moved
from services.updates import JobUpdate

_LEASE: Final = timedelta(hours=1)
_TIMEOUT: Final = timedelta(seconds=10)
_PIECE: Final = 65536
_LOOK_S: Final = 0.001
_PATIENCE_S: Final = 20


class _Recorder:
    """Stands where Redis stands, and writes down what is published."""

    def __init__(self) -> None:
        self.commands: list[tuple[bytes, ...]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    is_published = command[0].upper() == b"PUBLISH"
                    if is_published:
                        self.commands.append(tuple(command))
                    writer.write(b":1\r\n" if is_published else b"+OK\r\n")
        writer.close()

    def take(self) -> bytes:
        commands = b"".join(map(_command, self.commands))
        self.commands.clear()
        return commands


@dataclass(frozen=True, slots=True)
class Take:
    """Updates in the order in which they are published, and the tape of each."""

    updates: Sequence[JobUpdate]
    tape: Sequence[bytes]


async def make_transitions(connection: Any, jobs: Sequence[UUID], steps: int) -> list[JobUpdate]:  # noqa: ANN401
    """Claim and release jobs in turn, so many steps each; returns the updates step by step."""
    updates: list[JobUpdate] = []
    moved: dict[UUID, Moved] = {}
    for step in range(steps):
        if step % 2 == 0:
            moved = await claim(connection, jobs, _LEASE)
        else:
            moves = [Move(job, Event.RELEASE, held_token=moved[job].job.fencing_token) for job in jobs]
            moved = await advance(connection, moves)
        if len(moved) != len(jobs):
            raise RuntimeError("a transition was refused")
        updates += [JobUpdate.of_move(moved[job]) for job in jobs]
    return updates


@asynccontextmanager
async def recorded(system: System, jobs: Sequence[UUID], steps: int) -> AsyncIterator[Take]:
    """Make transitions that commit at the end of the block, and record how they are published."""
    async with system.resources.database.transaction() as connection:
        updates = await make_transitions(connection, jobs, steps)
        yield Take(updates, await record(updates))


async def record(updates: Sequence[JobUpdate]) -> list[bytes]:
    """Return what our publisher says to Redis for each update."""
    recorder = _Recorder()
    async with await asyncio.start_server(recorder.serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        redis = open_redis(f"redis://{host}:{port}/0", timeout=_TIMEOUT)
        publisher = Publisher(redis)
        running = asyncio.create_task(publisher.run())
        tape: list[bytes] = []
        for update in updates:
            publisher.publish([update])
            await publisher.drain()
            tape.append(recorder.take())
        running.cancel()
        await redis.aclose()
    if not all(tape):
        raise RuntimeError("an update was not published")
    return tape


def said(channel: str, message: bytes) -> bytes:
    """Return the command that publishes a message."""
    return _command((b"PUBLISH", channel.encode(), message))


async def play(redis_url: str, tape: Sequence[bytes], tally: Tally, *, fan_out: int, window: int) -> None:
    """Publish a tape as fast as it is delivered, and return when all has arrived.

    Args:
        redis_url: where to publish.
        tape: commands, one piece an update.
        tally: counts the frames that arrive.
        fan_out: subscribers that get each update.
        window: updates that may be under way at once. The server is kept busy, and neither its buffers nor those
            of the sockets decide the result.
    """
    before = tally.frames
    async with _connection(redis_url) as writer:
        at = 0
        while at < len(tape):
            end = min(len(tape), window + (tally.frames - before) // fan_out)
            if end > at:
                writer.write(b"".join(tape[at:end]))
                await writer.drain()
                at = end
            elif tally.frames - before < len(tape) * fan_out and tally.silence_s > _PATIENCE_S:
                break
            await asyncio.sleep(_LOOK_S)
        await tally.wait_for(before + len(tape) * fan_out)


@asynccontextmanager
async def _connection(redis_url: str) -> AsyncIterator[asyncio.StreamWriter]:
    """Connect to Redis; what it answers is read and dropped."""
    host, _, rest = redis_url.rpartition("@")[2].removeprefix("redis://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(rest.partition("/")[0]))
    secret = redis_url.removeprefix("redis://").rpartition("@")[0]
    if secret:
        user, _, password = secret.partition(":")
        writer.write(_command([word.encode() for word in ("AUTH", user, password) if word]))

    async def drop() -> None:
        while await reader.read(_PIECE):
            pass

    dropping = asyncio.create_task(drop())
    try:
        yield writer
    finally:
        dropping.cancel()
        writer.close()


def _command(words: Sequence[bytes]) -> bytes:
    """Return a command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
