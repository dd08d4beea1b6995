"""What a measurement says: figures against their budgets, as a table."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        what: what was measured.
        value: the value with its unit.
        against: what it is compared with, with its own value; empty where the budget is absolute.
        ratio: ours divided by that; or by the budget, where it is absolute.
        budget: what was promised.
        met: whether the promise is kept; None where nothing was promised.
    """

    what: str
    value: str
    budget: str = ""
    against: str = ""
    ratio: float | None = None
    met: bool | None = None


_HEADS: Final = ("what", "measured", "against", "ratio", "budget", "")


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table of Markdown."""
    rows = [_HEADS, *(_cells(figure) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def conditions(*versions: str) -> str:
    """Return where and when this was measured: no names of machines or folders."""
    commit = _ask("git", "rev-parse", "--short", "HEAD")
    changed = " with changes" if _ask("git", "status", "--porcelain", "--untracked-files=no") else ""
    parts = (
        f"{_processor()}, {os.cpu_count()} cores",
        f"load {os.getloadavg()[0]:.1f} at the end",
        f"Python {platform.python_version()}",
        *versions,
        f"commit {commit}{changed}",
        datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
    )
    return "; ".join(parts)


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    met = {True: "met", False: "MISSED", None: ""}[figure.met]
    return figure.what, figure.value, figure.against, ratio, figure.budget, met


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _ask(*command: str) -> str:
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
