"""`server.py migrate`."""

from argparse import Namespace

from services.program import run_program
from services.standalone import run_migrations


def run(_: Namespace) -> int:
    """Bring the database's tables to this version; returns the exit code."""
    return run_program("server.py", run_migrations)
