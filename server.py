"""The server: the ASGI application `app`, and the command line.

`python server.py` with nothing configured is the whole system on one machine.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from starlette.applications import Starlette


def __getattr__(name: str) -> "Starlette":
    """Make `app` when uvicorn asks for it: importing this module reads no settings and opens nothing."""
    if name != "app":
        raise AttributeError(name)
    app: Starlette = import_module("schema.application").configured_app()
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen: Namespace = import_module("cli.arguments").parse(arguments)
    # Only what was asked for is loaded: a list of jobs is there before all of the server would be.
    run: Callable[[Namespace], int] = import_module(chosen.module).run
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main())
