"""What `graphql-transport-ws` adds to Strawberry's handler: strictness, pings, bounds, and an end for the idle."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import timedelta
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.types import Receive, Send
from starlette.websockets import WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, SubscribeMessage

from schema.clients import Sending, abort, at
from schema.context import Context
from services.errors import KeysUnavailable, TooManyConnections

if TYPE_CHECKING:
    from schema.transport import GraphQLView

INIT_WAIT: Final = timedelta(seconds=3)
RECEIVE: Final = "lorekeeper.receive"
SEND: Final = "lorekeeper.send"
"""Where the scope of a connection has what the view was called with."""
ADMISSION: Final = "lorekeeper.admission"
"""Where it has for whom the connection counts."""
_LAST_WORDS: Final = timedelta(seconds=5)
"""How long a client that did not read may take to read why it is closed."""
_NOT_READING: Final = 4408
"""The protocol's code for a client that let the server wait; those that get it reconnect."""

_FORBIDDEN: Final = 4403
_TRY_AGAIN_LATER: Final = 1013
_TOO_LARGE: Final = 1009
"""What servers close with by themselves (RFC 6455, section 7.4.1)."""


class MessageTooLarge(Exception):
    """The client sends more in one message than is read."""


class Socket(ASGIWebSocketAdapter):
    """Sends and receives messages, and knows since when one has been waiting to be sent."""

    def __init__(self, view: Any, request: Any, response: Any) -> None:  # noqa: ANN401 - Strawberry's signature
        super().__init__(view, request, response)
        self.sending = Sending()
        # The server's own: what frameworks wrap around it is passed through for every frame.
        self._send = cast("Send", self.ws.scope[SEND])
        self._receive = cast("Receive", self.ws.scope[RECEIVE])

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """Yield what the client sends; holds on to none of it while it waits for the next.

        Raises:
            NonTextMessageReceived: a message in bytes.
            NonJsonMessageReceived: one that cannot be decoded.
        """
        while self.ws.application_state is not WebSocketState.DISCONNECTED:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                break
            text = message.get("text")
            if text is None:
                raise NonTextMessageReceived
            try:
                decoded = self.view.decode_json(text)
            except JSONDecodeError as error:
                if ignore_parsing_errors:
                    continue
                raise NonJsonMessageReceived from error
            yield decoded
            del message, text, decoded

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message.

        Raises:
            WebSocketDisconnected: the client is gone.
        """
        text = self.view.encode_json(message)
        try:
            with self.sending:
                await self._send({"type": "websocket.send", "text": text})
        except (OSError, RuntimeError) as error:
            # ASGI says the one; uvicorn says the other where it has closed the connection itself.
            raise WebSocketDisconnected from error

    def abort(self) -> None:
        """Cut the connection at once."""
        abort(self._receive)


class Handler(BaseGraphQLTransportWSHandler[Context, None]):
    """One connection: a client of ours, and the protocol's server."""

    view: "GraphQLView"
    websocket: Socket
    _dropping: asyncio.Task[None] | None = None
    _expiry: asyncio.TimerHandle | None = None

    @property
    def blocked_since(self) -> float | None:
        """Since when what is sent has been waiting."""
        return self.websocket.sending.since

    def ping(self) -> None:
        """Send a ping, as soon as the client has begun."""
        if self.connection_acknowledged:
            pinging = asyncio.create_task(self._ping())
            self.view.background.add(pinging)
            pinging.add_done_callback(self.view.background.discard)

    def drop(self) -> None:
        """Close with code 4408, or cut where even that is not read."""
        self._end(_NOT_READING, "The client does not read")

    def expire(self) -> None:
        """Close with code 4403: clients come again with a new token."""
        self._end(_FORBIDDEN, "The token has expired")

    def leave(self) -> None:
        """Leave it to the server, which closes each WebSocket with 1012 when it ends."""

    async def handle(self) -> None:
        """Serve the connection to its end."""
        # The context has what it needs of the handshake; thousands of connections would keep it.
        self.websocket.ws.scope["headers"].clear()
        with self.view.clients.watched(self):
            try:
                await super().handle()
            except MessageTooLarge:
                with suppress(WebSocketDisconnected):
                    await self.websocket.close(_TOO_LARGE, "The message is too large")
            finally:
                for ending in (self._dropping, self._expiry):
                    if ending is not None:
                        ending.cancel()

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Begin. A payload of null is none."""
        if cast("dict[str, object]", message).get("payload") is None:
            message = {"type": "connection_init"}
        try:
            await super().handle_connection_init(message)
        except (KeysUnavailable, TooManyConnections) as error:
            await self.websocket.close(_TRY_AGAIN_LATER, str(error))
        if self.connection_acknowledged:
            self.connection_init_timeout_task = None  # with the traceback of its cancellation
            if self._expiry is None:
                self._expiry = at(self.context.caller.expires_at, self.expire)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation; what does not fit the protocol closes with 4400, as it says."""
        sent: Any = message  # its type is what Strawberry hopes for
        payload = sent["payload"]
        fits = (
            isinstance(sent["id"], str)
            and isinstance(payload, dict)
            and isinstance(payload.get("query"), str)
            and isinstance(payload.get("variables"), dict | None)
            and isinstance(payload.get("operationName"), str | None)
        )
        if not fits:
            await self.handle_invalid_message("Invalid subscribe message")
        elif self._is_full() and sent["id"] not in self.operations:
            problem = {
                "message": f"More than {self.view.max_operations} operations on one connection",
                "extensions": {"code": "RATE_LIMITED"},
            }
            await self.websocket.send_json({"id": sent["id"], "type": "error", "payload": [problem]})
        else:
            await super().handle_subscribe(message)

    def _is_full(self) -> bool:
        return self.connection_acknowledged and len(self.operations) >= self.view.max_operations

    async def _ping(self) -> None:
        with suppress(WebSocketDisconnected):
            await self.send_message({"type": "ping"})

    def _end(self, code: int, reason: str) -> None:
        if self._dropping is None:
            self._dropping = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        for operation_id in tuple(self.operations):
            await self.cleanup_operation(operation_id)
        try:
            async with asyncio.timeout(_LAST_WORDS.total_seconds()):
                await self.websocket.close(code, reason)
        except TimeoutError:
            self.websocket.abort()
