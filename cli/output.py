"""What commands print: for readers tables and colours, for programs JSON."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH: Final = 240
"""Of what no terminal shows: nothing is cut off for a program that reads tables."""
_COLOURS: Final = {
    "QUEUED": "white",
    "PROCESSING": "blue",
    "RETRYING": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "bright_black",
}

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=_WIDTH)


def print_json(items: Iterable[Mapping[str, Any]]) -> None:
    """Print objects, one a line, each at once."""
    for item in items:
        sys.stdout.write(json.dumps(item, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; ids are never cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name == "ID", overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def coloured(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, _COLOURS.get(status, ""))


def title_of(prompt: Any) -> str:  # noqa: ANN401 - decoded JSON
    """Return what a prompt says first of all; all of it where that is not known."""
    fields = prompt if isinstance(prompt, dict) else {}
    said = (fields.get(name) for name in ("title", "description", "text"))
    found = next((text for text in said if isinstance(text, str) and text.strip()), None)
    return " ".join((found or json.dumps(prompt, ensure_ascii=False)).split())
