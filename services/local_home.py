"""The files that the embedded services keep in their home folder.

    lock          held by the running stack; names its pid
    ports.json    the ports, kept from start to start
    secrets.json  the passwords, made at the first start
    stack.json    url and pid of what runs now; gone when nothing does
    log/          one log file a part
    postgres/  redis/  sqs/   the data of each part

All of it is readable by its owner alone.
"""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from services.errors import LorekeeperError

# Below the range that systems hand out for outgoing connections (from 32768 on Linux, 49152 on macOS): there
# a client that retries while its server restarts can connect to itself and so take the port for good.
_PORTS: Final = range(15_000, 30_000)
_LOG_BYTES: Final = 10 * 1024 * 1024


class Part(StrEnum):
    """A service that can be embedded."""

    POSTGRES = "postgres"
    REDIS = "redis"
    SQS = "sqs"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a part answers, and the process that does."""

    url: str
    pid: int


class LocalStackError(LorekeeperError):
    """The embedded services cannot do what was asked; the message says why in a line."""


class LocalStackBusy(LocalStackError):
    """Another process runs the stack of this home."""


class LocalStackNotRunning(LocalStackError):
    """No embedded service of this home is alive."""


class LocalStackFailed(LocalStackError):
    """A part does not start; the message ends with the last lines of its log."""


class LocalHome:
    """The home folder of one stack."""

    def __init__(self, path: Path) -> None:
        # Resolved, because processes are recognised by the paths on their command lines.
        self.path = path.resolve()
        self._secrets: dict[Part, str] = {}

    def folder(self, name: str) -> Path:
        """A folder in the home, made where it is missing."""
        folder = self.path / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Keep every other stack out of this home.

        The lock ends with this process, however that ends: children do not inherit its descriptor.

        Raises:
            LocalStackBusy: another process holds it.
            LocalStackError: this user cannot write there.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalStackError(f"{self.path} cannot be used: {error}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                raise LocalStackBusy(
                    f"the embedded services in {self.path} are already run by process {holder}"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def secret(self, part: Part) -> str:
        """The password of a part: the one made at the first call ever."""
        if part not in self._secrets:
            kept = self._read_json("secrets.json")
            if part not in kept:
                kept[part] = secrets.token_urlsafe(24)
                self._write_json("secrets.json", kept)
            self._secrets[part] = str(kept[part])
        return self._secrets[part]

    def port(self, part: Part) -> int:
        """The port of a part: the one it had before unless somebody else listens there."""
        kept = self._read_json("ports.json")
        port = kept.get(part)
        if not isinstance(port, int) or not _is_free(port):
            port = _free_port(kept)
            self._write_json("ports.json", kept | {part: port})
        return port

    def open_log(self, part: Part) -> int:
        """A descriptor that appends to the part's log. One that has grown past 10 MiB is put aside first."""
        log = self.folder("log") / f"{part}.log"
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.old"))
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def log_tail(self, part: Part, lines: int = 8) -> str:
        """The last lines of a part's log."""
        log = self.path / "log" / f"{part}.log"
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def publish(self, endpoints: Mapping[Part, Endpoint]) -> None:
        """Write `stack.json`; a reader sees the old file or the new one, never a part of it."""
        self._write_json("stack.json", {p: {"url": e.url, "pid": e.pid} for p, e in endpoints.items()})

    def withdraw(self) -> None:
        """Remove `stack.json`."""
        (self.path / "stack.json").unlink(missing_ok=True)

    def published(self) -> dict[Part, Endpoint]:
        """What `stack.json` says, alive or not; nothing where there is no such file."""
        known = self._read_json("stack.json")
        entries = {part: known[part] for part in Part if part in known}
        return {p: Endpoint(str(e["url"]), int(e["pid"])) for p, e in entries.items() if isinstance(e, dict)}

    def _read_json(self, name: str) -> dict[str, object]:
        try:
            content = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise LocalStackError(f"{self.path / name} cannot be read: {error}") from error
        return content if isinstance(content, dict) else {}

    def _write_json(self, name: str, content: Mapping[str, object]) -> None:
        new = self.path / f".{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
            # A power cut must not turn a password or a port into an empty file.
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path / name)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of a former life that are still in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(taken: Mapping[str, object]) -> int:
    for _ in range(200):
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        if port not in taken.values() and _is_free(port):
            return port
    raise LocalStackFailed(f"no free port between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1")
