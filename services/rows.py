"""What statements select, and the records that their rows become."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, RowMapping, Uuid, any_, column, literal
from sqlmodel import SQLModel, col

from services.models import Asset, AssetRecord, Job, JobRecord, Transition, TransitionRecord

_Record = TypeVar("_Record", bound=SQLModel)
_JOB_COLUMNS: Final = tuple(JobRecord.model_fields)
_TRANSITION_COLUMNS: Final = tuple(TransitionRecord.model_fields)
_ASSET_COLUMNS: Final = tuple(AssetRecord.model_fields)


def _prefixed(alias: str, table: type[SQLModel], names: Iterable[str], prefix: str) -> tuple[str, list[Any]]:
    """Return the SQL that selects columns under prefixed names, and the typed columns of its result."""
    columns = table.__table__.columns  # type: ignore[attr-defined]
    sql = ", ".join(f'{alias}."{name}" AS "{prefix}{name}"' for name in names)
    return sql, [column(f"{prefix}{name}", columns[name].type) for name in names]


SELECT_JOB, JOB_RESULT = _prefixed("m", Job, _JOB_COLUMNS, "")
"""The job that a statement calls `m`."""
SELECT_LOG, LOG_RESULT = _prefixed("l", Transition, _TRANSITION_COLUMNS, "t_")
"""The transition that it calls `l`."""
SELECT_ASSET, ASSET_RESULT = _prefixed("a", Asset, _ASSET_COLUMNS, "a_")
"""The asset that it calls `a`, which may be missing."""


def among(field: Any, ids: Collection[UUID]) -> ColumnElement[bool]:  # noqa: ANN401 - a column
    """Return the condition that a column holds one of the ids."""
    # One array is one parameter: the statement stays the same, and prepared, whatever the number of ids.
    return col(field) == any_(literal(list(ids), ARRAY(Uuid)))


def job_of_row(row: RowMapping) -> JobRecord:
    """Return the job that a row holds."""
    return _record(JobRecord, row, "", _JOB_COLUMNS)


def transition_of_row(row: RowMapping) -> TransitionRecord:
    """Return the transition that a row holds."""
    return _record(TransitionRecord, row, "t_", _TRANSITION_COLUMNS)


def asset_of_row(row: RowMapping) -> AssetRecord | None:
    """Return the asset that a row holds, if it does."""
    return _record(AssetRecord, row, "a_", _ASSET_COLUMNS) if row.get("a_id") else None


def record_of(kind: type[_Record], values: Sequence[Any]) -> _Record:
    """Return the record whose columns a row begins with."""
    # Rows come from columns that the database has checked: validating them again would only cost time.
    return cast("_Record", kind.model_construct(**dict(zip(kind.model_fields, values, strict=False))))


def _record(kind: type[_Record], row: RowMapping, prefix: str, names: Iterable[str]) -> _Record:
    return record_of(kind, [row[f"{prefix}{name}"] for name in names])
