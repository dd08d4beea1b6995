"""What external services can be asked for: offered where their keys are set, whoever runs the jobs."""

from collections.abc import Sequence
from typing import Final

from services.catalog import ProviderSpec
from services.models import AssetType, JsonObject
from services.prompts import words
from services.settings import Settings

_PICTURE: Final[JsonObject] = {
    "type": "object",
    "description": "A picture by OpenAI's image models.",
    "properties": {
        "description": words(32_000, "What to see.", "A harbour town at dusk, in watercolours"),
        "size": {"enum": ["auto", "1024x1024", "1536x1024", "1024x1536"], "default": "auto"},
        "quality": {"enum": ["auto", "low", "medium", "high"], "default": "auto"},
        "background": {"enum": ["auto", "opaque", "transparent"], "default": "auto"},
    },
    "required": ["description"],
    "additionalProperties": False,
}
_SPEECH: Final[JsonObject] = {
    "type": "object",
    "description": "A text read aloud by OpenAI's speech models.",
    "properties": {
        "text": words(4096, "What to say."),
        "voice": words(100, "Which of the service's voices says it.", "ash", "fable") | {"default": "fable"},
        "instructions": words(2000, "How to say it.", "As an old chronicler, slowly."),
        "format": {"enum": ["mp3", "wav", "flac", "opus", "aac"], "default": "mp3"},
    },
    "required": ["text"],
    "additionalProperties": False,
}
_SIZE: Final = r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}(?![\s\S])"
_FILM: Final[JsonObject] = {
    "type": "object",
    "description": "A film by a server that speaks OpenAI's protocol for videos.",
    "properties": {
        "description": words(32_000, "What to see and how the camera moves."),
        "seconds": {"type": "integer", "minimum": 1, "maximum": 60, "default": 4},
        "size": {"type": "string", "pattern": _SIZE, "default": "1280x720"},
    },
    "required": ["description"],
    "additionalProperties": False,
}
_ANY_INPUT: Final[JsonObject] = {
    "type": "object",
    "description": "Whatever the model takes: its page at the service says what that is.",
    "properties": {"input": {"type": "object", "examples": [{"prompt": "A harbour town at dusk"}]}},
    "required": ["input"],
    "additionalProperties": False,
}

OPENAI: Final = ProviderSpec(
    "openai",
    {AssetType.IMAGE: _PICTURE, AssetType.MAP: _PICTURE, AssetType.AUDIO: _SPEECH},
    models=("gpt-image-2.5-flare", "gpt-image-2.5-sunburst", "gpt-image-1-mini", "gpt-4o-mini-tts"),
    # Models come and go faster than releases of ours.
    model_pattern=r"[a-z0-9][a-z0-9.-]{1,60}",
)
REPLICATE: Final = ProviderSpec(
    "replicate",
    dict.fromkeys(AssetType, _ANY_INPUT),
    model_pattern=r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}(:[0-9a-f]{40,64})?",
    needs_model=True,
)
SORA: Final = ProviderSpec(
    "sora", {AssetType.VIDEO: _FILM}, models=("sora-2",), model_pattern=r"[A-Za-z0-9_./:-]{1,100}"
)


def service_specs(settings: Settings) -> Sequence[ProviderSpec]:
    """Return the services that this installation may use."""
    offered = (
        (OPENAI, settings.openai_api_key),
        (REPLICATE, settings.replicate_api_token),
        (SORA, settings.sora_base_url),
    )
    return [spec for spec, key in offered if key is not None]
