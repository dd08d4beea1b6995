"""What clients do with assets: delete them. The row goes first, its content after it.

So a death in between loses nothing and leaks nothing: the row says DELETED, nothing is signed for it any more, and
maintenance removes the content.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from services.access import Caller
from services.asset_queries import content_to_remove, delete_asset, note_content_removed
from services.database import Database
from services.errors import AssetNotFound, StorageUnavailable, Unavailable
from services.models import AssetRecord
from services.storage import Storage

_AT_ONCE: Final = 10

log = structlog.get_logger(__name__)


class Assets:
    """The door through which clients change assets."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage
        self._swept: UUID | None = None

    async def delete(self, asset_id: UUID, caller: Caller) -> AssetRecord:
        """Delete an asset: its content goes, its row stays as DELETED. Deleting it again changes nothing.

        It is deleted when this returns, also where the content cannot be removed now; maintenance does it then.

        Raises:
            AssetNotFound: no such asset for the caller.
            DatabaseUnavailable: as far as can be known, nothing was deleted.
        """
        async with self._database.connect() as connection:
            asset = await delete_asset(connection, asset_id, worlds=caller.worlds)
        if asset is None:
            raise AssetNotFound(f"There is no asset {asset_id}.")
        try:
            await self._remove([asset])
        except Unavailable as error:
            log.warning("asset.content_left", asset_id=str(asset_id), error=repr(error))
        return asset

    async def sweep(self, *, most: int) -> int:
        """Remove content that deletions left behind, from where the last sweep ended; returns how much is gone.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.connect() as connection:
            left = await content_to_remove(connection, after=self._swept, most=most)
        # What cannot be removed now does not keep the rest from its turn.
        self._swept = left[-1].id if len(left) == most else None
        removed = 0
        for start in range(0, len(left), _AT_ONCE):
            removed += await self._remove(left[start : start + _AT_ONCE])
        return removed

    async def _remove(self, assets: Sequence[AssetRecord]) -> int:
        """Remove content and note that it is gone; returns of how many."""
        outcomes = await asyncio.gather(
            *(self._storage.delete(asset.storage_key) for asset in assets), return_exceptions=True
        )
        gone = []
        for asset, outcome in zip(assets, outcomes, strict=True):
            if outcome is None:
                gone.append(asset.id)
            elif isinstance(outcome, StorageUnavailable):
                log.warning("asset.content_left", asset_id=str(asset.id), error=repr(outcome.__cause__))
            else:
                raise outcome
        if gone:
            async with self._database.connect() as connection:
                await note_content_removed(connection, gone)
        return len(gone)
