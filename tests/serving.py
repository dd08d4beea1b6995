"""The application served on a free port of this process, and WebSockets to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from schema.application import build_app
from schema.websockets import WebSocketProtocol
from services.settings import Settings
from tests.conftest import until

PROTOCOL = [Subprotocol("graphql-transport-ws")]


@asynccontextmanager
async def serving(settings: Settings, **options: Any) -> AsyncIterator[tuple[str, Starlette]]:
    """Serve inside the block; yields host and port, and the application. Options are uvicorn's."""
    app = build_app(settings)
    ours: dict[str, Any] = {"ws": WebSocketProtocol, "ws_max_size": settings.max_body_bytes}
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, **ours | options))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield "127.0.0.1:" + str(server.servers[0].sockets[0].getsockname()[1]), app
    finally:
        server.should_exit = True
        await task


async def closed(connection: ClientConnection, *, within_s: float = 10) -> int:
    """Return the code with which the server closes."""
    async with asyncio.timeout(within_s):
        await connection.wait_closed()
    assert connection.close_code is not None
    return connection.close_code


async def begun(address: str, payload: Mapping[str, object] | None = None) -> ClientConnection:
    """Open a connection and wait until the server has accepted it."""
    connection = await connect(f"ws://{address}/graphql", subprotocols=PROTOCOL)
    await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
    assert json.loads(await connection.recv()) == {"type": "connection_ack"}
    return connection
