"""What HTTP and WebSocket add to Strawberry's view: our context, our explorer, the one WebSocket protocol."""

from datetime import timedelta
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Final

import orjson
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage

from schema.context import ANONYMOUS, Context
from services.resources import Resources
from services.settings import is_loopback

PAGE: Final = Path(__file__).resolve().parents[1] / "web" / "dist" / "graphql.html"
_STREAMS: Final = "Subscriptions are served over WebSocket, by the protocol graphql-transport-ws"
_INIT_WAIT: Final = timedelta(seconds=3)
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    # Styles may be inline because the editor injects its own.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Handler(BaseGraphQLTransportWSHandler[Context, None]):
    """The protocol, with messages that do not fit it refused as it says (close code 4400)."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation."""
        sent: Any = message  # its type is what Strawberry hopes for
        payload = sent["payload"]
        fits = (
            isinstance(sent["id"], str)
            and isinstance(payload, dict)
            and isinstance(payload.get("query"), str)
            and isinstance(payload.get("variables"), dict | None)
            and isinstance(payload.get("operationName"), str | None)
        )
        if fits:
            await super().handle_subscribe(message)
        else:
            await self.handle_invalid_message("Invalid subscribe message")


class LoopbackOnly:
    """Refuses whoever connects to an address of this machine that others can reach too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        server = scope.get("server")
        if scope["type"] == "lifespan" or server is None or server[1] is None or is_loopback(server[0]):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            reason = "Without authentication only loopback is served (LOREKEEPER_ALLOW_UNAUTHENTICATED)."
            await PlainTextResponse(reason, status_code=403)(scope, receive, send)


class GraphQLView(GraphQL[Context, None]):
    """GraphQL over HTTP and `graphql-transport-ws`; for a browser, the explorer.

    Args:
        schema: what to execute on.
        public_url: the address to put into links; None takes the one that each caller used.
        max_body_bytes: the largest request that is read.
    """

    graphql_transport_ws_handler_class = _Handler

    def __init__(self, schema: BaseSchema, *, public_url: str | None, max_body_bytes: int) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=_INIT_WAIT,
        )
        self._public_url = public_url
        self._max_body_bytes = max_body_bytes

    def decode_json(self, data: str | bytes) -> object:
        """Decode a request or a message: each is one JSON object.

        Raises:
            JSONDecodeError: it is not.
        """
        decoded = orjson.loads(data)
        if not isinstance(decoded, dict):
            raise JSONDecodeError("An object is expected", "", 0)
        return decoded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a request that is not GraphQL is refused in the form that GraphQL clients read."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        read = 0

        async def receive_bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_body_bytes:
                raise HTTPException(413, f"The request is larger than {self._max_body_bytes} bytes")
            return message

        try:
            response = await self.run(Request(scope, receive_bounded))
        except HTTPException as error:
            reason = _STREAMS if "subscriptions are not allowed" in error.reason else error.reason
            body = {"errors": [{"message": reason, "extensions": {"code": "BAD_USER_INPUT"}}]}
            response = JSONResponse(body, status_code=error.status_code)
        await response(scope, receive, send)

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002 - Strawberry's signature
    ) -> Context:
        """Make the context of a request or a connection."""
        resources: Resources = request.app.state.resources
        base_url = self._public_url or _base_url(request)
        return Context(resources, ANONYMOUS, base_url, lasting=isinstance(request, WebSocket))

    async def render_graphql_ide(self, request: Request) -> Response:  # noqa: ARG002 - Strawberry's signature
        """Answer a browser with the explorer."""
        if not PAGE.is_file():
            return PlainTextResponse("The explorer is not built: run `make setup`.", status_code=404)
        return FileResponse(PAGE, headers=_PAGE_HEADERS)


def _base_url(request: Request | WebSocket) -> str:
    url = request.base_url
    return str(url.replace(scheme={"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)))
