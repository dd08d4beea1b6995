"""Every statement that reads the log of a world.

A statement sees one snapshot of the database, and says which: so what it returns and where a reader then stands
agree exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import column, text
from sqlalchemy.dialects.postgresql import BOOLEAN, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from services.errors import InvalidInput
from services.lifecycle import LIVE
from services.models import sql_list
from services.positions import Position, Snapshot
from services.rows import (
    ASSET_RESULT,
    JOB_RESULT,
    LOG_RESULT,
    SELECT_ASSET,
    SELECT_JOB,
    SELECT_LOG,
    asset_of_row,
    job_of_row,
    transition_of_row,
)
from services.updates import JobUpdate, UpdateKind

PAGE: Final = 200
"""Entries of the log that are read at once."""
_MOST_LIVE: Final = 20_000

# What the reader has not been given: found by its transaction, cut to whole transactions. A job's transitions must
# come in order, and one with a later seq may have an earlier xid; so what precedes a chosen one is chosen with it.
_UNREAD: Final = """
t.world_id = :world_id AND t.xid >= CAST(CAST(:xmin AS text) AS xid8)
AND NOT pg_visible_in_snapshot(t.xid, CAST(CAST(:since AS text) AS pg_snapshot))
AND NOT (t.id <= :upto AND pg_visible_in_snapshot(t.xid, CAST(CAST(:later AS text) AS pg_snapshot)))
AND NOT t.id <@ CAST(CAST(:given AS text) AS int8multirange)
"""
_READ: Final = text(f"""
WITH unread AS MATERIALIZED (
    SELECT t.job_id, t.seq, t.xid, t.id FROM transitions t WHERE {_UNREAD}
    ORDER BY t.xid, t.id LIMIT :most + 1
), edge AS (
    SELECT xid FROM unread ORDER BY xid, id OFFSET :most
), chosen AS (
    SELECT job_id, seq FROM unread WHERE NOT EXISTS (SELECT FROM edge WHERE edge.xid <= unread.xid)
), preceding AS (
    SELECT t.job_id, t.seq FROM transitions t
    JOIN (SELECT job_id, max(seq) AS seq FROM chosen GROUP BY job_id) c ON c.job_id = t.job_id AND t.seq < c.seq
    WHERE {_UNREAD}
)
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, CAST((SELECT xid FROM edge) AS text) AS edge,
    NOT EXISTS (SELECT FROM transitions p WHERE p.job_id = l.job_id AND p.seq = l.seq - 1) AS unfounded,
    {SELECT_JOB}, {SELECT_LOG}, {SELECT_ASSET}
FROM (SELECT) AS one
LEFT JOIN (SELECT * FROM chosen UNION SELECT * FROM preceding) AS c ON true
LEFT JOIN transitions l ON l.job_id = c.job_id AND l.seq = c.seq
LEFT JOIN jobs m ON m.id = c.job_id
LEFT JOIN assets a ON a.job_id = m.id
ORDER BY l.id
""").columns(  # noqa: S608 - the interpolated parts are ours
    column("snapshot", TEXT),
    column("edge", TEXT),
    column("unfounded", BOOLEAN),
    *JOB_RESULT,
    *LOG_RESULT,
    *ASSET_RESULT,
)

_PRESENT: Final = text(f"""
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, j.id, j.seq
FROM (SELECT) AS one
LEFT JOIN (
    SELECT id, seq FROM jobs
    WHERE world_id = :world_id AND status IN ({sql_list(LIVE)})
    ORDER BY id DESC LIMIT {_MOST_LIVE}
) AS j ON true
""")  # noqa: S608 - the interpolated parts are ours


@dataclass(frozen=True, slots=True)
class Chunk:
    """Entries of the log, each job's in the order of its `seq`.

    Attributes:
        updates: the entries; a RESET is one whose predecessor was pruned.
        position: where a reader stands that has been given them.
        complete: whether that is all there was.
    """

    updates: Sequence[JobUpdate]
    position: Position
    complete: bool


@dataclass(frozen=True, slots=True)
class Present:
    """Where a world stood at one moment.

    Attributes:
        position: the position of a reader that begins there.
        seqs: how far its live jobs had come; where there are very many, only the latest.
    """

    position: Position
    seqs: dict[UUID, int]


def covers(position: Position, update: JobUpdate) -> bool:
    """Whether a reader at a position has been given an entry of the log."""
    return position.covers(*_place(update))


def add(position: Position, update: JobUpdate) -> None:
    """Note that a reader is given an entry of the log which it has not got yet."""
    position.add(_place(update)[1])


def follow(position: Position, update: JobUpdate, chunk: Chunk) -> None:
    """Note that a reader is given the next entry of a chunk."""
    position.follow(*_place(update), chunk.position.snapshot)


def _place(update: JobUpdate) -> tuple[int, int]:
    assert update.xid is not None  # noqa: S101 - every transition has both
    assert update.entry_id is not None  # noqa: S101
    return update.xid, update.entry_id


async def read_present(connection: AsyncConnection, world_id: str) -> Present:
    """Read where a world stands."""
    rows = (await connection.execute(_PRESENT, {"world_id": world_id})).all()
    seqs = {row.id: row.seq for row in rows if row.id is not None}
    return Present(Position(Snapshot.parse(rows[0].snapshot)), seqs)


async def read_world(connection: AsyncConnection, world_id: str, position: Position, *, most: int) -> Chunk:
    """Read what a reader at a position has not been given, about `most` entries of it at once.

    Raises:
        InvalidInput: the position lies ahead of the database.
    """
    while True:
        chunk = await _read(connection, world_id, position, most)
        if chunk.complete or chunk.updates:
            return chunk
        most *= 4  # one transaction is larger


async def _read(connection: AsyncConnection, world_id: str, position: Position, most: int) -> Chunk:
    snapshot = position.snapshot
    later, upto = (position.stretch.snapshot, position.stretch.upto) if position.stretch else (snapshot, 0)
    values = {
        "world_id": world_id,
        "xmin": str(snapshot.xmin),
        "since": str(snapshot),
        "later": str(later),
        "upto": upto,
        "given": "{" + ",".join(f"[{start},{end})" for start, end in position.ranges) + "}",
        "most": most,
    }
    rows = (await connection.execute(_READ, values)).mappings().all()
    present = Snapshot.parse(rows[0]["snapshot"])
    if max(snapshot.xmax, later.xmax) > present.xmax:
        raise InvalidInput(["after"], "lies ahead of the world")
    updates = []
    for row in rows:
        if row["t_id"] is not None:
            transition = transition_of_row(row)
            kind = UpdateKind.RESET if row["unfounded"] and transition.seq > 1 else UpdateKind.TRANSITION
            updates.append(JobUpdate.of_transition(transition, job_of_row(row), asset_of_row(row), kind=kind))
    if rows[0]["edge"] is None:
        return Chunk(updates, Position(present), complete=True)
    edge = int(rows[0]["edge"])
    reached = position.advanced(snapshot.advanced(present, below=edge))
    for update in updates:
        if not covers(reached, update):
            add(reached, update)
    return Chunk(updates, reached, complete=False)
