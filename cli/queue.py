"""`server.py queue`."""

import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from cli.api import Api, run_command
from cli.output import console, print_json, print_table

_STATS: Final = "{ queues { name messagesAvailable messagesInFlight messagesDelayed deadLetters } }"
_REDRIVE: Final = "mutation($queue: String!, $max: Int) { redriveDeadLetters(queue: $queue, max: $max) }"
_PURGE: Final = "mutation($queue: String!) { purgeQueue(queue: $queue) }"


def run(chosen: Namespace) -> int:
    """Look after the queues; returns the exit code."""
    # Before anything runs: Ctrl-C and the end of the input end a question.
    if chosen.act == "purge" and not chosen.yes and not _is_sure(chosen.queue):
        return 1
    return run_command(chosen, lambda api: _ACTS[chosen.act](api, chosen))


async def _tell_stats(api: Api, chosen: Namespace) -> int:
    queues = (await api.ask(_STATS))["queues"]
    if chosen.json:
        print_json(queues)
        return 0
    print_table(
        ["QUEUE", "AVAILABLE", "IN FLIGHT", "DELAYED", "DEAD LETTERS"],
        [[str(value) for value in queue.values()] for queue in queues],
    )
    return 0


async def _redrive(api: Api, chosen: Namespace) -> int:
    moved = (await api.ask(_REDRIVE, queue=chosen.queue, max=chosen.max))["redriveDeadLetters"]
    if chosen.json:
        print_json([{"queue": chosen.queue, "redriven": moved}])
    else:
        console.print(f"{moved} dead letters moved back to {chosen.queue}")
    return 0


async def _purge(api: Api, chosen: Namespace) -> int:
    await api.ask(_PURGE, queue=chosen.queue)
    if chosen.json:
        print_json([{"queue": chosen.queue, "purged": True}])
    else:
        console.print(f"{chosen.queue} is empty")
    return 0


def _is_sure(queue: str) -> bool:
    if not sys.stdin.isatty():
        sys.stderr.write("server.py: purging throws messages away: say --yes\n")
        return False
    try:
        return console.input(f"Throw away all messages of {queue}? [y/N] ").strip().lower() == "y"
    except (EOFError, KeyboardInterrupt):
        return False


_ACTS: Final[Mapping[str, Callable[[Api, Namespace], Coroutine[Any, Any, int]]]] = {
    "stats": _tell_stats,
    "redrive": _redrive,
    "purge": _purge,
}
