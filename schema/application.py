"""The ASGI application: what answers at which address, and what runs beside it as long as it does."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from schema import build_schema
from schema.content import answer_link
from schema.headers import SecurityHeaders, shared_with
from schema.loopback import LoopbackOnly
from schema.pages import STATIC_FOLDER, answer_board
from schema.transport import GraphQLView
from services.errors import ConfigurationError
from services.health import OK, check_services
from services.logs import configure_logs
from services.migrating import require_current, wait_for_database
from services.program import told_to_end
from services.resources import find_endpoints, open_resources
from services.settings import Settings, load_settings
from services.storage import ASSETS_PATH
from services.supervision import Supervisor

CLOSE_GRACE_S: Final = 5
"""How long a server waits for what is under way when it ends."""
_YEAR_S: Final = 365 * 24 * 3600

log = structlog.get_logger("server")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the resources, keep the background loops running, drain what is under way at the end."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(
            open_resources(settings, find_endpoints(settings), name="lorekeeper-api")
        )
        await wait_for_database(resources.database, patience=timedelta(seconds=settings.startup_timeout_s))
        await require_current(resources.database)
        supervisor = await stack.enter_async_context(Supervisor())
        supervisor.start("publisher", resources.publisher.run)
        supervisor.start("feed", resources.feed.run)
        supervisor.start("streams", resources.streams.run)
        supervisor.start("queue_watch", resources.queue_watch.run)
        supervisor.start("dispatcher", resources.dispatcher.run)
        supervisor.start("clients", app.state.clients.run)
        app.state.resources = resources
        app.state.supervisor = supervisor
        with _rare_collections(), told_to_end(app.state.clients.leave, server=uvicorn.Server):
            yield
        try:
            async with asyncio.timeout(CLOSE_GRACE_S):
                await resources.dispatcher.drain()
                await resources.publisher.drain()
        except TimeoutError:
            log.warning("server.undelivered")


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Keep the garbage collector from walking every connection whenever some objects were made.

    What is here stays; and what thousands of idle subscriptions consist of would be walked over and over: that
    takes half of the time while updates are delivered, and pauses of a quarter of a second. Whoever runs the
    application inside of a larger program has its collector back, and what it has frozen itself stays so.
    """
    thresholds = gc.get_threshold()
    ours = not gc.get_freeze_count()
    if ours:
        gc.collect()
        gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if ours:
            gc.unfreeze()


async def healthz(_: Request) -> Response:
    """Tell that this process is alive."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Tell whether the services answer, and how the background loops are doing."""
    services = await check_services(request.app.state.resources)
    loops = {name: asdict(state) for name, state in request.app.state.supervisor.states.items()}
    ready = all(answer == OK for answer in services.values())
    body = {"status": "ready" if ready else "not ready", "services": services, "loops": loops}
    return JSONResponse(body, status_code=200 if ready else 503)


async def metrics(_: Request) -> Response:
    """Answer Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _HashedFiles(StaticFiles):
    """Files whose names change with their content."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:  # noqa: ANN401 - Starlette's signature
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable"
        return response


class _Application(Starlette):
    """Answers the WebSockets of one address before it comes to routes and the layers around them.

    Those are for requests: each of thousands of idle connections would keep them all on its stack. Every other
    answer, those to its own faults too, has the headers that browsers heed.
    """

    sockets: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == scope.get("root_path", "") + "/graphql":
            scope["app"] = self
            await self.sockets(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        settings: Settings = self.state.settings
        https = settings.public_url is not None and settings.public_url.scheme == "https"
        return SecurityHeaders(super().build_middleware_stack(), https=https)


def build_app(settings: Settings) -> Starlette:
    """Assemble the application."""
    view = GraphQLView(build_schema(settings), settings)
    shared = shared_with(settings.allowed_origins)
    routes: list[BaseRoute] = [
        Route("/graphql", view, middleware=shared),
        Mount("/static", GZipMiddleware(_HashedFiles(directory=STATIC_FOLDER, check_dir=False))),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]
    if settings.board:
        routes.append(Route("/", answer_board))
    if settings.s3_bucket is None:
        methods = ["GET", "PUT", "OPTIONS"]
        routes.append(Route(ASSETS_PATH + "/{key:path}", answer_link, methods=methods, middleware=shared))
    is_open = settings.uses_jwt or settings.allow_unauthenticated
    middleware = [] if is_open else [Middleware(LoopbackOnly)]
    app = _Application(lifespan=lifespan, routes=routes, middleware=middleware)
    app.sockets = view if is_open else LoopbackOnly(view)
    app.state.settings = settings
    app.state.clients = view.clients
    return app


def configured_app() -> Starlette:
    """Assemble the application from the settings; ends the program where they cannot work."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        sys.stderr.write(f"server.py: {error}\n")
        raise SystemExit(2) from None
    configure_logs(settings)
    return build_app(settings)
