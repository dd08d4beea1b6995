"""Streams over HTTP: what server-sent events and multipart add to Strawberry's transports."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.streaming import JSONEncoder, SSETransport

from schema.clients import Clients, Sending, abort

LAST_EVENT_ID: Final = "last-event-id"
_LAST_WORDS: Final = timedelta(seconds=2)
"""How long the end of a response may wait for a client that does not read."""


class EventPayload(dict[str, Any]):
    """A response of a stream, with the cursor behind it."""

    cursor: str


class EventStream(SSETransport):
    """GraphQL over SSE, distinct connections mode.

    Each event's id is the cursor behind it, so that `Last-Event-ID` resumes: browsers send it by themselves.
    """

    def encode_next(self, response: GraphQLHTTPResponse, encode_json: JSONEncoder) -> str:
        """Return one event."""
        event = super().encode_next(response, encode_json)
        return f"id: {response.cursor}\r\n{event}" if isinstance(response, EventPayload) else event


class HttpStream:
    """One client of a stream over HTTP."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._sending = Sending()
        self._task = asyncio.current_task()
        self._leaving = False
        self._dropped = False
        self._started = False

    @property
    def blocked_since(self) -> float | None:
        """Since when what is sent has been waiting."""
        return self._sending.since

    def ping(self) -> None:
        """Leave it to the heartbeat of each transport."""

    def drop(self) -> None:
        """Cut the connection: there is no code to give."""
        self._dropped = True
        abort(self._receive)
        self._stop()

    def leave(self) -> None:
        """End the response without the event that says the stream is complete: the client resumes."""
        self._leaving = True
        self._stop()

    async def serve(self, response: Response, scope: Scope, clients: Clients) -> None:
        """Send the response to its end."""
        with clients.watched(self):
            try:
                await response(scope, self._receive, self._send_watched)
            except asyncio.CancelledError:
                if self._task is None or not (self._leaving or self._dropped) or self._task.uncancel() > 0:
                    raise
        if self._leaving and not self._dropped:
            await self._finish()

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS.total_seconds()):
                if self._started:
                    await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                else:
                    # No status would do: an EventSource takes any other than 200 as final.
                    abort(self._receive)
                    while (await self._receive())["type"] != "http.disconnect":
                        pass
        except TimeoutError:
            abort(self._receive)

    async def _send_watched(self, message: Message) -> None:
        with self._sending:
            await self._send(message)
        self._started = True

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
