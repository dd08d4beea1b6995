"""Following jobs: a bar for each on a terminal, else a line or a JSON object for each update."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.api import Api, Item
from cli.output import coloured, console, print_json, title_of

_UPDATE: Final = """
kind jobId worldId seq cursor status previousStatus attempt progress progressMessage errorCode errorMessage at
job { assetType provider promptSpec asset { downloadUrl } }
"""
_WATCH_JOB: Final = (
    f"subscription Watch($id: ID!, $after: String) {{ jobUpdates(jobId: $id, after: $after) {{ {_UPDATE} }} }}"
)
_WATCH_WORLD: Final = (
    "subscription Watch($world: ID!, $after: String) "
    f"{{ worldUpdates(worldId: $world, after: $after) {{ {_UPDATE} }} }}"
)
_NOW: Final = "query Now($world: ID!) { jobs(filter: {worldId: $world}, first: 1) { updatesCursor } }"
_FINAL: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_TITLE: Final = 40


class Display(Protocol):
    """Shows updates."""

    def show(self, update: Item) -> None:
        """Show one more."""

    def lost(self, times: int) -> None:
        """Tell that a connection was lost, the so manieth time in a row."""


async def watch_jobs(api: Api, ids: Sequence[str], *, as_json: bool) -> int:
    """Follow jobs to their end; returns 0 where all succeeded, else 1.

    Raises:
        CommandFailed: the server refuses.
    """
    ends: dict[str, str] = {}

    async def follow(job_id: str) -> None:
        async for update in api.follow(_WATCH_JOB, id=job_id):
            display.show(update)
            ends[job_id] = update["status"]

    with _display(as_json=as_json) as display:
        api.on_loss = display.lost
        tasks = [asyncio.create_task(follow(job_id)) for job_id in dict.fromkeys(ids)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
    return 0 if all(ends.get(job_id) == "SUCCEEDED" for job_id in ids) else 1


async def watch_world(api: Api, world: str, *, as_json: bool) -> int:
    """Follow a world until the program is interrupted.

    Raises:
        CommandFailed: the server refuses.
    """
    # With a cursor from the beginning, so that a connection that is lost before the first update loses nothing.
    now = await api.ask(_NOW, world=world)
    with _display(as_json=as_json) as display:
        api.on_loss = display.lost
        async for update in api.follow(_WATCH_WORLD, world=world, after=now["jobs"]["updatesCursor"]):
            display.show(update)
    return 0


@contextmanager
def _display(*, as_json: bool) -> Iterator[Display]:
    if as_json:
        yield _Objects()
    elif not console.is_terminal:
        yield _Lines()
    else:
        columns = (
            TextColumn("{task.fields[status]}", justify="right"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[message]}"),
        )
        with Progress(*columns, console=console) as progress:
            yield _Bars(progress)


class _Objects:
    """JSON, an object a line."""

    def show(self, update: Item) -> None:
        print_json([update])

    def lost(self, times: int) -> None:
        """Programs get updates and nothing else."""


class _Lines:
    """Text, a line an update."""

    def show(self, update: Item) -> None:
        progress = "" if update["progress"] is None else f"{update['progress']:.0%}"
        said = [
            update["jobId"],
            update["kind"],
            f"seq {update['seq']}",
            update["status"],
            progress,
            _message(update),
        ]
        console.print(" ".join(part for part in said if part), soft_wrap=True, markup=False)

    def lost(self, times: int) -> None:
        console.print(f"connection lost, attempt {times} ...")


class _Bars:
    """A bar for each job; of a world, as long as the job lives."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, update: Item) -> None:
        job_id, status = update["jobId"], update["status"]
        bar = self._bars.get(job_id)
        if bar is None:
            title = title_of(update["job"]["promptSpec"])
            title = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
            bar = self._progress.add_task(escape(title), total=1, status="", message="")
            self._bars[job_id] = bar
        self._progress.update(
            bar,
            completed=update["progress"] or (1 if status == "SUCCEEDED" else 0),
            status=coloured(status).markup,
            message=escape(_message(update)),
        )
        if status in _FINAL:
            self._progress.stop_task(bar)
            self._progress.remove_task(self._bars.pop(job_id))
            self._progress.console.print(coloured(status), Text(title_of(update["job"]["promptSpec"])), job_id)
            if message := _message(update):
                self._progress.console.print(Text(f"  {message}"), soft_wrap=True)

    def lost(self, times: int) -> None:
        self._progress.console.print(f"[yellow]connection lost, attempt {times} ...")


def _message(update: Item) -> str:
    """Return what there is to say: where the asset lies, what went wrong, or what is being done."""
    if update["job"]["asset"]:
        return str(update["job"]["asset"]["downloadUrl"])
    if update["errorCode"]:
        return f"{update['errorCode']}: {update['errorMessage']}"
    return update["progressMessage"] or ""
