"""The bound: a bare ASGI application that sends each message of a Redis channel to every WebSocket, as it is."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

CHANNEL = "bench:frames"

_sockets: set[WebSocket] = set()


async def _serve(websocket: WebSocket) -> None:
    """Speak just enough of the protocol for the client to believe that it is subscribed."""
    await websocket.accept(subprotocol="graphql-transport-ws")
    await websocket.receive_text()
    await websocket.send_text('{"type":"connection_ack"}')
    await websocket.receive_text()
    _sockets.add(websocket)
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        _sockets.discard(websocket)


async def _broadcast(redis: Redis) -> None:
    async with redis.pubsub() as subscription:
        await subscription.subscribe(CHANNEL)
        async for message in subscription.listen():
            if message["type"] == "message":
                frame = message["data"].decode()
                for websocket in tuple(_sockets):
                    await websocket.send_text(frame)


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    async with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        task = asyncio.create_task(_broadcast(redis))
        yield
        task.cancel()


app = Starlette(routes=[WebSocketRoute("/graphql", _serve)], lifespan=_lifespan)
