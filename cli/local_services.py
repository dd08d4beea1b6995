"""`server.py services`."""

from argparse import Namespace

from services.program import run_program
from services.standalone import run_services


def run(_: Namespace) -> int:
    """Run only the embedded services, until a signal; returns the exit code."""
    return run_program("server.py", run_services)
