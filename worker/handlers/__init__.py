"""The handlers of job types: what a worker does with a job that it has claimed.

Handlers are idempotent: a job may be run again after its worker died.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from services.models import AssetRecord, JobRecord
from services.storage import Storage
from worker.providers.protocol import Progress, Provider


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt: the job as it was claimed, its inputs, and what the handler may use.

    Attributes:
        job: as it was claimed.
        prompt_spec: its inputs.
        handle: what an earlier attempt has kept of a service's.
        keep: keeps such a handle, or None for none; cancels the run where the job is somebody else's by now.
        progress: where to report.
        providers: by name.
        storage: where assets go.
    """

    job: JobRecord
    prompt_spec: Any
    handle: str | None
    keep: Callable[[str | None], Awaitable[None]]
    progress: Progress
    providers: Mapping[str, Provider]
    storage: Storage


Handler = Callable[[Run], Awaitable[AssetRecord]]
_handlers: dict[str, Handler] = {}
HANDLERS: Mapping[str, Handler] = MappingProxyType(_handlers)


def register_handler(job_type: str, handler: Handler) -> None:
    """Let a handler run the jobs of a type."""
    _handlers[job_type] = handler
