"""What all lists share: filters by column, and pages by keyset.

Ids are UUIDv7, so their order is that of creation.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Text, any_, literal
from sqlmodel import col


@dataclass(frozen=True, slots=True)
class Keyset:
    """A page by keyset: `limit` rows between two ids (both left out), newest first unless `oldest_first`."""

    limit: int
    older_than: UUID | None = None
    newer_than: UUID | None = None
    oldest_first: bool = False

    def cut(self, rows: Select[Any], row_id: Any) -> Select[Any]:  # noqa: ANN401 - a column
        """Return the rows of the page, in its order."""
        if self.older_than is not None:
            rows = rows.where(col(row_id) < self.older_than)
        if self.newer_than is not None:
            rows = rows.where(col(row_id) > self.newer_than)
        return rows.order_by(self.order(row_id)).limit(self.limit)

    def order(self, row_id: Any) -> Any:  # noqa: ANN401 - a column, and how it sorts
        """Return the order of the page."""
        return row_id.asc() if self.oldest_first else row_id.desc()


def matching(
    equal: Mapping[Any, object],
    among: Mapping[Any, Collection[object] | None],
    worlds: tuple[Any, Collection[str] | None],
) -> list[ColumnElement[bool]]:
    """Return what rows must satisfy; a value that is None does not limit.

    Args:
        equal: what columns must be.
        among: what columns must be one of, values of an enumeration.
        worlds: the column of the world, and where the caller may look.
    """
    conditions = [col(field) == value for field, value in equal.items() if value is not None]
    # A client may repeat a value as often as its request holds it; a statement has 32,767 parameters at the most.
    conditions += [col(field).in_(set(values)) for field, values in among.items() if values is not None]
    column, visible = worlds
    if visible is not None:
        conditions.append(col(column) == any_(literal(list(visible), ARRAY(Text))))
    return conditions
