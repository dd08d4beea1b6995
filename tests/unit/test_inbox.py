"""The inbox of a reader: bounded, and honest about what it has lost."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inbox import Inbox
from services.lifecycle import JobStatus
from services.updates import JobUpdate, StreamItem, UpdateKind
from tests.factories import a_new_job

BOUND: Final = 256 * 1024
JOB: Final = a_new_job().job


class Nothing:
    """What a reader gets that would have to wait."""


NOTHING: Final = Nothing()


def transition(seq: int) -> JobUpdate:
    return _update(UpdateKind.TRANSITION, seq)


def progress(seq: int, fraction: float = 0.5) -> JobUpdate:
    return _update(UpdateKind.PROGRESS, seq, fraction)


def _update(kind: UpdateKind, seq: int, fraction: float | None = None) -> JobUpdate:
    return JobUpdate.model_construct(
        kind=kind,
        seq=seq,
        status=JobStatus.PROCESSING,
        attempt=1,
        progress=fraction,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        job=JOB,
    )


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


async def following(inbox: Inbox) -> JobUpdate | None:
    """Wait for what comes next; None tells to read the log."""
    item = await inbox.next()
    return None if item is None else item.update


async def read_now(inbox: Inbox) -> JobUpdate | Nothing | None:
    """Return what the reader gets without waiting."""
    reading = asyncio.ensure_future(following(inbox))
    for _ in range(3):
        await asyncio.sleep(0)
    if reading.done():
        return reading.result()
    reading.cancel()
    return NOTHING


async def read_all(inbox: Inbox) -> list[JobUpdate | None]:
    """Return what the reader gets until it would have to wait."""
    found: list[JobUpdate | None] = []
    while not isinstance(update := await read_now(inbox), Nothing):
        found.append(update)
    return found


async def test_updates_come_out_in_the_order_in_which_they_came(inbox: Inbox) -> None:
    pushed = [transition(1), progress(1), transition(2), progress(2), transition(3)]
    for update in pushed:
        inbox.push(StreamItem(update, 100))
    assert [await following(inbox) for _ in pushed] == pushed
    assert await read_now(inbox) is NOTHING


async def test_a_reader_waits_until_something_comes(inbox: Inbox) -> None:
    reading = asyncio.create_task(following(inbox))
    await asyncio.sleep(0.01)
    assert not reading.done()
    inbox.push(StreamItem(transition(1), 100))
    update = await reading
    assert update is not None
    assert update.seq == 1
    assert await read_now(inbox) is NOTHING


async def test_a_waiting_reader_is_woken_by_a_poke(inbox: Inbox) -> None:
    reading = asyncio.create_task(following(inbox))
    await asyncio.sleep(0)
    inbox.poke()
    assert await reading is None
    assert await read_now(inbox) is NOTHING


async def test_a_reader_that_gave_up_has_taken_nothing(inbox: Inbox) -> None:
    reading = asyncio.create_task(following(inbox))
    await asyncio.sleep(0)
    reading.cancel()
    inbox.push(StreamItem(transition(1), 100))
    await asyncio.gather(reading, return_exceptions=True)
    assert await following(inbox) == transition(1)


async def test_the_bound_is_256_kib_and_behind_it_the_reader_goes_to_the_log(inbox: Inbox) -> None:
    for seq in range(1, 5):
        inbox.push(StreamItem(transition(seq), BOUND // 4))
    assert await following(inbox) == transition(1)
    inbox.push(StreamItem(transition(5), BOUND // 4))  # what was read has made room
    inbox.push(StreamItem(transition(6), 1))
    assert await following(inbox) is None
    assert await read_now(inbox) is NOTHING


async def test_after_the_log_the_inbox_is_as_good_as_new(inbox: Inbox) -> None:
    inbox.push(StreamItem(transition(1), BOUND))
    inbox.push(StreamItem(transition(2), 1))
    assert await following(inbox) is None
    for seq in range(3, 7):
        inbox.push(StreamItem(transition(seq), BOUND // 4))
    assert [await following(inbox) for _ in range(4)] == [transition(seq) for seq in range(3, 7)]


async def test_one_update_beyond_the_bound_is_read_from_the_log(inbox: Inbox) -> None:
    inbox.push(StreamItem(transition(1), BOUND + 1))
    assert await following(inbox) is None


async def test_a_poke_stands_for_all_that_waits_and_for_all_until_the_reader_comes(inbox: Inbox) -> None:
    inbox.push(StreamItem(transition(1), 100))
    inbox.poke()
    inbox.push(StreamItem(transition(2), 100))
    inbox.poke()
    assert await following(inbox) is None
    assert await read_now(inbox) is NOTHING
    inbox.push(StreamItem(transition(3), 100))
    assert await following(inbox) == transition(3)


async def test_progress_is_conflated_to_its_latest(inbox: Inbox) -> None:
    inbox.push(StreamItem(transition(1), 100))
    for step in range(1, 11):
        inbox.push(StreamItem(progress(1, step / 10), 100))
    assert await read_all(inbox) == [transition(1), progress(1, 1.0)]


async def test_progress_alone_never_fills_the_bound(inbox: Inbox) -> None:
    for step in range(1000):
        inbox.push(StreamItem(progress(2, step / 1000), BOUND // 2))
    assert await read_all(inbox) == [progress(2, 0.999)]


async def test_progress_is_not_conflated_across_a_transition(inbox: Inbox) -> None:
    pushed = [progress(2), transition(3), progress(3)]
    for update in pushed:
        inbox.push(StreamItem(update, 100))
    assert await read_all(inbox) == pushed


async def test_a_transition_is_never_conflated(inbox: Inbox) -> None:
    for seq in range(1, 50):
        inbox.push(StreamItem(transition(seq), 100))
    assert await read_all(inbox) == [transition(seq) for seq in range(1, 50)]


SIZES = st.integers(1, BOUND // 2)
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["transition", "transition", "progress"]), SIZES)
    | st.tuples(st.sampled_from(["poke", "read"]), st.just(0)),
    max_size=60,
)


class Reader:
    """Reads an inbox as a stream does: what is lost is learned from the log, which knows all that was pushed."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.pushed = 0
        self.known = 0

    def push_transition(self, size: int) -> None:
        self.pushed += 1
        self.inbox.push(StreamItem(transition(self.pushed), size))

    async def read(self) -> bool:
        match await read_now(self.inbox):
            case Nothing():
                return False
            case None:
                self.known = self.pushed
            case JobUpdate(kind=UpdateKind.TRANSITION, seq=seq):
                assert seq == self.known + 1
                self.known = seq
            case JobUpdate(seq=seq):
                assert seq == self.known, "progress out of order"
        return True


@given(actions=ACTIONS)
async def test_no_transition_is_lost_without_being_told(actions: list[tuple[str, int]]) -> None:
    reader = Reader()
    for action, size in actions:
        match action:
            case "transition":
                reader.push_transition(size)
            case "progress":
                reader.inbox.push(StreamItem(progress(reader.pushed), size))
            case "poke":
                reader.inbox.poke()
            case _:
                await reader.read()
    while await reader.read():
        pass
    assert reader.known == reader.pushed
