"""The server: the ASGI application `app`, and the command line.

`python server.py` with nothing configured is the whole system on one machine.
"""

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
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
from schema.websockets import WebSocketProtocol
from services.database import Database
from services.errors import ConfigurationError
from services.health import OK, check_services
from services.local_program import kept_running
from services.local_stack import LocalStack
from services.logs import configure_logs
from services.migrating import migrate, require_current, wait_for_database
from services.program import Program, run_program, told_to_end
from services.resources import find_database_url, find_endpoints, open_resources, parts_to_embed
from services.settings import Settings, load_settings
from services.storage import ASSETS_PATH
from services.supervision import Supervisor

_YEAR_S: Final = 365 * 24 * 3600
_CLOSE_GRACE_S: Final = 5
_WORKER_LAST_WORDS_S: Final = 20
"""Beyond its own grace: what a worker may need to release runs and to say so, each step with a deadline."""

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
            async with asyncio.timeout(_CLOSE_GRACE_S):
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
    if settings.explorer:
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


def __getattr__(name: str) -> Starlette:
    """Make `app` when uvicorn asks for it: importing this module reads no settings and opens nothing."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = load_settings()
    except ConfigurationError as error:
        sys.stderr.write(f"server.py: {error}\n")
        raise SystemExit(2) from None
    configure_logs(settings)
    return build_app(settings)


class _Server(uvicorn.Server):
    """A server that says where it listens, and leaves the signals to `serve`, which has more to stop."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            sys.stderr.write(
                f"\n  lorekeeper is ready: http://{address}/  (Ctrl-C stops it)\n"
                f"  API and explorer:    http://{address}/graphql\n\n"
            )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, *, with_worker: bool) -> None:
    """Run the embedded services that are needed, migrations, one API and one worker, until a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with _listen(settings) as listener:
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(_start(settings, stack, with_worker=with_worker))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))
                return
            await starting
            logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # what it tells, we tell
            app = build_app(settings)
            server = _Server(
                uvicorn.Config(
                    app,
                    log_config=None,
                    access_log=False,
                    ws=WebSocketProtocol,
                    ws_per_message_deflate=False,
                    ws_max_size=settings.max_body_bytes,
                    timeout_graceful_shutdown=_CLOSE_GRACE_S,
                )
            )
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            app.state.clients.leave()
            server.should_exit = True
            await serving


async def _start(settings: Settings, stack: AsyncExitStack, *, with_worker: bool) -> None:
    """Start all that the API needs, and the worker."""
    parts = parts_to_embed(settings)
    if parts:
        log.info("services.starting", services=", ".join(sorted(parts)), home=str(settings.home))
        await stack.enter_async_context(LocalStack(settings.home, parts))
    url = find_database_url(settings)
    await await_database(settings, url)
    await migrate(url)
    if with_worker:
        grace = timedelta(seconds=settings.shutdown_grace_s + _WORKER_LAST_WORDS_S)
        await stack.enter_async_context(kept_running("-m", "worker", grace=grace))


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """Take the address before anything is started for it.

    Raises:
        ConfigurationError: somebody else has it.
    """
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"LOREKEEPER_PORT: cannot listen on {settings.host} port {settings.port}: {error.strerror}"
        ) from error
    with listener:
        yield listener


async def run_migrations(settings: Settings) -> None:
    """Bring the database to this version, as soon as it answers."""
    url = find_database_url(settings)
    await await_database(settings, url)
    await migrate(url)
    log.info("database.migrated")


async def await_database(settings: Settings, url: str) -> None:
    """Return as soon as PostgreSQL answers.

    Raises:
        DatabaseUnavailable: it does not in time.
    """
    database = Database(url, timeout=timedelta(seconds=settings.request_timeout_s))
    try:
        await wait_for_database(database, patience=timedelta(seconds=settings.startup_timeout_s))
    finally:
        await database.close()


async def run_services(settings: Settings) -> None:
    """Run only the embedded services, until a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with LocalStack(settings.home) as stack:
        for part, endpoint in stack.endpoints.items():
            log.info("service.ready", service=part, pid=endpoint.pid)
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="server.py", description="lorekeeper: the API and what it needs.")
    parser.add_argument("--no-worker", action="store_true", help="leave the worker out")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("services", help="run only the embedded services")
    commands.add_parser("migrate", help="bring the database's tables to this version")
    chosen = parser.parse_args(arguments)
    programs: dict[str | None, Program] = {
        None: partial(serve, with_worker=not chosen.no_worker),
        "services": run_services,
        "migrate": run_migrations,
    }
    return run_program("server.py", programs[chosen.command])


if __name__ == "__main__":
    sys.exit(main())
