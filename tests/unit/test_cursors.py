"""Cursors: what we gave out is understood, whatever else is refused in one way."""

from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cursors import (
    job_cursor,
    job_position,
    page_cursor,
    page_position,
    world_cursor,
    world_position,
)
from services.errors import InvalidInput
from services.positions import Position, Snapshot, Stretch

SEQS = st.integers(0, 2**31 - 1)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n"
JOB = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def changed(cursor: str, at: int, to: str) -> str:
    at %= len(cursor)
    return cursor[:at] + to + cursor[at + 1 :]


CHANGES: list[Callable[[str], str]] = [
    lambda cursor: cursor[:-1],
    lambda cursor: cursor[1:],
    lambda cursor: cursor + "A",
    lambda cursor: cursor + "=",
    lambda cursor: cursor + "\n",
    lambda cursor: " " + cursor,
    lambda cursor: cursor + cursor,
    lambda cursor: changed(cursor, 0, "B"),  # another version
    lambda _: "",
    lambda _: "☃",
    lambda _: "\ud800",
    lambda _: "1",
    lambda _: "null",
]


@given(job_id=st.uuids(), seq=SEQS)
def test_a_job_cursor_tells_its_position(job_id: UUID, seq: int) -> None:
    assert job_position(job_cursor(job_id, seq), job_id) == seq


@given(row_id=st.uuids())
def test_a_page_cursor_tells_its_row(row_id: UUID) -> None:
    assert page_position(page_cursor(row_id), "after") == row_id


@given(job_id=st.uuids(), seq=SEQS)
def test_cursors_need_no_escaping_in_urls_and_headers(job_id: UUID, seq: int) -> None:
    for cursor in (job_cursor(job_id, seq), page_cursor(job_id)):
        assert cursor.isascii()
        assert cursor.replace("-", "").replace("_", "").isalnum()


@given(job_id=st.uuids(), other=st.uuids(), seq=SEQS)
def test_the_cursor_of_another_job_is_refused(job_id: UUID, other: UUID, seq: int) -> None:
    if job_id != other:
        with pytest.raises(InvalidInput) as caught:
            job_position(job_cursor(other, seq), job_id)
        assert caught.value.path == ("after",)


@given(row_id=st.uuids(), seq=SEQS)
def test_the_cursor_of_another_kind_is_refused(row_id: UUID, seq: int) -> None:
    with pytest.raises(InvalidInput):
        job_position(page_cursor(row_id), row_id)
    with pytest.raises(InvalidInput) as caught:
        page_position(job_cursor(row_id, seq), "before")
    assert caught.value.path == ("before",)


@pytest.mark.parametrize("change", CHANGES)
def test_a_garbled_cursor_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(InvalidInput):
        job_position(change(job_cursor(JOB, 7)), JOB)
    with pytest.raises(InvalidInput):
        page_position(change(page_cursor(JOB)), "after")


@given(text=ANY_TEXT)
def test_no_text_raises_anything_but_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        job_position(text, JOB)
    with suppress(InvalidInput):
        assert page_cursor(page_position(text, "after")) == text


@given(at=st.integers(0, 40), to=st.sampled_from(ALPHABET), seq=SEQS)
def test_a_changed_cursor_is_refused_or_stands_elsewhere_for_itself(at: int, to: str, seq: int) -> None:
    # Nothing is signed: what a client may read it may page through. But no position has two spellings.
    cursor = changed(job_cursor(JOB, seq), at, to)
    with suppress(InvalidInput):
        assert job_cursor(JOB, job_position(cursor, JOB)) == cursor
    cursor = changed(page_cursor(JOB), at, to)
    with suppress(InvalidInput):
        assert page_cursor(page_position(cursor, "after")) == cursor


def test_a_position_that_no_job_can_reach_is_refused() -> None:
    # PostgreSQL would refuse the number with an error that looks like ours.
    last = job_cursor(JOB, 2**31 - 1)
    beyond = {changed(last, at, to) for at in range(len(last)) for to in ALPHABET} - {last}
    positions = set()
    for cursor in beyond:
        with suppress(InvalidInput):
            positions.add(job_position(cursor, JOB))
    assert positions
    assert all(0 <= seq < 2**31 for seq in positions)


def test_a_cursor_that_would_keep_the_server_busy_is_refused() -> None:
    many = Position(Snapshot(5, 5), [(3 * number + 1, 3 * number + 2) for number in range(20_000)])
    with pytest.raises(InvalidInput):
        world_position(world_cursor("eldoria", many), "eldoria")


XIDS = st.integers(3, 2**31 - 1)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    xmin = draw(XIDS)
    in_progress = draw(st.lists(st.integers(1, 50), max_size=5))
    return Snapshot(xmin, xmin + 60, tuple(sorted({xmin + gap for gap in in_progress})))


@given(
    snapshot=snapshots(),
    gaps=st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 300)), max_size=20),
    stretch=st.none() | st.builds(Stretch, snapshots(), st.integers(1, 2**40)),
)
def test_a_world_cursor_tells_its_position(
    snapshot: Snapshot, gaps: list[tuple[int, int]], stretch: Stretch | None
) -> None:
    ranges: list[tuple[int, int]] = []
    end = 0
    for gap, length in gaps:
        ranges.append((end + gap + (1 if ranges else 0), end + gap + (1 if ranges else 0) + length))
        end = ranges[-1][1]
    cursor = world_cursor("eldoria", Position(snapshot, ranges, stretch))
    found = world_position(cursor, "eldoria")
    assert (found.snapshot, found.ranges, found.stretch) == (snapshot, ranges, stretch)
    for garbled in (cursor[:-1], cursor + "A", cursor[1:], "A" + cursor):
        with pytest.raises(InvalidInput):
            world_position(garbled, "eldoria")
    with pytest.raises(InvalidInput):
        world_position(cursor, "narnia")


def test_a_cursor_of_before_readings_had_a_midst_is_understood() -> None:
    position = world_position("AXcImF2z_Y9vF_QFAgEBAgE", "world-1")
    assert (position.snapshot, position.ranges) == (Snapshot(756, 758, (757,)), [(2, 3)])


@given(text=ANY_TEXT)
def test_no_text_is_taken_for_a_world_cursor(text: str) -> None:
    with pytest.raises(InvalidInput):
        world_position(text, "eldoria")
