"""The cores of the machine: which one the measured server has to itself, and whether others are at work."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psutil

_CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = frozenset(_CORES[:1])
"""Where the measured server runs, and nothing else of ours."""
OTHER_CORES: Final = frozenset(_CORES[1:] or _CORES)
_QUIET_PERCENT: Final = 12
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 120


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread, and whatever it starts, on some cores inside the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_core_s() -> float:
    """Return how long the server's core has worked, for whomever, in seconds of CPU time."""
    return float(sum(_busy_s(core) for core in SERVER_CORE))


async def wait_until_quiet() -> None:
    """Wait for others on this machine to finish, but not for ever."""
    ends_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends_at:
        before = [_busy_s(core) for core in _CORES]
        await asyncio.sleep(_LOOK_S)
        busy = sum(_busy_s(core) - was for core, was in zip(_CORES, before, strict=True))
        if 100 * busy / _LOOK_S / len(_CORES) < _QUIET_PERCENT:
            return


def _busy_s(core: int) -> float:
    times = psutil.cpu_times(percpu=True)[core]
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)
