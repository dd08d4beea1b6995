"""What every answer tells a browser: who may read it, embed it and keep it. A WebSocket passes untouched."""

from collections.abc import Awaitable, Collection
from functools import partial
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schema.streaming import LAST_EVENT_ID

_HSTS: Final = f"max-age={365 * 24 * 3600}"
_DEFAULTS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # For what is no page; the pages and the assets have their own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PREFLIGHT_KEPT_S: Final = 7200
"""The longest that Chromium keeps one."""


class SecurityHeaders:
    """Adds to each answer over HTTP the headers that it does not have itself.

    Args:
        app: what answers.
        https: whether the world outside reaches us by https although the scheme of a request may not say so.
    """

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._https = https

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer. No coroutine of its own: each of thousands of WebSockets would keep one."""
        if scope["type"] == "http":
            send = partial(self._send, send, https=self._https or scope.get("scheme") == "https")
        return self._app(scope, receive, send)

    @staticmethod
    async def _send(send: Send, message: Message, *, https: bool) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _DEFAULTS.items():
                headers.setdefault(name, value)
            if https:
                headers.setdefault("Strict-Transport-Security", _HSTS)
        await send(message)


def shared_with(origins: Collection[str]) -> list[Middleware]:
    """Return what lets the pages of some origins read the answers of a route.

    Without credentials: a token is sent by the page, and there are no cookies.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT"),
            allow_headers=("Authorization", "Content-Type", LAST_EVENT_ID),
            expose_headers=("Retry-After",),
            max_age=_PREFLIGHT_KEPT_S,
        )
    ]
