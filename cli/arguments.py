"""What can be said on the command line, and which module does it."""

import argparse
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from services.lifecycle import JobStatus

_TYPES: Final = ("image", "map", "audio", "video", "pdf")
_EXITS: Final = """\
exit codes: 0 done (for `watch`: all jobs succeeded), 1 refused or not succeeded, 2 a mistake on the command line
or in a setting, 3 the server cannot be reached, 130 interrupted
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was said; `module` does it. Ends the program with 2 where it makes no sense."""
    return _parser().parse_args(arguments)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="server.py",
        description="lorekeeper. Without a command: the whole system on this machine.",
        epilog=_EXITS,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module="cli.serve")
    parser.add_argument("--no-worker", action="store_true", help="leave the worker out")
    commands = parser.add_subparsers(metavar="COMMAND")
    _jobs(commands)
    _queue(commands)
    _token(commands)
    _leaf(commands, "migrate", "cli.migrate", "bring the database's tables to this version")
    _leaf(commands, "services", "cli.local_services", "run only the embedded services")
    return parser


def _leaf(commands: Any, name: str, module: str, told: str, **more: Any) -> ArgumentParser:  # noqa: ANN401 - private
    parser: ArgumentParser = commands.add_parser(name, help=told, description=told[0].upper() + told[1:], **more)
    parser.set_defaults(module=module)
    return parser


def _group(commands: Any, name: str, told: str) -> Any:  # noqa: ANN401 - argparse keeps the type to itself
    parser: ArgumentParser = commands.add_parser(name, help=told, description=told[0].upper() + told[1:])
    return parser.add_subparsers(metavar="COMMAND", required=True)


def _client() -> ArgumentParser:
    """Return what all commands share that ask a server."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--url", help="the server (default: LOREKEEPER_URL, else this machine's LOREKEEPER_PORT)")
    parser.add_argument("--token", help="a bearer token (default: LOREKEEPER_TOKEN)")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line, for programs")
    return parser


def _jobs(commands: Any) -> None:  # noqa: ANN401 - as above
    jobs = _group(commands, "jobs", "ask for assets, and see what becomes of them")
    parents = [_client()]

    create = _leaf(jobs, "create", "cli.create", "ask for an asset", parents=parents)
    create.add_argument("type", choices=_TYPES, help="what to make")
    create.add_argument("description", nargs="?", help="what it shows; stands for --prompt '{\"description\": …}'")
    create.add_argument(
        "--prompt", metavar="JSON", help="the whole promptSpec; @FILE reads it from a file, - from stdin"
    )
    create.add_argument("--world", default="eldoria", help="the world's id (default: %(default)s)")
    create.add_argument("--provider", default="local", help="who makes it (default: %(default)s)")
    create.add_argument("--model", help="by which of the provider's models")
    create.add_argument("--priority", type=int, choices=range(10), metavar="0-9", help="9 is the most urgent")
    create.add_argument("--max-attempts", type=int, metavar="N", help="how often it may be tried")
    create.add_argument("--run-at", type=_instant, metavar="INSTANT", help="not before, in ISO 8601")
    create.add_argument("--key", metavar="KEY", help="idempotency key: the same one returns the first job")
    create.add_argument("--watch", action="store_true", help="follow it to its end")

    listing = _leaf(jobs, "list", "cli.listing", "list jobs, the newest first", parents=parents)
    listing.add_argument("--world", help="of one world")
    listing.add_argument("--status", action="append", type=str.upper, choices=[*JobStatus], help="may be repeated")
    listing.add_argument("--type", action="append", choices=_TYPES, help="may be repeated")
    listing.add_argument("--provider", help="of one provider")
    listing.add_argument("--first", type=int, default=20, metavar="N", help="how many (default: %(default)s)")

    watch = _leaf(
        jobs,
        "watch",
        "cli.watch",
        "follow jobs to their end, or a world, through lost connections",
        parents=parents,
    )
    watch.add_argument("ids", nargs="*", metavar="ID", help="jobs")
    watch.add_argument("--world", help="all jobs of a world from now on, until Ctrl-C")

    for name, told in (("cancel", "cancel jobs"), ("retry", "queue jobs again that failed or were cancelled")):
        change = _leaf(jobs, name, "cli.change", told, parents=parents)
        change.set_defaults(change=name)
        change.add_argument("ids", nargs="+", metavar="ID")


def _queue(commands: Any) -> None:  # noqa: ANN401 - as above
    queue = _group(commands, "queue", "look after the queues (scope queue:admin)")
    for name, told in (
        ("stats", "tell how much the queues hold"),
        ("redrive", "move dead letters back to their queue"),
        ("purge", "throw away all messages of a queue; the jobs stay, and are sent again"),
    ):
        parser = _leaf(queue, name, "cli.queue", told, parents=[_client()])
        parser.set_defaults(act=name)
        if name != "stats":
            parser.add_argument("queue", help="its name, as `queue stats` tells it")
        if name == "redrive":
            parser.add_argument(
                "--max", type=int, default=100, metavar="N", help="how many (default: %(default)s)"
            )
        if name == "purge":
            parser.add_argument("--yes", action="store_true", help="do not ask")


def _token(commands: Any) -> None:  # noqa: ANN401 - as above
    token = _leaf(
        commands, "token", "cli.token", "print a token for development, signed with LOREKEEPER_JWT_SECRET"
    )
    token.add_argument("--subject", default="developer", help="who it is for (default: %(default)s)")
    token.add_argument(
        "--world", action="append", metavar="ID", help="where; may be repeated (default: every world)"
    )
    token.add_argument(
        "--scope", default="jobs:read jobs:write queue:admin", help='what it allows (default: "%(default)s")'
    )
    token.add_argument("--hours", type=float, default=12, help="how long it holds (default: %(default)s)")


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError("an instant needs its offset from UTC, such as 2027-01-31T18:00:00Z")
    return instant
