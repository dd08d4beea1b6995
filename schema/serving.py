"""The whole system on one machine: the embedded services that are needed, migrations, one API and one worker."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from typing import Final

import structlog
import uvicorn

from schema.application import CLOSE_GRACE_S, build_app
from schema.websockets import WebSocketProtocol
from services.errors import ConfigurationError
from services.local_program import kept_running
from services.local_stack import LocalStack
from services.migrating import migrate
from services.resources import find_database_url, parts_to_embed
from services.settings import Settings
from services.standalone import await_database

_WORKER_LAST_WORDS_S: Final = 20
"""Beyond its own grace: what a worker may need to release runs and to say so, each step with a deadline."""

log = structlog.get_logger("server")


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
                    timeout_graceful_shutdown=CLOSE_GRACE_S,
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
