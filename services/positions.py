"""Where a reader stands in the log of a world.

An ever-growing id is not commit order: a transaction that got its numbers early may commit late, and a cursor that
had passed them by would never see it. So a position is a set: all that one snapshot of PostgreSQL sees
(`pg_current_snapshot`), of a later one the entries up to some id, and some entries more by their ids.
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

    def is_within(self, other: "Snapshot") -> bool:
        """Whether all that is covered by this snapshot is covered by another."""
        return self.xmax <= other.xmax and not any(self.covers(xid) for xid in other.in_progress)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The entries that a snapshot sees, up to an id: given to a reader that is in the midst of reading.

    It is as short behind the last entry of a long reading as behind the first, whatever lies between them.
    """

    snapshot: Snapshot
    upto: int

    def covers(self, xid: int, entry_id: int) -> bool:
        """Whether an entry is one of them."""
        return entry_id <= self.upto and self.snapshot.covers(xid)


class Position:
    """The entries of a world's log that a reader has been given.

    Args:
        snapshot: that sees most of them.
        ranges: of the ids of others, each from its first to before its second; ascending, apart.
        stretch: others again.
    """

    __slots__ = ("_ends", "_starts", "snapshot", "stretch")

    def __init__(
        self, snapshot: Snapshot, ranges: Iterable[tuple[int, int]] = (), stretch: Stretch | None = None
    ) -> None:
        self.snapshot = snapshot
        self.stretch = stretch
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
        if self.snapshot.covers(xid) or (self.stretch is not None and self.stretch.covers(xid, entry_id)):
            return True
        at = bisect_right(self._starts, entry_id)
        return at > 0 and entry_id < self._ends[at - 1]

    def follow(self, xid: int, entry_id: int, reached: Snapshot) -> None:
        """Note that the reader is given the next entry, by the order of ids, of a reading up to a snapshot.

        The reading must hold all that the snapshot sees and the reader has not been given.
        """
        before = self.stretch
        goes_on = before is None or (entry_id > before.upto and before.snapshot.is_within(reached))
        if goes_on and reached.covers(xid):
            self.stretch = Stretch(reached, entry_id)
        else:
            self.add(entry_id)

    def advanced(self, reached: Snapshot) -> "Position":
        """Return the position behind all that a snapshot sees, whatever the reader had been given beyond it."""
        stretch = self.stretch
        if stretch is not None and stretch.snapshot.is_within(reached):
            stretch = None
        return Position(reached, self.ranges, stretch)

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
        return Position(self.snapshot, zip(self._starts, self._ends, strict=True), self.stretch)
