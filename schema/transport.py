"""What HTTP and WebSocket add to Strawberry's view: our context, our explorer, the one WebSocket protocol."""

from datetime import timedelta
from pathlib import Path
from typing import Final

from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from schema.context import ANONYMOUS, Context
from services.resources import Resources

PAGE: Final = Path(__file__).resolve().parents[1] / "web" / "dist" / "graphql.html"
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


class GraphQLView(GraphQL[Context, None]):
    """GraphQL over HTTP and `graphql-transport-ws`; for a browser, the explorer.

    Args:
        schema: what to execute on.
        public_url: the address to put into links; None takes the one that each caller used.
    """

    def __init__(self, schema: BaseSchema, *, public_url: str | None) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=_INIT_WAIT,
        )
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a request that is not GraphQL is refused in the form that GraphQL clients read."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(Request(scope, receive))
        except HTTPException as error:
            body = {"errors": [{"message": error.reason, "extensions": {"code": "BAD_USER_INPUT"}}]}
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
