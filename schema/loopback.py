"""Who is served where nobody says who they are: programs of this machine alone."""

from collections.abc import Awaitable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.settings import is_loopback


class LoopbackOnly:
    """Refuses whoever connects to an address of this machine that others can reach too, or by another name.

    The name matters because a page from anywhere may have its own name lead here (DNS rebinding): a browser then
    takes us for that page's server, and lets it ask what it likes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or _is_local(scope):
            return self._app(scope, receive, send)  # nothing of ours stays on its stack
        return self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            reason = "Without authentication only loopback is served (LOREKEEPER_ALLOW_UNAUTHENTICATED)."
            await PlainTextResponse(reason, status_code=403)(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    server = scope.get("server")
    if server is None or server[1] is None:
        return True  # a Unix socket
    return is_loopback(server[0]) and is_loopback(_host(Headers(scope=scope).get("host", "localhost")))


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
