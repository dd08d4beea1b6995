"""What the built-in providers can be asked for: the JSON Schemas of their promptSpec."""

from typing import Final

from services.models import JsonObject

_SEED: Final[JsonObject] = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


def words(most: int, description: str | None = None, *examples: str) -> JsonObject:
    """Return the schema of a text that says something, in so many characters at the most."""
    schema: JsonObject = {"type": "string", "minLength": 1, "maxLength": most, "pattern": r"\S"}
    if description is not None:
        schema["description"] = description
    return schema | {"examples": [*examples]} if examples else schema


def _description(asked: str, *examples: str) -> JsonObject:
    """Return the schema of the sentence that a generator reads."""
    return words(2000, asked, *examples)


SIMULATOR_PROMPT: Final[JsonObject] = {
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
LANDSCAPE_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A landscape painted from fractal noise; its features follow the words of the description.",
    "properties": {
        "description": _description(
            "What to see, in English: place, time of day, weather, features.",
            "A misty mountain lake at dawn, pine forest on the shore",
        ),
        "width": {"type": "integer", "minimum": 64, "maximum": 2048, "default": 1024},
        "height": {"type": "integer", "minimum": 64, "maximum": 2048, "default": 640},
        "seed": _SEED,
    },
    "required": ["description"],
    "additionalProperties": False,
}
MAP_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A map of an invented land, drawn in ink on parchment; the land follows the words.",
    "properties": {
        "description": _description(
            "The land, in English: its shape, climate, mountains, forests, waters, people.",
            "A rocky northern archipelago",
            "An inland kingdom between mountains",
        ),
        "title": words(60, "The name of the land; invented where it is left out.", "The Kingdom of Arador"),
        "width": {"type": "integer", "minimum": 256, "maximum": 2048, "default": 1280},
        "height": {"type": "integer", "minimum": 256, "maximum": 2048, "default": 960},
        "seed": _SEED,
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
VIDEO_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A few seconds of a landscape over which day passes, from dawn to a starry night.",
    "properties": {
        "description": LANDSCAPE_PROMPT["properties"]["description"],
        "width": {"type": "integer", "minimum": 64, "maximum": 1280, "multipleOf": 2, "default": 854},
        "height": {"type": "integer", "minimum": 64, "maximum": 1280, "multipleOf": 2, "default": 480},
        "duration_s": {"type": "number", "minimum": 1, "maximum": 12, "default": 5},
        "fps": {"type": "integer", "minimum": 12, "maximum": 30, "default": 24},
        "seed": _SEED,
    },
    "required": ["description"],
    "additionalProperties": False,
}
MUSIC_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A short piece of music; mood, mode, pace and players follow the words of the description.",
    "properties": {
        "description": _description(
            "What to hear, in English: an occasion, a place, a mood, instruments.",
            "A merry dance in the tavern, fiddle and flute",
        ),
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
        "seed": _SEED,
    },
    "required": ["description"],
    "additionalProperties": False,
}
SHEET_PROMPT: Final[JsonObject] = {
    "type": "object",
    "description": "A lore sheet: title, picture, facts and typeset text. Latin, Greek and Cyrillic letters.",
    "properties": {
        "title": words(200, None, "The Harbour of Vael"),
        "subtitle": {"type": "string", "maxLength": 300},
        "text": words(
            20_000,
            "Paragraphs separated by blank lines. A line that begins with # to ### is a heading, "
            "a paragraph of asterisks a break between scenes.",
            "Vael lies where the river Ost meets the grey sea.\n\n# The tolls\n\nNobody passes free.",
        ),
        "facts": {
            "type": "array",
            "maxItems": 30,
            "items": {
                "type": "object",
                "properties": {
                    "name": words(80),
                    "value": words(300),
                },
                "required": ["name", "value"],
                "additionalProperties": False,
            },
        },
        "picture": {
            "type": "object",
            "properties": {
                "kind": {"enum": ["landscape", "none"]},
                "description": LANDSCAPE_PROMPT["properties"]["description"],
                "seed": _SEED,
            },
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "landscape"}}},
            "then": {"required": ["description"]},
            "additionalProperties": False,
        },
        "page_size": {"enum": ["A4", "letter"], "default": "A4"},
        "author": words(100),
    },
    "required": ["title", "text"],
    "additionalProperties": False,
}
