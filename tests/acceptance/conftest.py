"""Processes for one test, with a home of its own."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import Process


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start one of our programs; what still runs at the end is killed."""
    started: list[Process] = []
    base = {"LOREKEEPER_HOME": str(tmp_path / "home"), "LOREKEEPER_PORT": "0"}

    def start_one(*arguments: str, **environment: str) -> Process:
        process = Process(*arguments, environment=base | environment)
        started.append(process)
        return process

    yield start_one
    for process in reversed(started):
        if process.popen.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.stop(within_s=20)
        if process.popen.poll() is None:
            process.kill_all()
