"""Cursors: opaque, versioned, small. One that is garbled or of another kind is refused, not guessed at."""

import base64
import binascii
import struct
from typing import Final
from uuid import UUID

from services.errors import InvalidInput

_VERSION: Final = 1
_JOB: Final = struct.Struct(">BB16si")  # version, kind, job, seq (as wide as the column)
_PAGE: Final = struct.Struct(">BB16s")  # version, kind, id of the row
_JOB_KIND: Final = ord("j")
_PAGE_KIND: Final = ord("p")


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
        raise InvalidInput(["after"], "is not a cursor of this kind")
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


def _encode(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _decode(cursor: str, shape: struct.Struct, kind: int, argument: str = "after") -> tuple[bytes, ...]:
    refusal = InvalidInput([argument], "is not a cursor of this kind")
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, found_kind, *parts = shape.unpack(packed)
    except (binascii.Error, ValueError, struct.error):
        raise refusal from None
    if (version, found_kind) != (_VERSION, kind) or _encode(packed) != cursor:
        raise refusal
    return tuple(parts)
