"""What a generator is: it says what it makes, and makes it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from services.catalog import ProviderSpec
from services.models import AssetType, JsonObject


async def _keep_nothing(_handle: str | None) -> None:
    """Keep nothing: for whoever asks for no more than one attempt."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to make.

    Attributes:
        job_id: the job, the same in every attempt.
        attempt: 1 for the first run.
        asset_type: one of the types that the provider's spec names.
        model_id: one of the models that the spec names, or None.
        prompt_spec: valid by the spec's schema for the asset type.
        handle: what an earlier attempt has kept: go on with that instead of beginning anew.
        keep: stores an external service's id of what it was asked for; call it before the service is asked for the
            first time how far it is, and with None where nothing will come of it. What is kept for a job that ends
            without an asset is cancelled. Where the job is somebody else's by now, this run is cancelled instead.
    """

    job_id: UUID
    attempt: int
    asset_type: AssetType
    model_id: str | None
    prompt_spec: Any
    handle: str | None = None
    keep: Callable[[str | None], Awaitable[None]] = _keep_nothing


@dataclass(frozen=True, slots=True)
class Content:
    """What was made.

    Attributes:
        format: short name that is also the file's suffix, such as `png`.
        content_type: its media type.
        chunks: the bytes.
        metadata: width, height, codec and whatever else is worth telling.
        duration_seconds: for audio and video.
    """

    format: str
    content_type: str
    chunks: AsyncIterator[bytes]
    metadata: JsonObject = field(default_factory=dict)
    duration_seconds: float | None = None


class Progress(Protocol):
    """Where a provider reports how far it is. Cheap; may be called from any thread and as often as one likes."""

    def __call__(self, fraction: float, message: str | None = None) -> None:
        """Report a fraction from 0.0 to 1.0, and what is being done."""


class Provider(Protocol):
    """A generator.

    Being cancelled means to stop: the job was cancelled, timed out, or is somebody else's by now.
    """

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Make one asset.

        Raises:
            PassingError: another attempt may succeed.
            PermanentError: none will.
        """


@runtime_checkable
class Cancellable(Protocol):
    """A provider whose service can be told that nobody waits any more."""

    async def cancel(self, handle: str) -> None:
        """Cancel what a handle stands for; nothing, where it has ended or is not known any more.

        Raises:
            PassingError: the service does not answer; it is asked again.
            PermanentError: it will not.
        """
