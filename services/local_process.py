"""A child process that ends with its parent.

However the parent ends: on its request, by a signal that gives it no time, or together with the whole
session. Where the system can (Linux with util-linux), the kernel signals the child at the parent's death.
Elsewhere, and as a second line, the next start finds what was left behind by its command line and stops it.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from services.local_home import LocalStackFailed

if TYPE_CHECKING:
    import psutil

# What a child may know of the parent's environment: no credentials, and nothing that configures its own kind.
_PASSED_ON: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
)
_CAP_DAC_OVERRIDE: Final = 1
_CAP_SETPCAP: Final = 8
_POLL: Final = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that a child of root runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, where, as whom, and the signal that asks it to stop."""

    argv: tuple[str, ...]
    folder: Path
    stop_signal: signal.Signals = signal.SIGTERM
    owner: Owner | None = None
    environment: tuple[tuple[str, str], ...] = ()
    orphan_signal: signal.Signals | None = None
    """What the kernel sends it at the parent's death; None: the same."""


class Child:
    """One running process, with its output in a log file.

    Must be made in the thread that lives as long as the process should: the kernel's notice is bound to it.

    Args:
        command: what to run.
        log: descriptor that gets stdout and stderr; the caller closes it.
        stdin: what the process reads; nothing by default.

    Raises:
        LocalStackFailed: the program or its folder is out of reach of the command's owner.
    """

    def __init__(self, command: Command, log: int, stdin: IO[bytes] | None = None) -> None:
        self._command = command
        self._ended = asyncio.Event()
        _require_reach(command)
        owner = command.owner if _setpriv() is None else None  # setpriv changes the user itself
        try:
            self._process = subprocess.Popen(  # noqa: S603 - programs of our own wheels
                _bound_to_parent(command),
                cwd=command.folder,
                env={n: os.environ[n] for n in _PASSED_ON if n in os.environ} | dict(command.environment),
                stdin=stdin or subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent, which decides
                user=None if owner is None else owner.uid,
                group=None if owner is None else owner.gid,
                extra_groups=None if owner is None else [],
            )
        except OSError as error:
            raise LocalStackFailed(f"cannot run {command.argv[0]}: {error}") from error
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._reap, args=(loop,), name=f"wait-{self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id, of the program itself: what wraps it is replaced by it."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._ended.is_set()

    async def wait(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        await self._ended.wait()
        return self._process.returncode

    async def stop(self, grace: timedelta) -> None:
        """Ask the process to stop, and kill it when the grace is over or the caller is cancelled."""
        try:
            self._process.send_signal(self._command.stop_signal)
            async with asyncio.timeout(grace.total_seconds()):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()
        except asyncio.CancelledError:
            self._process.kill()
            raise

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        # A thread works the same on every loop and system, and leaves the loop's own executor alone.
        self._process.wait()
        with suppress(RuntimeError):  # the loop was closed before its child ended
            loop.call_soon_threadsafe(self._ended.set)


def pid_exists(pid: int) -> bool:
    """Whether any process has that id, a dead one that nobody has waited for included."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def owns_pid(owns: Callable[[Sequence[str]], bool], pid: int) -> bool:
    """Whether a process is alive and its command line is one of those."""
    import psutil  # noqa: PLC0415 - comes with the extra "local" only

    try:
        return owns(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


async def stop_leftovers(
    owns: Callable[[Sequence[str]], bool], stop_signal: signal.Signals, grace: timedelta
) -> int:
    """Stop every process whose command line is one of those, wherever it came from; how many there were.

    Nothing is stopped by its pid alone: pids are used again.
    """
    import psutil  # noqa: PLC0415 - comes with the extra "local" only

    left = [process for process in psutil.process_iter(["cmdline"]) if owns(process.info["cmdline"] or ())]
    found = len(left)
    loop = asyncio.get_running_loop()
    for signum in (stop_signal, signal.SIGKILL):
        for process in left:
            with suppress(psutil.Error):  # gone, or another user's
                process.send_signal(signum)
        deadline = loop.time() + grace.total_seconds()
        while left and loop.time() < deadline:
            await asyncio.sleep(_POLL.total_seconds())
            left = [process for process in left if _is_alive(process)]
    return found


def _is_alive(process: "psutil.Process") -> bool:
    import psutil  # noqa: PLC0415 - comes with the extra "local" only

    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _bound_to_parent(command: Command) -> list[str]:
    setpriv = _setpriv()
    if setpriv is None:
        return [*command.argv]
    flags = [f"--pdeathsig={(command.orphan_signal or command.stop_signal).name}"]
    if command.owner is not None:
        flags += [f"--reuid={command.owner.uid}", f"--regid={command.owner.gid}", "--clear-groups"]
        if _may_pass_on_reach():
            # The home or the programs may lie below a folder of root's that nobody else may enter.
            # no_setuid_fixup lets access(2), by which PostgreSQL looks for its programs, count the capability
            # too.
            flags += [
                "--inh-caps=+dac_override",
                "--ambient-caps=+dac_override",
                "--securebits=+no_setuid_fixup",
            ]
    # The kernel's notice holds from the call on; a parent that died just before it is seen by the shell.
    guard = ("/bin/sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid()))
    return [setpriv, *flags, "--", *guard, *command.argv]


def _setpriv() -> str | None:
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    # Busybox has one of that name that cannot send a signal at the parent's death.
    return None if found is None or Path(found).resolve().name == "busybox" else found


def _may_pass_on_reach() -> bool:
    if _setpriv() is None:
        return False
    held = next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapPrm:")
    )
    return all(held >> capability & 1 for capability in (_CAP_DAC_OVERRIDE, _CAP_SETPCAP))


def _require_reach(command: Command) -> None:
    if command.owner is None or _may_pass_on_reach():
        return
    for path in (Path(command.argv[0]), command.folder):
        for ancestor in path.resolve().parents:
            found = ancestor.stat()
            if not (found.st_mode & 0o001 or (found.st_uid == command.owner.uid and found.st_mode & 0o100)):
                raise LocalStackFailed(
                    f"{path} has to run as user {command.owner.uid}, who may not enter {ancestor}:"
                    " start as an ordinary user, or choose another folder"
                )
