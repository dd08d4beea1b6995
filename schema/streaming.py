"""Streams over HTTP: what server-sent events and multipart add to Strawberry's transports."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.streaming import JSONEncoder, SSETransport

from schema.clients import Clients, Sending, abort, at

LAST_EVENT_ID: Final = "last-event-id"
_RETRY_MS: Final = 500


class EventPayload(dict[str, Any]):
    """A response of a stream, with the cursor behind it."""

    cursor: str


class EventStream(SSETransport):
    """GraphQL over SSE, distinct connections mode.

    Each event's id is the cursor behind it, so that `Last-Event-ID` resumes: browsers send it by themselves, as
    soon as they may; on their own account they would wait for some seconds.
    """

    send_initial_heartbeat = True

    def heartbeat_message(self, encode_json: JSONEncoder) -> str:
        """Return what shows that the stream is there, and after how many milliseconds to come again."""
        return f"retry: {_RETRY_MS}\n{super().heartbeat_message(encode_json)}"

    headers: ClassVar[Mapping[str, str]] = {
        **SSETransport.headers,
        "Cache-Control": "no-store, no-transform",
    }

    def encode_next(self, response: GraphQLHTTPResponse, encode_json: JSONEncoder) -> str:
        """Return one event."""
        event = super().encode_next(response, encode_json)
        return f"id: {response.cursor}\n{event}" if isinstance(response, EventPayload) else event

    def encode_event(self, event: str, data: str | None = None) -> str:
        """Return an event whose lines end as all clients know them: some, urql among them, look for no CR."""
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        """Return a comment, likewise."""
        return super().encode_comment(comment).replace("\r\n", "\n")


class HttpStream:
    """One client of a stream over HTTP."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._sending = Sending()
        self._task = asyncio.current_task()
        self._cut = False

    @property
    def blocked_since(self) -> float | None:
        """Since when what is sent has been waiting."""
        return self._sending.since

    def ping(self) -> None:
        """Leave it to the heartbeat of each transport."""

    def drop(self) -> None:
        """Cut the connection: there is no code to give."""
        self._cut = True
        if self._task is not None:
            self._task.cancel()

    def leave(self) -> None:
        """Cut the connection: a response that ends well counts as complete, and any status but 200 as final."""
        self.drop()

    async def serve(
        self, response: Response, scope: Scope, clients: Clients, *, until: datetime | None = None
    ) -> None:
        """Send the response to its end, or to an instant: clients then come again and resume."""
        expiry = at(until, self.drop)
        with clients.watched(self):
            try:
                await response(scope, self._receive, self._send_watched)
            except asyncio.CancelledError:
                if self._task is None or not self._cut or self._task.uncancel() > 0:
                    raise
            finally:
                if expiry is not None:
                    expiry.cancel()
        if self._cut and abort(self._receive):
            # The server takes it for a fault if we end before it knows that the connection is gone.
            while (await self._receive())["type"] != "http.disconnect":
                pass

    async def _send_watched(self, message: Message) -> None:
        with self._sending:
            await self._send(message)
