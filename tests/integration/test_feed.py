"""The feed: whatever Redis sends, and however the network cuts it up, comes in order or is told as missing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Connection, Redis

from services import feed as feed_module
from services.access import ANONYMOUS
from services.errors import EventsUnavailable
from services.events import open_redis
from services.feed import Feed
from services.resources import Resources
from services.updates import JobUpdate, StreamItem, UpdateKind
from tests.conftest import Opener, until
from tests.factories import a_request

CHANNEL = "lorekeeper:test"


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[int | None] = []

    def push(self, item: StreamItem) -> None:
        self.heard.append(item.update.seq)

    def poke(self) -> None:
        self.heard.append(None)


class Trickle:
    """A network to Redis on which what Redis says arrives in pieces, or not at all."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._target = urlsplit(url)
        self.piece = 64 * 1024
        self.mute = False
        self.instead: bytes | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Redis]:
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(task := asyncio.ensure_future(self._serve(reader, writer)))
            task.add_done_callback(tasks.discard)

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            url = self._url.replace(f":{self._target.port}", f":{port}")
            async with open_redis(url, timeout=timedelta(seconds=5)) as redis:
                yield redis
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)

        async def ask() -> None:
            while chunk := await reader.read(1000):
                far_writer.write(chunk)

        asking = asyncio.create_task(ask())
        try:
            while chunk := await far_reader.read(64 * 1024):
                said = self.instead or chunk
                for start in range(0, 0 if self.mute else len(said), self.piece):
                    writer.write(said[start : start + self.piece])
                    await writer.drain()
                    if self.piece < len(said):
                        await asyncio.sleep(0)  # the reader has its turn with every piece
        finally:
            asking.cancel()
            far_writer.close()
            writer.close()


@pytest.fixture
async def trickle(unchecked: Resources) -> Trickle:
    return Trickle(unchecked.endpoints.redis_url)


async def an_update(resources: Resources, **changes: Any) -> JobUpdate:
    creation = await resources.jobs.create(a_request(), ANONYMOUS)
    await resources.dispatcher.drain()  # what it sends is not looked at here
    update = JobUpdate.of_state(UpdateKind.SNAPSHOT, creation.state.job, datetime.now(UTC))
    return update.model_copy(update=changes)


@contextlib.asynccontextmanager
async def running_feed(redis: Redis) -> AsyncIterator[tuple[Feed, "asyncio.Task[None]"]]:
    feed = Feed(redis)
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.connected or running.done())
    try:
        yield feed, running
    finally:
        running.cancel()
        await asyncio.wait((running,))


@contextlib.asynccontextmanager
async def hearing(redis: Redis) -> AsyncIterator[tuple[Ear, "asyncio.Task[None]"]]:
    """Listen to the channel by a feed of its own."""
    ear = Ear()
    async with running_feed(redis) as (feed, running), feed.listen(CHANNEL, ear):
        ear.heard.clear()  # a poke of the beginning
        yield ear, running


async def publish(redis: Redis, payloads: Sequence[str | bytes], channels: Sequence[str] = (CHANNEL,)) -> None:
    """Publish at once, so that Redis says it all in few pieces."""
    async with redis.pipeline(transaction=False) as pipeline:
        for channel in channels:
            for payload in payloads:
                pipeline.publish(channel, payload)
        await pipeline.execute()


@pytest.mark.parametrize("piece", [1, 7, 64 * 1024])
async def test_messages_come_in_order_however_they_are_cut_up(
    unchecked: Resources, trickle: Trickle, piece: int
) -> None:
    update = await an_update(unchecked)
    number = 300 if piece > 1000 else 3
    async with trickle.serving() as redis, hearing(redis) as (ear, _):
        trickle.piece = piece
        payloads: list[str | bytes] = [
            update.model_copy(update={"seq": seq}).model_dump_json() for seq in range(number)
        ]
        await publish(unchecked.redis, payloads)
        await until(lambda: len(ear.heard) == number)
    assert ear.heard == list(range(number))


@pytest.mark.parametrize("garbled", [b"", b"{", b"null", b'{"kind": "SNAPSHOT"}', b"\xff\xfe", b"[" * 5000])
async def test_a_message_that_cannot_be_read_is_told_as_missing(unchecked: Resources, garbled: bytes) -> None:
    """What came with it, before and after, is passed on."""
    update = await an_update(unchecked, seq=7)
    async with hearing(unchecked.redis) as (ear, running):
        whole = update.model_dump_json()
        wrong = whole.replace('"status":"QUEUED"', '"status":"LOST"')
        await publish(unchecked.redis, [whole, garbled, whole, wrong, whole])
        await until(lambda: len(ear.heard) == 5)
        assert not running.done()
    assert ear.heard == [7, None, 7, None, 7]


async def test_a_redis_that_falls_silent_is_noticed(trickle: Trickle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall may forget a connection without telling its ends."""
    monkeypatch.setattr(feed_module, "_SILENCE", timedelta(milliseconds=200))
    async with trickle.serving() as redis, hearing(redis) as (_, running):
        await asyncio.sleep(1)
        assert not running.done(), "it answered every ping"
        trickle.mute = True
        with pytest.raises(EventsUnavailable):
            await asyncio.wait_for(asyncio.shield(running), 2)


@pytest.mark.parametrize("nonsense", [b"-ERR no\r\n", b"nonsense\r\n", b":1\r\n", b"+OK\r\n"])
async def test_nonsense_from_redis_begins_a_new_connection(
    unchecked: Resources, trickle: Trickle, nonsense: bytes
) -> None:
    async with trickle.serving() as redis, hearing(redis) as (_, running):
        trickle.instead = nonsense
        await publish(unchecked.redis, ["anything"])
        with pytest.raises(EventsUnavailable):
            await asyncio.wait_for(asyncio.shield(running), 2)


async def test_a_redis_that_refuses_delivers_nothing_and_says_so(open_services: Opener) -> None:
    resources = await open_services(REDIS_URL="redis://127.0.0.1:1/0")
    with pytest.raises(EventsUnavailable):
        await resources.feed.run()
    assert not resources.feed.connected


async def test_whoever_is_cancelled_while_joining_takes_nobody_with_it(
    unchecked: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each channel is joined twice, and the first is gone before Redis was told of it."""
    update = await an_update(unchecked, seq=7)
    channels = [f"{CHANNEL}:{number}" for number in range(20)]
    send = Connection.send_command

    async def send_slowly(connection: Connection, *command: Any, **options: Any) -> None:
        await asyncio.sleep(0.01)
        await send(connection, *command, **options)

    monkeypatch.setattr(Connection, "send_command", send_slowly)
    async with running_feed(unchecked.redis) as (feed, _):
        ears = [Ear() for _ in channels]
        firsts = [asyncio.create_task(feed.join(channel, Ear())) for channel in channels]
        seconds = [asyncio.create_task(feed.join(*joined)) for joined in zip(channels, ears, strict=True)]
        await asyncio.sleep(0)
        for first in firsts:
            first.cancel()
        _, waiting = await asyncio.wait(firsts + seconds, timeout=1.5)
        assert not waiting, "an acknowledgement never came"
        await publish(unchecked.redis, [update.model_dump_json()], channels)
        await until(lambda: all(7 in ear.heard for ear in ears))


async def test_whoever_has_joined_hears_everything_however_others_come_and_go(unchecked: Resources) -> None:
    update = (await an_update(unchecked, seq=7)).model_dump_json()
    async with running_feed(unchecked.redis) as (feed, _):
        for number in range(100):
            for _ in range(number % 4):
                passer = Ear()
                joining = asyncio.create_task(feed.join(CHANNEL, passer))
                for _ in range(1 + number % 3):
                    await asyncio.sleep(0)
                joining.cancel()
                feed.leave(CHANNEL, passer)
            ear = Ear()
            async with feed.listen(CHANNEL, ear):
                await publish(unchecked.redis, [update])
                await until(lambda ear=ear: 7 in ear.heard)  # type: ignore[misc]
        assert feed.channels == 0
        await until_subscribed(unchecked.redis, 0)


async def until_subscribed(redis: Redis, number: int) -> None:
    """Wait until Redis counts so many subscribers of the channel."""
    async with asyncio.timeout(5):
        while (await redis.pubsub_numsub(CHANNEL)) != [(CHANNEL.encode(), number)]:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.01)
