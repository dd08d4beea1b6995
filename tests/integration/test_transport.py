"""HTTP and WebSocket: what is no GraphQL is refused by the rules of each."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from server import build_app
from services.settings import load_settings
from tests.conftest import until

PROTOCOL = [Subprotocol("graphql-transport-ws")]


@pytest.fixture
async def address(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Serve the application on a free port of this process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    server = uvicorn.Server(
        uvicorn.Config(build_app(settings), port=0, log_config=None, ws_max_size=settings.max_body_bytes)
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield "127.0.0.1:" + str(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


async def closed(connection: ClientConnection) -> int:
    """Return the code with which the server closes."""
    async with asyncio.timeout(10):
        await connection.wait_closed()
    assert connection.close_code is not None
    return connection.close_code


async def begun(address: str) -> ClientConnection:
    connection = await connect(f"ws://{address}/graphql", subprotocols=PROTOCOL)
    await connection.send('{"type": "connection_init"}')
    assert json.loads(await connection.recv()) == {"type": "connection_ack"}
    return connection


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "5",
        "null",
        '"x"',
        "[" * 100_000,
        "{}",
        '{"type": "nonsense"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{__typename}"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{__typename}", "variables": []}}',
        b"binary",
    ],
)
async def test_a_message_that_does_not_fit_the_protocol_closes_with_4400(address: str, frame: str | bytes) -> None:
    connection = await begun(address)
    await connection.send(frame)
    assert await closed(connection) == 4400


async def test_who_does_not_begin_is_closed_after_three_seconds(address: str) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=PROTOCOL) as connection:
        assert await closed(connection) == 4408


async def test_an_operation_before_the_beginning_is_unauthorized(address: str) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=PROTOCOL) as connection:
        await connection.send('{"type": "subscribe", "id": "1", "payload": {"query": "{__typename}"}}')
        assert await closed(connection) == 4401


async def test_the_legacy_protocol_and_none_are_refused(address: str) -> None:
    for protocols in ([Subprotocol("graphql-ws")], None):
        async with connect(f"ws://{address}/graphql", subprotocols=protocols) as connection:
            assert await closed(connection) == 4406


async def test_a_page_of_another_origin_may_not_connect(address: str) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        await connect(f"ws://{address}/graphql", subprotocols=PROTOCOL, origin="http://evil.example")  # type: ignore[arg-type]


async def test_an_unknown_job_is_told_as_an_error_of_its_operation(address: str) -> None:
    connection = await begun(address)
    query = 'subscription { jobUpdates(jobId: "01890a5d-ac96-774b-bcce-b302099a8057") { seq } }'
    await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))
    message = json.loads(await connection.recv())
    assert message["id"] == "1"
    assert message["payload"]["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert json.loads(await connection.recv()) == {"type": "complete", "id": "1"}
    await connection.close()
