"""What can be asked of the job store, and what it answers: moves along the edges of the lifecycle."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.errors import LorekeeperError
from services.lifecycle import Event, JobStatus
from services.models import AssetRecord, DerivationRecord, JobRecord, TransitionRecord

WorldKey = tuple[str, str]
"""A world and an idempotency key: one job's, whoever asks."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be created, with its inputs.

    Attributes:
        job: the job.
        derivation: its inputs.
        reuse_identical: whether a live or succeeded job with the same inputs will do.
    """

    job: JobRecord
    derivation: DerivationRecord
    reuse_identical: bool = False

    @property
    def key(self) -> WorldKey | None:
        """Its idempotency key, if it has one."""
        key = self.job.idempotency_key
        return None if key is None else (self.job.world_id, key)


@dataclass(frozen=True, slots=True)
class Move:
    """A wish to take one edge for one job.

    Attributes:
        job_id: the job.
        event: the edge.
        held_token: the fencing token of the caller's claim, for edges that ask for the holder.
        lease: how long the caller may run it, for CLAIM and RECLAIM.
        retry_in: the wait before the next attempt, for RETRY.
        error_code: why, for RETRY, FAIL and EXPIRE.
        error_message: the same for a person.
        asset: what was made, for SUCCEED.
    """

    job_id: UUID
    event: Event
    held_token: int | None = None
    lease: timedelta | None = None
    retry_in: timedelta | None = None
    error_code: str | None = None
    error_message: str | None = None
    asset: AssetRecord | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """An edge that was taken: the job as it became, the log's entry, and the asset that came with it."""

    job: JobRecord
    transition: TransitionRecord
    asset: AssetRecord | None = None
    prompt_spec: Any = None
    """The inputs of a claimed job, where they were asked for."""
    handle: str | None = None
    """What an earlier attempt has asked an external service for, likewise."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A run that its worker wants to keep, with the progress to store along with the heartbeat."""

    job_id: UUID
    held_token: int
    progress: float | None = None
    progress_message: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an edge was not taken.

    Attributes:
        status: where the job stands; None where there is no such job.
        wait: how long until it is worth another try, where time is what is missing.
        error: the same as an exception to raise.
    """

    status: JobStatus | None
    error: LorekeeperError
    wait: timedelta | None = None
