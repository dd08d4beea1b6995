"""Owns the light: which colours sky, sun, shade and haze have at a time of day, in a weather and a mood.

Colours are written as sRGB and kept as linear light, because only linear light adds up.
"""

# ruff: noqa: PLR2004 - constants of published formulas

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice, Field
from worker.providers.landscape.vocabulary import Scene

# Rec. 709 luminance of linear light.
LUMA: Final = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def linear(code: str, strength: float = 1.0) -> Field:
    """Return the linear light of an sRGB colour such as "ffb37a", times `strength` (IEC 61966-2-1)."""
    encoded = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.float64) / 255
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.asarray(light * strength, dtype=np.float32)


@dataclass(frozen=True)
class Light:
    """Everything that lights one picture; colours are linear RGB.

    Attributes:
        zenith: sky overhead.
        middle: sky halfway up.
        horizon: sky at the horizon, away from the sun.
        glow: what the sun adds around itself.
        sun: colour and strength of direct light.
        ambient: light from the whole sky, filling shadows.
        haze: what distance fades to.
        haze_distance: world units over which two thirds of a colour fade.
        sun_x: place of the disc, 0 (left) to 1 (right).
        sun_rise: height of the disc over the horizon, as a part of the picture's height.
        direction: unit vector to the light (right, up, away from the viewer).
        exposure: stops' factor before tone mapping.
        key: mean brightness that the exposure is pulled towards, 0 to 1.
        cover: share of the sky under cloud, about 0 to 1.
        night: whether stars show and the disc is a moon.
    """

    zenith: Field
    middle: Field
    horizon: Field
    glow: Field
    sun: Field
    ambient: Field
    haze: Field
    haze_distance: float
    sun_x: float
    sun_rise: float
    direction: tuple[float, float, float]
    exposure: float
    key: float
    cover: float
    night: bool


# zenith, middle, horizon, glow, sun, ambient, haze: the look of a clear sky at each time.
_SKIES: Final[Mapping[str, tuple[tuple[str, float], ...]]] = MappingProxyType(
    {
        "dawn": (
            ("3f6299", 0.9),
            ("a3b4cf", 0.95),
            ("f6c9a6", 1.0),
            ("ffa768", 1.0),
            ("ffb98a", 2.5),
            ("8c9cc8", 0.62),
            ("bdb8d2", 0.85),
        ),
        "noon": (
            ("1c5cab", 0.95),
            ("5d9bdc", 1.0),
            ("c3dff2", 1.05),
            ("fff3d8", 0.5),
            ("fff0d6", 2.9),
            ("9cbde8", 0.75),
            ("b4d0ea", 0.95),
        ),
        "dusk": (
            ("2b2a60", 0.9),
            ("a0507c", 0.95),
            ("ff9a56", 1.0),
            ("ffb347", 1.5),
            ("ff9850", 2.5),
            ("6c68b4", 0.72),
            ("b87a84", 0.8),
        ),
        "night": (
            ("060c22", 1.0),
            ("0f2047", 1.0),
            ("2b4a78", 1.0),
            ("9fc0ff", 0.16),
            ("a9c4ff", 0.62),
            ("2c4478", 0.6),
            ("23406c", 0.8),
        ),
    }
)
# Other skies of the same hour, by their middle; one is drawn by lot.
_MIDDLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "dawn": ("a3b4cf", "b9a6c6", "98bccb"),
        "noon": ("5d9bdc", "6aa6d8", "5590d6"),
        "dusk": ("a0507c", "6f6a9e", "a85f62"),
        "night": ("0f2047", "14204c", "0e2a48"),
    }
)
_EXPOSURE: Final = MappingProxyType({"dawn": 1.0, "noon": 1.0, "dusk": 1.0, "night": 1.15})
_KEY: Final = MappingProxyType({"dawn": 0.225, "noon": 0.25, "dusk": 0.19, "night": 0.055})


def choose_light(scene: Scene, dice: Dice) -> Light:
    """Return the light of a scene: the sky of its hour, bent by weather and mood."""
    rng = dice.stream("light")
    # The disc stands near a golden section, and the lit sides of the hills look at it.
    side = -1.0 if rng.random() < 0.5 else 1.0
    sun_x = 0.5 + side * float(rng.uniform(0.09, 0.22))
    rise = {"dawn": 0.07, "noon": 0.62, "dusk": 0.055, "night": 0.33}[scene.time]
    rise += float(rng.uniform(-0.015, 0.05))
    lift = {"dawn": 0.42, "noon": 1.05, "dusk": 0.36, "night": 0.8}[scene.time]
    # A light straight ahead leaves every visible slope in its own shade. Painters cheat, and so do we:
    # the shading light comes from the disc's side rather than from behind the hills.
    raw = np.array([side * 0.92, lift, 0.12 if scene.time != "noon" else -0.35])
    unit = raw / np.linalg.norm(raw)
    colours = [linear(code, strength) for code, strength in _SKIES[scene.time]]
    zenith, middle, horizon, glow, sun, ambient, haze = colours
    middle = linear(str(rng.choice(_MIDDLES[scene.time])))
    light = Light(
        zenith=zenith,
        middle=middle,
        horizon=horizon,
        glow=glow,
        sun=sun,
        ambient=ambient,
        haze=haze,
        haze_distance={"dawn": 46.0, "noon": 66.0, "dusk": 52.0, "night": 50.0}[scene.time],
        sun_x=sun_x,
        sun_rise=rise,
        direction=(float(unit[0]), float(unit[1]), float(unit[2])),
        exposure=_EXPOSURE[scene.time],
        key=_KEY[scene.time],
        cover=float(rng.uniform(0.32, 0.55)),
        night=scene.time == "night",
    )
    return _in_mood(_in_weather(light, scene), scene)


def _in_weather(light: Light, scene: Scene) -> Light:
    if scene.has("clear", "comet"):
        light = replace(light, cover=0.12)
    if scene.has("clouds"):
        light = replace(light, cover=0.68)
    if scene.has("storm", "rain", "snowfall"):
        grey = 0.85 if scene.has("storm") else 0.7
        dim = 0.42 if scene.has("storm") else 0.6 if scene.has("rain") else 0.85
        light = _tinted(light, linear("8a97a8"), grey, dim)
        light = replace(
            light,
            sun=light.sun * np.float32(0.42),
            glow=light.glow * np.float32(0.35),
            ambient=light.ambient * np.float32(1.25),
            haze_distance=22.0 if scene.has("snowfall") else 28.0,
            cover=0.86,
            key=light.key * (0.5 if scene.has("storm") else 0.85),
        )
    if scene.has("mist"):
        light = replace(light, haze_distance=min(light.haze_distance, 32.0))
    if scene.terrain == "dunes":
        # The horizon of dunes is high, and the disc must clear it.
        light = replace(light, sun_rise=light.sun_rise + 0.06)
        sand = light.haze * linear("f7dcae") * np.float32(1.25)
        light = replace(light, haze=sand, cover=light.cover * 0.6)
    return light


def _in_mood(light: Light, scene: Scene) -> Light:
    if scene.has("golden"):
        light = _tinted(light, linear("ffc65c"), 0.3, 1.0)
    if scene.has("enchanted"):
        light = _tinted(light, linear("6fb8e8") if light.night else linear("d9a8ff"), 0.32, 1.0)
    if scene.has("cursed"):
        light = _tinted(light, linear("8fae5a"), 0.62, 0.6)
        light = replace(light, key=light.key * 0.75)
    if scene.has("blood"):
        light = _tinted(light, linear("e8452e"), 0.58, 0.72)
        light = replace(light, key=light.key * 0.8)
    if scene.terrain == "volcano":
        light = _tinted(light, linear("c8705a"), 0.3, 0.72)
        light = replace(light, key=light.key * 0.85)
    if scene.has("dark"):
        light = replace(light, key=light.key * 0.55, exposure=light.exposure * 0.7)
    return light


def _tinted(light: Light, tint: Field, share: float, dim: float) -> Light:
    """Pull every colour towards `tint` at its own brightness, then multiply by `dim`."""

    def bend(colour: Field) -> Field:
        even = tint * np.float32((colour @ LUMA) / (tint @ LUMA))
        return np.asarray((colour * np.float32(1 - share) + even * np.float32(share)) * np.float32(dim))

    return replace(
        light,
        # Overhead and in the shade some of the old colour stays, or the picture has only one.
        zenith=light.zenith * np.float32(0.5 * dim) + bend(light.zenith) * np.float32(0.5),
        middle=bend(light.middle),
        horizon=bend(light.horizon),
        glow=bend(light.glow),
        sun=bend(light.sun),
        ambient=light.ambient * np.float32(0.5 * dim) + bend(light.ambient) * np.float32(0.5),
        haze=bend(light.haze),
    )
