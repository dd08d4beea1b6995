"""Positions: a reader has been given exactly what its position covers, whatever commits late."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.cursors import world_cursor, world_position
from services.positions import Position, Snapshot

WORLD = "eldoria"
FIRST = 3
Entry = tuple[int, int]
"""Its transaction and its id."""


@dataclass
class Log:
    """Transactions that write a few entries each and commit in any order."""

    dice: random.Random
    entries: list[Entry] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    next_xid: int = FIRST

    def go_on(self) -> None:
        """Begin a transaction, let another one write, or commit one."""
        match self.dice.randrange(4):
            case 0:
                self.running.add(self.next_xid)
                self.next_xid += 1
            case 1 if self.running:
                self.running.discard(self.dice.choice(sorted(self.running)))
            case _ if self.running:
                self.entries.append((self.dice.choice(sorted(self.running)), len(self.entries) + 1))

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(min(self.running, default=self.next_xid), self.next_xid, tuple(sorted(self.running)))


@dataclass
class Reader:
    """Reads pages of what its position does not cover, as `read_world` does, and is cut now and then."""

    position: Position
    found: list[Entry] = field(default_factory=list)

    def read(self, log: Log, most: int) -> None:
        present = log.snapshot
        unread = sorted(
            entry for entry in log.entries if present.covers(entry[0]) and not self.position.covers(*entry)
        )
        edge = unread[most][0] if len(unread) > most else None
        behind = self.position.advanced(present if edge is None else self._reached(present, edge))
        chosen = [entry for entry in unread if edge is None or entry[0] < edge]
        # And some of those beyond, as what precedes a chosen one: they come along by their ids.
        chosen += log.dice.sample(unread[len(chosen) :], k=min(2, len(unread) - len(chosen)))
        for xid, entry_id in sorted(chosen, key=lambda entry: entry[1]):
            if log.dice.random() < 0.05:
                self.resume()
                return
            self.position.follow(xid, entry_id, behind.snapshot)
            self.found.append((xid, entry_id))
            self.check(log)
        for entry in chosen:
            if not behind.covers(*entry):
                behind.add(entry[1])
        self.position = behind
        self.check(log)

    def live(self, log: Log) -> None:
        """Be given one entry that has just committed."""
        missing = [
            entry for entry in log.entries if entry[0] not in log.running and not self.position.covers(*entry)
        ]
        if missing:
            self.found.append(log.dice.choice(missing))
            self.position.add(self.found[-1][1])
            self.check(log)

    def resume(self) -> None:
        self.position = world_position(world_cursor(WORLD, self.position), WORLD)

    def check(self, log: Log) -> None:
        assert {entry for entry in log.entries if self.position.covers(*entry)} == set(self.found)

    def _reached(self, present: Snapshot, edge: int) -> Snapshot:
        return self.position.snapshot.advanced(present, below=edge)


@settings(deadline=None)
@given(dice=st.randoms(use_true_random=False), most=st.integers(1, 8))
def test_a_position_covers_what_was_given_and_nothing_that_commits_later(dice: random.Random, most: int) -> None:
    """Falls where `follow` does not ask whether what was read before lies within what is read now."""
    log = Log(dice)
    reader = Reader(Position(log.snapshot))
    for _ in range(60):
        for _ in range(dice.randrange(8)):
            log.go_on()
        if dice.random() < 0.7:
            reader.read(log, most)
        else:
            reader.live(log)
    log.running.clear()
    while not set(log.entries) <= set(reader.found):
        reader.read(log, most)
    assert len(reader.found) == len(set(reader.found)), "repeated"


def test_in_the_midst_of_a_reading_a_cursor_is_as_short_as_behind_it() -> None:
    """Falls where what was given is noted by its ids, which lie apart: those of other worlds are between them."""
    position = Position(Snapshot(FIRST, FIRST))
    reached = Snapshot(FIRST + 500, FIRST + 500)
    lengths = []
    for number in range(200):
        position.follow(FIRST + number, 1 + 3 * number, reached)
        lengths.append(len(world_cursor(WORLD, position)))
    assert max(lengths) < 50


@given(numbers=st.lists(st.integers(1, 60), max_size=80))
def test_a_position_covers_what_was_added_and_nothing_else(numbers: list[int]) -> None:
    position = Position(Snapshot(5, 5))
    for number in numbers:
        position.add(number)
    assert {number for number in range(70) if position.covers(9, number)} == set(numbers)
    assert all(end < start for (_, end), (start, _) in pairwise(position.ranges))
