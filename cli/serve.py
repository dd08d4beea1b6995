"""`server.py` without a command: the whole system on one machine."""

from argparse import Namespace
from functools import partial

from schema.serving import serve
from services.program import run_program


def run(chosen: Namespace) -> int:
    """Serve until a signal; returns the exit code."""
    return run_program("server.py", partial(serve, with_worker=not chosen.no_worker))
