"""The network that breaks does break, and not more than it is told to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import until
from tests.relay import Relay


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """Serve what sends back all that it gets; returns its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1000):
                writer.write(chunk)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what still arrives, until the end or a reset."""
    found = b""
    try:
        while chunk := await reader.read(1000):
            found += chunk
    except ConnectionResetError:
        pass
    return found


async def test_a_connection_is_cut_in_the_middle_of_what_it_forwards(echo: int) -> None:
    async with Relay(echo) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"whole")
        assert await reader.readexactly(5) == b"whole"
        relay.cut_after(6 + 2)
        writer.write(b"broken")
        assert await rest(reader) == b"br"
        assert (relay.cuts, relay.open) == (1, 0)
        writer.close()


async def test_a_lifetime_is_of_one_connection_and_a_cut_of_all(echo: int) -> None:
    lifetimes = iter((3, None, None))
    async with Relay(echo, lifetime=lambda: next(lifetimes)) as relay:
        connections = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(3)]
        await until(lambda: relay.open == 3)
        connections[0][1].write(b"four")
        assert await rest(connections[0][0]) == b""
        assert (relay.cuts, relay.open) == (1, 2)
        relay.cut()
        for reader, writer in connections:
            assert await rest(reader) == b""
            writer.close()
        assert (relay.cuts, relay.open) == (3, 0)


async def test_an_end_passes_through(echo: int) -> None:
    async with Relay(echo) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"last words")
        writer.write_eof()
        assert await rest(reader) == b"last words"
        await until(lambda: relay.open == 0)
        assert relay.cuts == 0
        writer.close()


async def test_who_is_spared_is_cut_no_more(echo: int) -> None:
    async with Relay(echo, lifetime=lambda: 3) as relay:
        before = await asyncio.open_connection("127.0.0.1", relay.port)
        await until(lambda: relay.open == 1)
        relay.spare()
        for reader, writer in (before, await asyncio.open_connection("127.0.0.1", relay.port)):
            writer.write(b"spared")
            assert await reader.readexactly(6) == b"spared"
            writer.close()
        assert relay.cuts == 0
