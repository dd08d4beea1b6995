"""What a generator is: it says what it makes, and makes it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from services.catalog import ProviderSpec
from services.models import AssetType, JsonObject


@dataclass(frozen=True, slots=True)
class Order:
    """What to make.

    Attributes:
        job_id: the job, the same in every attempt.
        attempt: 1 for the first run.
        asset_type: one of the types that the provider's spec names.
        model_id: one of the models that the spec names, or None.
        prompt_spec: valid by the spec's schema for the asset type.
    """

    job_id: UUID
    attempt: int
    asset_type: AssetType
    model_id: str | None
    prompt_spec: Any


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
