"""The provider `sora`: films by a server that speaks OpenAI's protocol for videos.

OpenAI itself ended the service on 24 September 2026; others speak its protocol.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from services.catalog import ProviderSpec
from services.errors import GenerationError, PassingError, PermanentError
from services.service_catalog import SORA
from worker.providers.openai_sdk import OpenAiService
from worker.providers.protocol import Content, Order, Progress
from worker.providers.refusals import RenderNotFound, is_about_policy, told
from worker.providers.rendering import Look, Stage, render, still_there

PATIENCE: Final = timedelta(seconds=60)
_MODEL: Final = "sora-2"
_STAGES: Final = {
    "queued": Stage.RUNNING,
    "in_progress": Stage.RUNNING,
    "completed": Stage.DONE,
    "failed": Stage.FAILED,
}


class SoraProvider:
    """Asks for a film, follows its render, and downloads it.

    Args:
        service: where to ask.
        wait: before the second look at a render; the waits grow from there.
    """

    name = "sora"

    def __init__(self, service: OpenAiService, *, wait: timedelta = timedelta(seconds=1)) -> None:
        self._service = service
        self._wait = wait

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return SORA

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Make a film."""
        handle, _ = await render(order, progress, self, self._wait)
        async with still_there(order, self.name):
            chunks = await self._service.download(
                self._service.client.videos.with_streaming_response.download_content(handle), about_render=True
            )
        asked = _asked(order)
        width, height = map(int, asked["size"].split("x"))
        metadata = {"model": asked["model"], "codec": "h264", "width": width, "height": height}
        return Content("mp4", "video/mp4", chunks, metadata, float(asked["seconds"]))

    async def begin(self, order: Order) -> str:
        """Ask for a film."""
        with self._service.asked():
            video = await self._service.client.videos.create(**_asked(order))
            return video.id

    async def cancel(self, handle: str) -> None:
        """Delete a render."""
        with suppress(RenderNotFound), self._service.asked(about_render=True):
            await self._service.client.videos.delete(handle)

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def look(self, handle: str) -> Look:
        """Ask how far a film is."""
        with self._service.asked(about_render=True):
            video: Any = await self._service.client.videos.retrieve(handle)
            state, done, problem = str(video.status), video.progress, video.error
        fraction = done / 100 if isinstance(done, int | float) else None
        return Look(_STAGES.get(state, Stage.UNKNOWN), state, fraction, error=_error(problem))


def _asked(order: Order) -> Any:  # noqa: ANN401 - the SDK's type lists what OpenAI took; others take more
    """Return what is asked for, as the protocol names it."""
    wanted = order.prompt_spec
    return {
        "prompt": wanted["description"],
        "model": order.model_id or _MODEL,
        "seconds": str(wanted.get("seconds", 4)),
        "size": wanted.get("size", "1280x720"),
    }


def _error(problem: Any) -> GenerationError | None:  # noqa: ANN401 - whatever the server says
    """Return why a render failed."""
    if problem is None:
        return None
    code, message = str(getattr(problem, "code", "")), told(str(getattr(problem, "message", "")))
    if is_about_policy(code, message):
        return PermanentError("CONTENT_POLICY", f"sora does not make this: {message}")
    return PassingError("RENDER_FAILED", f"sora could not make this: {message}")
