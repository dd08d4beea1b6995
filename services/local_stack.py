"""The embedded services of a home folder: PostgreSQL, Valkey and an SQS/S3 server, as child processes.

They keep their data, ports and passwords in the home, and `stack.json` there tells other processes where they
answer (`read_stack`). One that dies is started again on the same port, with its data. They end with this
process, however it ends, and one home has one stack at a time.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from services.local_home import (
    Endpoint,
    LocalHome,
    LocalStackBusy,
    LocalStackError,
    LocalStackFailed,
    LocalStackNotRunning,
    Part,
)
from services.local_keeper import Keeper
from services.local_parts import LocalPart, RedisPart, SqsPart
from services.local_postgres import PostgresPart
from services.local_process import owns_pid

__all__ = [
    "ALL",
    "Endpoint",
    "LocalStack",
    "LocalStackBusy",
    "LocalStackError",
    "LocalStackFailed",
    "LocalStackNotRunning",
    "Part",
    "read_stack",
]

ALL: Final = frozenset(Part)


class LocalStack:
    """The embedded services of one home, while the context is entered.

    Args:
        home: folder that keeps everything; made where it is missing.
        parts: which services; others are left alone.
        durable: whether data outlives a crash of the machine. False is faster, and for tests; data
            outlives the services either way.

    Raises:
        LocalStackBusy: another process runs the stack of this home.
        LocalStackFailed: a part does not start.
    """

    def __init__(self, home: Path, parts: frozenset[Part] = ALL, *, durable: bool = True) -> None:
        self._home = LocalHome(home)
        chosen = _parts(self._home, durable=durable)
        self._keepers = {part: Keeper(chosen[part], self._home) for part in Part if part in parts}
        self._exits = AsyncExitStack()

    @property
    def endpoints(self) -> Mapping[Part, Endpoint]:
        """Where each part answers. Addresses stay; a part that was started again has a new pid."""
        return MappingProxyType({part: keeper.endpoint for part, keeper in self._keepers.items()})

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            exits.enter_context(self._home.hold_lock())
            self._home.withdraw()
            exits.push_async_callback(self._stop)
            await self._start()
            exits.callback(self._home.withdraw)
            self._publish()
            for keeper in self._keepers.values():
                keeper.keep(self._publish)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def _start(self) -> None:
        starts = [asyncio.create_task(keeper.start()) for keeper in self._keepers.values()]
        try:
            await asyncio.gather(*starts)
        finally:
            # The first failure, or a cancellation, ends the others too.
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def _stop(self) -> None:
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))

    def _publish(self) -> None:
        self._home.publish(self.endpoints)


def read_stack(home: Path) -> Mapping[Part, Endpoint]:
    """The embedded services of a home that are alive now, run by whatever process.

    Raises:
        LocalStackNotRunning: there is none.
    """
    folder = LocalHome(home)
    parts = _parts(folder, durable=True)
    alive = {
        part: endpoint for part, endpoint in folder.published().items() if owns_pid(parts[part].owns, endpoint.pid)
    }
    if not alive:
        raise LocalStackNotRunning(f"no embedded services run in {folder.path}: `python server.py` starts them")
    return MappingProxyType(alive)


def _parts(home: LocalHome, *, durable: bool) -> Mapping[Part, LocalPart]:
    parts: list[LocalPart] = [
        PostgresPart(home, durable=durable),
        RedisPart(home, durable=durable),
        SqsPart(home),
    ]
    return {part.part: part for part in parts}
