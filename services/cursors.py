"""Cursors: opaque, versioned, small. One that is garbled or of another kind is refused, not guessed at."""

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Final
from uuid import UUID

from services.errors import InvalidInput
from services.positions import Position, Snapshot, Stretch

_VERSION: Final = 1
_MIDST: Final = 2
"""The version of a world's cursor in the midst of a reading: it has a second snapshot, and the id up to which."""
_JOB: Final = struct.Struct(">BB16si")  # version, kind, job, seq (as wide as the column)
_PAGE: Final = struct.Struct(">BB16s")  # version, kind, id of the row
_WORLD: Final = struct.Struct(">BB8s")  # version, kind, digest of the world's id; then numbers
_JOB_KIND: Final = ord("j")
_PAGE_KIND: Final = ord("p")
_WORLD_KIND: Final = ord("w")
_ANY_WORLD: Final = bytes(8)
_FIRST_XID: Final = 3
"""The first transaction of each 2**32: PostgreSQL keeps the numbers below for itself, and refuses them."""
_LONGEST: Final = 16 * 1024
"""Characters of a cursor at the most: what is in it is worked through for each item that follows."""
_MOST: Final = 2**63 - 1
"""The largest number that PostgreSQL takes for a transaction or an entry here."""


def job_cursor(job_id: UUID, seq: int) -> str:
    """Return the cursor behind transition `seq` of a job."""
    return _encode(_JOB.pack(_VERSION, _JOB_KIND, job_id.bytes, seq))


def job_position(cursor: str, job_id: UUID) -> int:
    """Return the `seq` that a job's cursor stands behind.

    Raises:
        InvalidInput: the cursor is garbled, or belongs to something else.
    """
    parts = _decode(cursor, _JOB, _JOB_KIND)
    if parts[0] != job_id.bytes:
        raise InvalidInput(["after"], "is the cursor of another job")
    seq = int(parts[1])
    if seq < 0:
        raise _refusal("after")
    return seq


def page_cursor(row_id: UUID) -> str:
    """Return the cursor of a row in a list."""
    return _encode(_PAGE.pack(_VERSION, _PAGE_KIND, row_id.bytes))


def page_position(cursor: str, argument: str) -> UUID:
    """Return the id of the row that a list's cursor stands at.

    Raises:
        InvalidInput: the cursor is garbled, or belongs to something else; its path is `argument`.
    """
    return UUID(bytes=_decode(cursor, _PAGE, _PAGE_KIND, argument)[0])


def world_cursor(world_id: str | None, position: Position) -> str:
    """Return the cursor of a position in a world's log; None is for one that fits any world."""
    snapshot, stretch = position.snapshot, position.stretch
    numbers = [*_snapshot_numbers(snapshot)]
    if stretch is not None:
        numbers += [*_snapshot_numbers(stretch.snapshot), stretch.upto]
    numbers += _gaps((0, *(bound for bounds in position.ranges for bound in bounds)))
    version = _VERSION if stretch is None else _MIDST
    return _encode(_WORLD.pack(version, _WORLD_KIND, _digest(world_id)) + b"".join(map(_varint, numbers)))


def world_position(cursor: str, world_id: str) -> Position:
    """Return the position that a cursor of a world's log stands at.

    Raises:
        InvalidInput: the cursor is garbled, or belongs to something else.
    """
    packed = _bytes(cursor, "after")
    refusal = _refusal("after")
    try:
        version, kind, digest = _WORLD.unpack_from(packed)
        numbers = _numbers(packed[_WORLD.size :])
        snapshot = _snapshot(numbers)
        stretch = Stretch(_snapshot(numbers), next(numbers)) if version == _MIDST else None
        bounds = _sums(0, [*numbers])
    except (ValueError, StopIteration, struct.error):
        raise refusal from None
    if version not in (_VERSION, _MIDST) or kind != _WORLD_KIND:
        raise refusal
    if digest not in (_digest(world_id), _ANY_WORLD):
        raise InvalidInput(["after"], "is the cursor of another world")
    position = Position(snapshot, zip(bounds[::2], bounds[1::2], strict=False), stretch)
    # Encoded anew it must be the same: so no position has two spellings, and none is one that we never gave out.
    spelled = world_cursor(None if digest == _ANY_WORLD else world_id, position)
    if spelled != cursor or not _is_possible(position):
        raise refusal
    return position


def _is_possible(position: Position) -> bool:
    ranges, stretch = position.ranges, position.stretch
    return (
        _is_possible_snapshot(position.snapshot)
        and (stretch is None or (_is_possible_snapshot(stretch.snapshot) and 0 < stretch.upto <= _MOST))
        and all(0 < start < end <= _MOST for start, end in ranges)
        and all(end < start for (_, end), (start, _) in pairwise(ranges))
    )


def _is_possible_snapshot(snapshot: Snapshot) -> bool:
    inside = (snapshot.xmin, *snapshot.in_progress, snapshot.xmax)
    return (
        all(xid % 2**32 >= _FIRST_XID for xid in inside)
        and snapshot.xmin <= snapshot.xmax <= _MOST
        and all(xid < following for xid, following in pairwise(inside[1:]))
    )


def _snapshot_numbers(snapshot: Snapshot) -> Iterator[int]:
    yield from (snapshot.xmin, snapshot.xmax - snapshot.xmin, len(snapshot.in_progress))
    yield from _gaps((snapshot.xmin, *snapshot.in_progress))


def _snapshot(numbers: Iterator[int]) -> Snapshot:
    """Return the snapshot of which numbers tell first.

    Raises:
        StopIteration, ValueError: they are too few.
    """
    xmin, width, count = next(numbers), next(numbers), next(numbers)
    in_progress = tuple(_sums(xmin, [*islice(numbers, count)]))
    if len(in_progress) < count:
        raise ValueError
    return Snapshot(xmin, xmin + width, in_progress)


def _digest(world_id: str | None) -> bytes:
    if world_id is None:
        return _ANY_WORLD
    return hashlib.blake2b(world_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _gaps(values: tuple[int, ...]) -> Iterator[int]:
    return (following - value for value, following in pairwise(values))


def _sums(start: int, gaps: list[int]) -> list[int]:
    return [start := start + gap for gap in gaps]


def _varint(number: int) -> bytes:
    """Encode a number in groups of seven bits, the lowest first (LEB128, as Protocol Buffers do)."""
    if number < 0:
        raise ValueError(number)
    encoded = bytearray()
    while number >> 7:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _numbers(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            if shift > 63:  # noqa: PLR2004 - no number of ours is longer, and longer ones would grow without end
                raise ValueError
        else:
            yield number
            number = shift = 0


def _encode(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _decode(cursor: str, shape: struct.Struct, kind: int, argument: str = "after") -> tuple[bytes, ...]:
    packed = _bytes(cursor, argument)
    try:
        version, found_kind, *parts = shape.unpack(packed)
    except struct.error:
        raise _refusal(argument) from None
    if (version, found_kind) != (_VERSION, kind) or _encode(packed) != cursor:
        raise _refusal(argument)
    return tuple(parts)


def _bytes(cursor: str, argument: str) -> bytes:
    if len(cursor) > _LONGEST:
        raise _refusal(argument)
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refusal(argument) from None


def _refusal(argument: str) -> InvalidInput:
    return InvalidInput([argument], "is not a cursor of this kind")
