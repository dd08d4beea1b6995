"""Where a reader stands in the log of a world.

An ever-growing id is not commit order: a transaction that got its numbers early may commit late, and a cursor that
had passed them by would never see it. So a position is a set: all that one snapshot of PostgreSQL sees
(`pg_current_snapshot`), and some entries more by their ids.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Snapshot:
    """PostgreSQL's `pg_snapshot`: which transactions had committed at one moment.

    Attributes:
        xmin: every transaction below had ended.
        xmax: no transaction from here on had ended.
        in_progress: those in between that had not, ascending.
    """

    xmin: int
    xmax: int
    in_progress: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read PostgreSQL's own form, `xmin:xmax:xid,xid,…`."""
        xmin, xmax, in_progress = text.split(":")
        return cls(int(xmin), int(xmax), tuple(int(xid) for xid in in_progress.split(",") if xid))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.in_progress))}"

    def covers(self, xid: int) -> bool:
        """Whether a transaction had ended."""
        if xid < self.xmin or xid >= self.xmax:
            return xid < self.xmin
        at = bisect_left(self.in_progress, xid)
        return at == len(self.in_progress) or self.in_progress[at] != xid

    def advanced(self, later: "Snapshot", *, below: int) -> "Snapshot":
        """Return what is covered by this snapshot, or by a later one among the transactions below an xid."""
        in_progress = [xid for xid in later.in_progress if xid < below]
        in_progress += [xid for xid in self.in_progress if xid >= below]
        xmax = max(below, self.xmax)
        return Snapshot(min(in_progress, default=xmax), xmax, tuple(in_progress))


class Position:
    """The entries of a world's log that a reader has been given."""

    __slots__ = ("_ends", "_starts", "snapshot")

    def __init__(self, snapshot: Snapshot, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.snapshot = snapshot
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self._starts.append(start)
            self._ends.append(end)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ids beyond the snapshot as ranges, each from its first to before its second; ascending, apart."""
        return list(zip(self._starts, self._ends, strict=True))

    @property
    def pieces(self) -> int:
        """How many ranges there are."""
        return len(self._starts)

    def covers(self, xid: int, entry_id: int) -> bool:
        """Whether the reader has been given an entry."""
        if self.snapshot.covers(xid):
            return True
        at = bisect_right(self._starts, entry_id)
        return at > 0 and entry_id < self._ends[at - 1]

    def add(self, entry_id: int) -> None:
        """Note that the reader is given an entry."""
        at = bisect_right(self._starts, entry_id)
        if at > 0 and entry_id < self._ends[at - 1]:
            return
        follows = at > 0 and self._ends[at - 1] == entry_id
        precedes = at < len(self._starts) and self._starts[at] == entry_id + 1
        if follows and precedes:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif follows:
            self._ends[at - 1] = entry_id + 1
        elif precedes:
            self._starts[at] = entry_id
        else:
            self._starts.insert(at, entry_id)
            self._ends.insert(at, entry_id + 1)

    def copy(self) -> "Position":
        """Return the same position, to go on from by itself."""
        return Position(self.snapshot, zip(self._starts, self._ends, strict=True))
