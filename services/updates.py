"""One item of a stream: a change of a job, however it was learned."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict

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
        cls, transition: TransitionRecord, job: JobRecord, asset: AssetRecord | None = None
    ) -> "JobUpdate":
        """Return the update that tells of an entry of the log."""
        return cls.model_construct(
            kind=UpdateKind.TRANSITION,
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
