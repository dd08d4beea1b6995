"""`server.py jobs cancel` and `server.py jobs retry`."""

import sys
from argparse import Namespace
from typing import Final

from cli.api import Api, CommandFailed, Unreachable, run_command
from cli.output import coloured, console, print_json

_CHANGES: Final = {
    "cancel": "mutation Cancel($id: ID!) { job: cancelJob(id: $id) { id status seq cursor } }",
    "retry": "mutation Retry($id: ID!) { job: retryJob(id: $id) { id status seq cursor } }",
}


def run(chosen: Namespace) -> int:
    """Change jobs, each by itself; returns the exit code."""

    async def change(api: Api) -> int:
        worst = 0
        for job_id in chosen.ids:
            try:
                job = (await api.ask(_CHANGES[chosen.change], id=job_id))["job"]
            except Unreachable:
                raise
            except CommandFailed as error:
                sys.stderr.write(f"server.py: {job_id}: {error}\n")
                worst = error.exit_code
                continue
            if chosen.json:
                print_json([job])
            else:
                console.print(job["id"], coloured(job["status"]))
        return worst

    return run_command(chosen, change)
