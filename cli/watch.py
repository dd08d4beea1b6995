"""`server.py jobs watch`."""

from argparse import Namespace

from cli.api import Api, Misused, run_command
from cli.watching import watch_jobs, watch_world


def run(chosen: Namespace) -> int:
    """Follow jobs or a world; returns the exit code."""

    async def watch(api: Api) -> int:
        if bool(chosen.ids) == bool(chosen.world):
            raise Misused("say which: the ids of jobs, or a --world")
        if chosen.world:
            return await watch_world(api, chosen.world, as_json=chosen.json)
        return await watch_jobs(api, chosen.ids, as_json=chosen.json)

    return run_command(chosen, watch)
