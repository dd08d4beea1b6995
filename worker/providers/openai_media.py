"""The provider `openai`: pictures and speech by OpenAI's own models.

Its APIs answer with what they have made, and have no id to go on with: what an attempt loses on the way is paid
for, and made again by the next one.
"""

import base64
import binascii
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

from PIL import Image

from services.catalog import ProviderSpec
from services.models import AssetType
from services.service_catalog import OPENAI
from worker.providers.openai_sdk import OpenAiService
from worker.providers.protocol import Content, Order, Progress
from worker.providers.refusals import nonsense

PATIENCE: Final = timedelta(minutes=5)
"""The longest that a picture takes at the highest quality is about two minutes."""
_PAINTER: Final = "gpt-image-2.5-flare"
_SPEAKER: Final = "gpt-4o-mini-tts"
_SOUNDS: Final = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "aac": "audio/aac",
}


class OpenAiProvider:
    """Asks, and waits for the answer.

    Args:
        service: where to ask.
    """

    def __init__(self, service: OpenAiService) -> None:
        self._service = service

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return OPENAI

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Make a picture, or speech."""
        progress(0.05, "asked")
        if order.asset_type is AssetType.AUDIO:
            return await self._speak(order)
        return await self._paint(order)

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def _paint(self, order: Order) -> Content:
        wanted = order.prompt_spec
        model = order.model_id or _PAINTER
        with self._service.asked():
            answer: Any = await self._service.client.images.generate(
                model=model,
                prompt=wanted["description"],
                size=wanted.get("size", "auto"),
                quality=wanted.get("quality", "auto"),
                background=wanted.get("background", "auto"),
                output_format="png",
            )
        try:
            png = base64.b64decode(answer.data[0].b64_json, validate=True)
            width, height = Image.open(io.BytesIO(png)).size
        except (AttributeError, IndexError, TypeError, binascii.Error, OSError):
            raise nonsense("openai") from None
        return Content("png", "image/png", _whole(png), {"model": model, "width": width, "height": height})

    async def _speak(self, order: Order) -> Content:
        wanted = order.prompt_spec
        model, form = order.model_id or _SPEAKER, wanted.get("format", "mp3")
        voice = wanted.get("voice", "fable")
        optional: dict[str, Any] = {"instructions": wanted["instructions"]} if "instructions" in wanted else {}
        chunks = await self._service.download(
            self._service.client.audio.speech.with_streaming_response.create(
                model=model, input=wanted["text"], voice=voice, response_format=form, **optional
            )
        )
        return Content(form, _SOUNDS[form], chunks, {"model": model, "voice": voice, "codec": form})


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
