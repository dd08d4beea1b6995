"""One item of a stream: a change of a job, however it was learned."""

from collections.abc import Hashable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.cursors import job_cursor
from services.lifecycle import JobStatus
from services.models import AssetRecord, JobRecord, TransitionRecord
from services.moves import Moved


class UpdateKind(StrEnum):
    """What an update tells."""

    SNAPSHOT = "SNAPSHOT"  # the state at the moment of subscribing
    TRANSITION = "TRANSITION"  # a change of status; carries the next seq
    PROGRESS = "PROGRESS"  # progress inside PROCESSING; may be conflated
    RESET = "RESET"  # history before this point is no longer kept


class JobUpdate(BaseModel):
    """A change of a job, with the job as it then was (as it is now, where it was read from the log).

    This is also what Redis carries, as JSON.
    """

    model_config = ConfigDict(frozen=True)

    kind: UpdateKind
    seq: int
    status: JobStatus
    previous_status: JobStatus | None = None
    attempt: int
    progress: float | None = None
    progress_message: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    at: datetime
    job: JobRecord
    asset: AssetRecord | None = None
    xid: int | None = None
    """The transaction that wrote the transition, for a reader of a world's log."""
    entry_id: int | None = None
    """The transition's place among all."""

    @property
    def job_id(self) -> UUID:
        """The job that changed."""
        return self.job.id

    @classmethod
    def of_move(cls, moved: Moved) -> "JobUpdate":
        """Return the update that tells of an edge just taken."""
        return cls.of_transition(moved.transition, moved.job, moved.asset)

    @classmethod
    def of_transition(
        cls,
        transition: TransitionRecord,
        job: JobRecord,
        asset: AssetRecord | None = None,
        *,
        kind: UpdateKind = UpdateKind.TRANSITION,
    ) -> "JobUpdate":
        """Return the update that tells of an entry of the log, be it with the history before it gone (RESET)."""
        return cls.model_construct(
            kind=kind,
            seq=transition.seq,
            status=transition.status,
            previous_status=transition.previous_status,
            attempt=transition.attempt,
            progress=1.0 if transition.status is JobStatus.SUCCEEDED else None,
            progress_message=None,
            error_code=transition.error_code,
            error_message=transition.error_message,
            at=transition.at,
            job=job,
            asset=asset,
            xid=transition.xid,
            entry_id=transition.id,
        )

    @classmethod
    def of_state(
        cls, kind: UpdateKind, job: JobRecord, at: datetime, asset: AssetRecord | None = None
    ) -> "JobUpdate":
        """Return an update that shows a job as it stands: a snapshot, its progress, or a reset."""
        return cls.model_construct(
            kind=kind,
            seq=job.seq,
            status=job.status,
            previous_status=None,
            attempt=job.attempt,
            progress=job.progress,
            progress_message=job.progress_message,
            error_code=job.error_code,
            error_message=job.error_message,
            at=at,
            job=job,
            asset=asset,
        )


class StreamItem:
    """An update as a stream passes it on.

    Of a live update there is one object in a process, whoever receives it. So what is made of it for one
    subscriber can be kept with it for all that ask for the same.

    Attributes:
        update: the update.
        size: what it takes in a buffer, in bytes.
        made: what was made of it, by whatever distinguishes those who ask.
    """

    __slots__ = ("_cursor", "made", "size", "update")

    def __init__(self, update: JobUpdate, size: int = 0, cursor: str | None = None) -> None:
        self.update = update
        self.size = size
        self.made: dict[Hashable, Any] = {}
        self._cursor = cursor

    @property
    def cursor(self) -> str:
        """The cursor behind this item: in the stream of a world one of that world, else of the job."""
        if self._cursor is None:
            self._cursor = job_cursor(self.update.job.id, self.update.seq)
        return self._cursor
