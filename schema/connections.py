"""Lists as Relay connections: keyset pagination in both directions, newest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

import strawberry
from strawberry import Private

from schema.context import Operation
from schema.types import Asset, AssetJob, PageInfo
from services.asset_queries import AssetFilter, count_assets, page_of_assets
from services.cursors import page_cursor, page_position, world_cursor
from services.errors import InvalidInput
from services.job_queries import JobFilter, count_jobs, page_of_jobs
from services.lists import Keyset
from services.positions import Position

DEFAULT_PAGE: Final = 20

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The arguments of a connection, as the Relay specification names them, and the most edges that a page has."""

    most: int
    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def backward(self) -> bool:
        """Whether the page is taken from the end of what the cursors enclose."""
        return self.last is not None

    @property
    def size(self) -> int:
        """How many edges were asked for.

        Raises:
            InvalidInput: both directions at once, or a size that is out of bounds.
        """
        if self.first is not None and self.last is not None:
            raise InvalidInput(["last"], "cannot go together with first")
        name = "last" if self.backward else "first"
        size = self.last if self.backward else self.first
        if size is None:
            return min(DEFAULT_PAGE, self.most)
        if not 0 <= size <= self.most:
            raise InvalidInput([name], f"must be from 0 to {self.most}")
        return size

    def keyset(self) -> Keyset:
        """Return the rows to read: one more than asked for tells whether there are more.

        Raises:
            InvalidInput: a size that is out of bounds, or a cursor that is not one of ours.
        """
        return Keyset(
            limit=self.size + 1,
            older_than=None if self.after is None else page_position(self.after, "after"),
            newer_than=None if self.before is None else page_position(self.before, "before"),
            oldest_first=self.backward,
        )

    def cut(self, rows: Sequence[_Row], id_of: Callable[[_Row], UUID]) -> tuple[list[_Row], PageInfo]:
        """Return the page that was asked for, newest first, and where it lies, from the rows of the keyset."""
        more = len(rows) > self.size
        page = list(rows[: self.size])
        if self.backward:
            page.reverse()
        return page, PageInfo(
            # A cursor stands at a row, so whoever passed one knows that there is something on its far side.
            has_next_page=self.before is not None if self.backward else more,
            has_previous_page=more if self.backward else self.after is not None,
            start_cursor=page_cursor(id_of(page[0])) if page else None,
            end_cursor=page_cursor(id_of(page[-1])) if page else None,
        )


@strawberry.type
class AssetJobEdge:
    """A job in a list."""

    node: AssetJob
    cursor: str


@strawberry.type
class AssetJobConnection:
    """A page of jobs."""

    wanted: Private[JobFilter]
    edges: list[AssetJobEdge]
    page_info: PageInfo
    updates_cursor: str = strawberry.field(
        description="Pass as worldUpdates(after:) to receive exactly what follows this reading."
    )

    @strawberry.field
    async def total_count(self, info: Operation) -> int:
        """Count all that the filter lets through."""
        async with info.context.resources.database.connect() as connection:
            return await count_jobs(connection, self.wanted)


@strawberry.type
class AssetEdge:
    """An asset in a list."""

    node: Asset
    cursor: str


@strawberry.type
class AssetConnection:
    """A page of assets."""

    wanted: Private[AssetFilter]
    edges: list[AssetEdge]
    page_info: PageInfo

    @strawberry.field
    async def total_count(self, info: Operation) -> int:
        """Count all that the filter lets through."""
        async with info.context.resources.database.connect() as connection:
            return await count_assets(connection, self.wanted)


async def list_jobs(info: Operation, wanted: JobFilter, arguments: PageArguments) -> AssetJobConnection:
    """Read a page of jobs."""
    keyset = arguments.keyset()
    async with info.context.resources.database.connect() as connection:
        found = await page_of_jobs(connection, wanted, keyset)
    states, page_info = arguments.cut(found.states, lambda state: state.job.id)
    return AssetJobConnection(
        wanted=wanted,
        edges=[AssetJobEdge(node=AssetJob.of(state), cursor=page_cursor(state.job.id)) for state in states],
        page_info=page_info,
        # Without a world the cursor fits any: what it stands for is a moment of the whole database.
        updates_cursor=world_cursor(wanted.world_id, Position(found.snapshot)),
    )


async def list_assets(info: Operation, wanted: AssetFilter, arguments: PageArguments) -> AssetConnection:
    """Read a page of assets."""
    keyset = arguments.keyset()
    async with info.context.resources.database.connect() as connection:
        found = await page_of_assets(connection, wanted, keyset)
    records, page_info = arguments.cut(found, lambda record: record.id)
    return AssetConnection(
        wanted=wanted,
        edges=[AssetEdge(node=Asset.of(record), cursor=page_cursor(record.id)) for record in records],
        page_info=page_info,
    )
