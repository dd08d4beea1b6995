"""What can be asked for: the providers, what each makes, and the JSON Schema of its promptSpec.

The API validates against this; the generators themselves live in `worker.providers`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from services.errors import InvalidInput
from services.models import AssetType, JsonObject


@dataclass(frozen=True)
class ProviderSpec:
    """What a provider says of itself.

    Attributes:
        name: how clients name it.
        prompt_schemas: a JSON Schema (2020-12) of promptSpec for each asset type that it makes.
        models: what `modelId` may be; where empty, it must be left out.
    """

    name: str
    prompt_schemas: Mapping[AssetType, JsonObject]
    models: Sequence[str] = ()
    _validators: Mapping[AssetType, Draft202012Validator] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for schema in self.prompt_schemas.values():
            Draft202012Validator.check_schema(schema)
        validators = {kind: Draft202012Validator(schema) for kind, schema in self.prompt_schemas.items()}
        object.__setattr__(self, "_validators", validators)

    @property
    def asset_types(self) -> list[AssetType]:
        """What it makes."""
        return sorted(self.prompt_schemas)

    def check(
        self, asset_type: AssetType, model_id: str | None, prompt_spec: object, path: Sequence[str | int]
    ) -> None:
        """Check a request against what the provider makes.

        Raises:
            InvalidInput: the path of the first value that does not fit, below `path`.
        """
        validator = self._validators.get(asset_type)
        if validator is None:
            raise InvalidInput(
                [*path, "assetType"],
                f"provider {self.name!r} does not make {asset_type}; it makes {', '.join(self.asset_types)}",
            )
        if model_id is not None and model_id not in self.models:
            raise InvalidInput(
                [*path, "modelId"],
                f"provider {self.name!r} has no such model; it has {', '.join(self.models) or 'none to choose'}",
            )
        problem = best_match(validator.iter_errors(prompt_spec))
        if problem is not None:
            raise InvalidInput([*path, "promptSpec", *problem.absolute_path], problem.message[:300])


class Catalog:
    """The providers that this installation offers."""

    def __init__(self, providers: Iterable[ProviderSpec]) -> None:
        self._providers = {provider.name: provider for provider in providers}

    def __iter__(self) -> Iterator[ProviderSpec]:
        return iter(self._providers.values())

    def find(self, name: str, path: Sequence[str | int]) -> ProviderSpec:
        """Return a provider by name.

        Raises:
            InvalidInput: there is none of that name.
        """
        provider = self._providers.get(name)
        if provider is None:
            names = ", ".join(sorted(self._providers))
            raise InvalidInput([*path, "provider"], f"{name!r} is not one of the providers here: {names}")
        return provider


_SIMULATOR_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A run that behaves as told, for load, fault and demonstration runs.",
    "properties": {
        "duration_ms": {"type": "integer", "minimum": 0, "maximum": 3_600_000, "default": 0},
        "steps": {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 0},
        "size_bytes": {"type": "integer", "minimum": 0, "maximum": 1 << 30, "default": 64},
        "fail_attempts": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 0},
        "permanent": {"type": "boolean", "default": False},
        # A `$` would let Python accept a newline behind the code.
        "error_code": {"type": "string", "pattern": r"^[A-Z][A-Z0-9_]{0,63}(?![\s\S])", "default": "SIMULATED"},
    },
    "additionalProperties": False,
}
_LANDSCAPE_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A landscape painted from fractal noise; its features follow the words of the description.",
    "properties": {
        "description": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "pattern": r"\S",
            "description": "What to see, in English: place, time of day, weather, features.",
            "examples": ["A misty mountain lake at dawn, pine forest on the shore"],
        },
        "width": {"type": "integer", "minimum": 64, "maximum": 2048, "default": 1024},
        "height": {"type": "integer", "minimum": 64, "maximum": 2048, "default": 640},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    },
    "required": ["description"],
    "additionalProperties": False,
}
_MAP_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A map of an invented land, drawn in ink on parchment; the land follows the words.",
    "properties": {
        "description": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "pattern": r"\S",
            "description": "The land, in English: its shape, climate, mountains, forests, waters, people.",
            "examples": ["A rocky northern archipelago", "An inland kingdom between mountains"],
        },
        "title": {
            "type": "string",
            "minLength": 1,
            "maxLength": 60,
            "pattern": r"\S",
            "description": "The name of the land; invented where it is left out.",
            "examples": ["The Kingdom of Arador"],
        },
        "width": {"type": "integer", "minimum": 256, "maximum": 2048, "default": 1280},
        "height": {"type": "integer", "minimum": 256, "maximum": 2048, "default": 960},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
        "towns": {
            "type": "integer",
            "minimum": 0,
            "maximum": 30,
            "description": "How many towns at most; as the land has room for where it is left out.",
        },
    },
    "required": ["description"],
    "additionalProperties": False,
}
_MUSIC_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A short piece of music; mood, mode, pace and players follow the words of the description.",
    "properties": {
        "description": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "pattern": r"\S",
            "description": "What to hear, in English: an occasion, a place, a mood, instruments.",
            "examples": ["A merry dance in the tavern, fiddle and flute"],
        },
        # A `$` would let Python accept a newline behind the key.
        "key": {"type": "string", "pattern": r"^[A-G][#b]?(?![\s\S])", "examples": ["D", "F#", "Bb"]},
        "mode": {
            "type": "string",
            "enum": ["major", "minor", "dorian", "phrygian", "lydian", "mixolydian", "aeolian"],
        },
        "tempo_bpm": {
            "type": "number",
            "minimum": 40,
            "maximum": 200,
            "description": "Beats a minute; a beat of 6/8 is a dotted quarter.",
        },
        "duration_s": {"type": "number", "minimum": 4, "maximum": 120, "default": 30},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    },
    "required": ["description"],
    "additionalProperties": False,
}
_SHEET_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A lore sheet: title, picture, facts and typeset text. Latin, Greek and Cyrillic letters.",
    "properties": {
        "title": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": r"\S",
            "examples": ["The Harbour of Vael"],
        },
        "subtitle": {"type": "string", "maxLength": 300},
        "text": {
            "type": "string",
            "minLength": 1,
            "maxLength": 20_000,
            "pattern": r"\S",
            "description": "Paragraphs separated by blank lines. A line that begins with # to ### is a heading, "
            "a paragraph of asterisks a break between scenes.",
            "examples": [
                "Vael lies where the river Ost meets the grey sea.\n\n# The tolls\n\nNobody passes free."
            ],
        },
        "facts": {
            "type": "array",
            "maxItems": 30,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 80, "pattern": r"\S"},
                    "value": {"type": "string", "minLength": 1, "maxLength": 300, "pattern": r"\S"},
                },
                "required": ["name", "value"],
                "additionalProperties": False,
            },
        },
        "picture": {
            "type": "object",
            "properties": {
                "kind": {"enum": ["landscape", "none"]},
                "description": _LANDSCAPE_PROMPT["properties"]["description"],
                "seed": _LANDSCAPE_PROMPT["properties"]["seed"],
            },
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "landscape"}}},
            "then": {"required": ["description"]},
            "additionalProperties": False,
        },
        "page_size": {"enum": ["A4", "letter"], "default": "A4"},
        "author": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": r"\S"},
    },
    "required": ["title", "text"],
    "additionalProperties": False,
}

SIMULATOR: Final = ProviderSpec("simulator", dict.fromkeys(AssetType, _SIMULATOR_PROMPT))
LOCAL: Final = ProviderSpec(
    "local",
    {
        AssetType.IMAGE: _LANDSCAPE_PROMPT,
        AssetType.MAP: _MAP_PROMPT,
        AssetType.AUDIO: _MUSIC_PROMPT,
        AssetType.PDF: _SHEET_PROMPT,
    },
    models=("landscape",),
)


def build_catalog(*, simulator: bool) -> Catalog:
    """Return what this installation offers."""
    return Catalog([LOCAL, SIMULATOR] if simulator else [LOCAL])
