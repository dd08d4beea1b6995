"""How a program of ours begins and ends: settings, logs, an event loop, one line and an exit code."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from services.errors import ConfigurationError, LorekeeperError
from services.logs import configure_logs
from services.settings import Settings, load_settings

Program = Callable[[Settings], Coroutine[Any, Any, None]]


def run_program(name: str, program: Program) -> int:
    """Run a program to its end; returns its exit code.

    0 is a good end, 2 a setting that cannot work, 1 whatever else was foreseen. Only what was not foreseen leaves
    as an exception, with its traceback.
    """
    try:
        settings = load_settings()
        configure_logs(settings)
        uvloop.run(program(settings))
    except LorekeeperError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0
