"""Every statement on assets, but for the one that makes them: that is the job store's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Text, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from services.lists import Keyset, matching
from services.models import Asset, AssetRecord, AssetStatus, AssetType, Derivation
from services.rows import among, record_of

ASSET: Final[list[Any]] = [getattr(Asset, name) for name in AssetRecord.model_fields]
"""The columns of an asset."""


@dataclass(frozen=True, slots=True)
class AssetFilter:
    """Which assets to list; a field that is None does not limit.

    What an asset derives from is found by the derivation of its job. `worlds` is where the caller may look,
    whatever `world_id` asks for.
    """

    world_id: str | None = None
    asset_type: Collection[AssetType] | None = None
    status: AssetStatus | None = None
    created_by: str | None = None
    claim_id: str | None = None
    entity_id: str | None = None
    source_chunk_id: str | None = None
    source_id: str | None = None
    worlds: Collection[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what the rows must satisfy."""
        conditions = matching(
            {Asset.world_id: self.world_id, Asset.status: self.status, Asset.created_by: self.created_by},
            {Asset.asset_type: self.asset_type},
            (Asset.world_id, self.worlds),
        )
        if derivation := self._derivation():
            conditions.append(col(Asset.job_id).in_(select(col(Derivation.job_id)).where(*derivation)))
        return conditions

    def _derivation(self) -> list[ColumnElement[bool]]:
        holds: Mapping[Any, str | None] = {
            Derivation.claim_ids: self.claim_id,
            Derivation.entity_ids: self.entity_id,
            Derivation.source_chunk_ids: self.source_chunk_id,
        }
        conditions: list[ColumnElement[bool]] = [
            # `= ANY (column)` would say the same, and find no index.
            col(field).bool_op("@>")(literal([value], ARRAY(Text)))
            for field, value in holds.items()
            if value is not None
        ]
        if self.source_id is not None:
            conditions.append(col(Derivation.source_id) == self.source_id)
        return conditions


async def find_assets(connection: AsyncConnection, asset_ids: Collection[UUID]) -> dict[UUID, AssetRecord]:
    """Read assets by id; what does not exist is missing from the result."""
    rows = await connection.execute(select(*ASSET).where(among(Asset.id, asset_ids)))
    return {asset.id: asset for asset in (record_of(AssetRecord, row) for row in rows)}


async def page_of_assets(connection: AsyncConnection, wanted: AssetFilter, page: Keyset) -> Sequence[AssetRecord]:
    """Read a page of assets."""
    query = page.cut(select(*ASSET).where(*wanted.conditions()), Asset.id)
    return [record_of(AssetRecord, row) for row in await connection.execute(query)]


async def count_assets(connection: AsyncConnection, wanted: AssetFilter) -> int:
    """Count the assets that a filter lets through."""
    query: Select[Any] = select(func.count()).select_from(Asset).where(*wanted.conditions())
    return int((await connection.execute(query)).scalar_one())


async def delete_asset(
    connection: AsyncConnection, asset_id: UUID, *, worlds: Collection[str] | None
) -> AssetRecord | None:
    """Let an asset be DELETED, as it may be already; returns None where there is none in these worlds."""
    change = (
        update(Asset)
        .where(col(Asset.id) == asset_id, *matching({}, {}, (Asset.world_id, worlds)))
        .values(status=AssetStatus.DELETED)
        .returning(*ASSET)
    )
    row = (await connection.execute(change)).first()
    return None if row is None else record_of(AssetRecord, row)


async def content_to_remove(
    connection: AsyncConnection, *, after: UUID | None = None, most: int
) -> list[AssetRecord]:
    """Read deleted assets whose content may still be there, the oldest first, or those behind an id."""
    query = (
        select(*ASSET)
        .where(col(Asset.status) == AssetStatus.DELETED, col(Asset.content_removed_at).is_(None))
        .order_by(col(Asset.id))
        .limit(most)
    )
    if after is not None:
        query = query.where(col(Asset.id) > after)
    return [record_of(AssetRecord, row) for row in await connection.execute(query)]


async def note_content_removed(connection: AsyncConnection, asset_ids: Collection[UUID]) -> None:
    """Note that nothing is left of deleted assets in storage."""
    change = update(Asset).where(among(Asset.id, asset_ids)).values(content_removed_at=func.clock_timestamp())
    await connection.execute(change)
