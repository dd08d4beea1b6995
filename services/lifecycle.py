"""The life of a job as data: its statuses, and every edge between them.

The SQL of `services.job_store`, the diagram in the README and the property tests read this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class JobStatus(StrEnum):
    """Where a job stands. Each comment names who moves a job there."""

    QUEUED = "QUEUED"  # the API at creation and renewal; a worker that releases at shutdown
    PROCESSING = "PROCESSING"  # the worker that claimed it
    RETRYING = "RETRYING"  # its worker, after an error that may pass
    SUCCEEDED = "SUCCEEDED"  # its worker
    FAILED = "FAILED"  # its worker; whoever finds that the last lease ran out
    CANCELLED = "CANCELLED"  # a client

    @property
    def is_final(self) -> bool:
        """Whether only a renewal leads out of this status."""
        return self in FINAL


class Event(StrEnum):
    """What happened to a job: the name of the edge that it took."""

    CREATE = "CREATE"
    CLAIM = "CLAIM"
    RECLAIM = "RECLAIM"
    SUCCEED = "SUCCEED"
    RETRY = "RETRY"
    FAIL = "FAIL"
    EXPIRE = "EXPIRE"
    RELEASE = "RELEASE"
    CANCEL = "CANCEL"
    RENEW = "RENEW"


class Guard(StrEnum):
    """What must hold, besides the status, before an edge may be taken."""

    HOLDER = "HOLDER"  # the caller presents the current fencing token
    EXPIRED = "EXPIRED"  # the lease has run out, by the database clock
    DUE = "DUE"  # neither run_at nor next_attempt_at lies ahead, by the database clock
    ATTEMPTS_LEFT = "ATTEMPTS_LEFT"  # attempt < max_attempts
    ATTEMPTS_SPENT = "ATTEMPTS_SPENT"  # attempt >= max_attempts


@dataclass(frozen=True, slots=True)
class Edge:
    """One legal change of status.

    Attributes:
        sources: statuses that the edge leaves; empty for a creation.
        target: the status that it leads to.
        guards: what must hold besides.
    """

    sources: frozenset[JobStatus]
    target: JobStatus
    guards: frozenset[Guard] = frozenset()


def _edge(*sources: JobStatus, to: JobStatus, guards: tuple[Guard, ...] = ()) -> Edge:
    return Edge(frozenset(sources), to, frozenset(guards))


LIVE: Final = frozenset({JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.RETRYING})
FINAL: Final = frozenset(JobStatus) - LIVE
WAITING: Final = frozenset({JobStatus.QUEUED, JobStatus.RETRYING})
"""Statuses in which a job waits for a worker, so a message must exist or be sent."""

EDGES: Final[Mapping[Event, Edge]] = MappingProxyType(
    {
        Event.CREATE: _edge(to=JobStatus.QUEUED),
        Event.CLAIM: _edge(JobStatus.QUEUED, JobStatus.RETRYING, to=JobStatus.PROCESSING, guards=(Guard.DUE,)),
        Event.RECLAIM: _edge(
            JobStatus.PROCESSING, to=JobStatus.PROCESSING, guards=(Guard.EXPIRED, Guard.ATTEMPTS_LEFT)
        ),
        Event.SUCCEED: _edge(JobStatus.PROCESSING, to=JobStatus.SUCCEEDED, guards=(Guard.HOLDER,)),
        Event.RETRY: _edge(
            JobStatus.PROCESSING, to=JobStatus.RETRYING, guards=(Guard.HOLDER, Guard.ATTEMPTS_LEFT)
        ),
        Event.FAIL: _edge(JobStatus.PROCESSING, to=JobStatus.FAILED, guards=(Guard.HOLDER,)),
        Event.EXPIRE: _edge(
            JobStatus.PROCESSING, to=JobStatus.FAILED, guards=(Guard.EXPIRED, Guard.ATTEMPTS_SPENT)
        ),
        Event.RELEASE: _edge(JobStatus.PROCESSING, to=JobStatus.QUEUED, guards=(Guard.HOLDER,)),
        Event.CANCEL: _edge(JobStatus.QUEUED, JobStatus.RETRYING, JobStatus.PROCESSING, to=JobStatus.CANCELLED),
        Event.RENEW: _edge(JobStatus.FAILED, JobStatus.CANCELLED, to=JobStatus.QUEUED),
    }
)
