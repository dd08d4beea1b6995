"""Owns the sky: its gradient, sun and moons, stars, aurora, clouds and a volcano's smoke."""

# ruff: noqa: PLR2004 - a painter's proportions

from typing import Final

import numpy as np

from worker.providers.landscape.noise import Field, curve, sample, smoothstep, spectral
from worker.providers.landscape.palette import Light, linear
from worker.providers.landscape.perspective import View
from worker.providers.landscape.setting import Setting

# How much darker the seas of a moon are.
_MOON_SPOTS: Final = 0.3


def haze_of(view: View, light: Light, sky: Field) -> Field:
    """Return the colour that distance fades to, for every column: that of `sky` over the horizon."""
    off = (
        np.arange(view.width, dtype=np.float32) / np.float32(view.width) - np.float32(light.sun_x)
    ) * np.float32(1.6)
    near = np.exp(-((off / np.float32(0.42)) ** 2))
    low = np.float32(np.exp(-max(light.sun_rise, 0) * 6))
    haze = light.haze + near[:, None] * light.glow * (np.float32(0.42) * low)
    row = min(sky.shape[0], round(view.horizon)) - 2
    return np.asarray(haze * np.float32(0.5) + sky[row] * np.float32(0.5), dtype=np.float32)


class Sky:
    """Paints the upper part of a picture, down to `rows`, row by column by linear RGB.

    Args:
        setting: what to show.
        rows: how many rows from the top the sky may be seen in, reflections included.
        wind: how far the clouds have drifted, in widths of their pattern.
        stars: how bright the stars of a night are.
    """

    def __init__(self, setting: Setting, rows: int, *, wind: float = 0.0, stars: float = 1.0) -> None:
        self._wind = wind
        self._starlight = np.float32(stars)
        scene, view, light, dice = setting.scene, setting.view, setting.light, setting.dice
        self._terrain = setting.terrain
        self._scene = scene
        self._view = view
        self._light = light
        self._dice = dice
        tall = np.float32(view.height)
        self._y = np.arange(rows, dtype=np.float32)[:, None]
        self._x = np.arange(view.width, dtype=np.float32)[None, :]
        self._rise = (np.float32(view.horizon) - self._y) / tall
        self._off = (self._x - np.float32(light.sun_x * view.width)) / tall
        self._texture = spectral(dice.stream("clouds"), 512, 1.55)
        self.colour = self._gradient()

    def _gradient(self) -> Field:
        light = self._light
        up = np.clip(self._rise / np.float32(self._view.horizon / self._view.height), 0, 1)
        middle = smoothstep(0.0, 0.5, up)[..., None]
        top = smoothstep(0.3, 1.05, up)[..., None]
        column = light.horizon + (light.middle - light.horizon) * middle
        column = column + (light.zenith - column) * top
        away = np.sqrt((self._off * np.float32(0.62)) ** 2 + (self._rise - np.float32(light.sun_rise)) ** 2)
        glow = np.exp(away * np.float32(-3.2)) * np.float32(0.55) + np.exp(away * np.float32(-11)) * np.float32(
            0.6
        )
        return np.asarray(column + glow[..., None] * light.glow, dtype=np.float32)

    def hang_lights(self) -> None:
        """Add stars, the galaxy, aurora, moons and the sun."""
        if self._light.night:
            self._stars()
        if self._scene.has("nebula", "enchanted") and self._light.night:
            self._galaxy()
        if self._scene.has("comet"):
            self._comet()
        if self._scene.has("aurora"):
            self._aurora()
        self._discs()

    def _stars(self) -> None:
        rng = self._dice.stream("stars")
        rows, width = self.colour.shape[:2]
        count = 900
        place = rng.random((count, 4))
        power = (0.03 + 0.9 * place[:, 2] ** 9) * np.float32(1.1) * self._starlight
        up = 1 - place[:, 1] * 0.97
        y = (up * self._view.horizon).astype(np.int64)
        # Air near the horizon swallows stars.
        power = power * np.clip((1 - up) * 2.2 + 0.12, 0, 1)
        x = (place[:, 0] * width).astype(np.int64)
        tint = np.stack([0.75 + place[:, 3] * 0.5, np.full(count, 0.95), 1.25 - place[:, 3] * 0.5], axis=-1)
        inside = (y < rows - 1) & (x < width - 1) & (x > 0) & (y > 0)
        bright = inside & (power > 0.3)
        light = (power[:, None] * tint).astype(np.float32) * np.float32(
            max(0.6, min(1.6, self._view.height / 640))
        )
        np.add.at(self.colour, (y[inside], x[inside]), light[inside])
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            np.add.at(self.colour, (y[bright] + dy, x[bright] + dx), light[bright] * np.float32(0.3))

    def _galaxy(self) -> None:
        rng = self._dice.stream("galaxy")
        lean = np.float32(rng.choice([-1, 1]) * rng.uniform(0.5, 0.9))
        centre = np.float32(rng.uniform(0.35, 0.65))
        wide = np.float32(self._view.width)
        x = self._x / wide - centre
        y = self._rise - np.float32(0.36)
        cloud = sample(
            self._texture,
            x * np.float32(0.55) + y * np.float32(0.2),
            np.broadcast_to(y * np.float32(0.7), (y.shape[0], x.shape[1])) - x * np.float32(0.1),
        )
        knots = sample(
            self._texture,
            x * np.float32(1.7) + np.float32(0.3),
            np.broadcast_to(y * np.float32(2.1), cloud.shape) + x,
        )
        band = np.exp(-(((y * lean - x) / np.float32(0.17)) ** 2))
        gas = band * np.clip(np.float32(0.5) + cloud * np.float32(0.3) + knots * np.float32(0.14), 0, 2)
        dust = np.exp(-(((y * lean - x - np.float32(0.02)) / np.float32(0.05)) ** 2)) * np.clip(
            np.float32(0.4) - knots * np.float32(0.5), 0, 1
        )
        warm = np.clip(np.float32(0.5) + knots * np.float32(0.35) + cloud * np.float32(0.2), 0, 1)[..., None]
        tint = linear("4868d0") * (1 - warm) + linear("d070b8") * warm
        fade = smoothstep(0.0, 0.22, self._rise)
        self.colour += tint * (gas * (1 - dust * np.float32(0.7)) * fade * np.float32(0.30))[..., None]

    def _comet(self) -> None:
        rng = self._dice.stream("comet")
        x0 = np.float32(rng.uniform(0.25, 0.75) * self._view.width / self._view.height)
        y0 = np.float32(rng.uniform(0.3, 0.42))
        lean = np.float32(rng.uniform(-0.6, -0.35))
        x = self._x / np.float32(self._view.height) - x0
        y = self._rise - y0
        along = (x * np.cos(lean) - y * np.sin(lean)) * np.float32(-np.sign(self._light.sun_x - 0.5))
        across = x * np.sin(lean) + y * np.cos(lean)
        wide = np.float32(0.003) + np.maximum(along, 0) * np.float32(0.06)
        tail = np.exp(-((across / wide) ** 2)) * np.exp(-np.maximum(along, 0) * 5) * (along > 0)
        head = np.exp(-((along**2 + across**2) / np.float32(0.00004)))
        self.colour += (tail * np.float32(0.9) + head * 3)[..., None] * linear("cfe4ff")

    def _aurora(self) -> None:
        rng = self._dice.stream("aurora")
        across = self._x / np.float32(self._view.width)
        strength = np.float32(0.5 if self._light.night else 0.16)
        for index in range(3):
            base = (
                np.float32(0.15 + 0.085 * index)
                + curve(rng, 4, across) * np.float32(0.075)
                + curve(rng, 11, across) * np.float32(0.016)
            )
            fold = curve(rng, 9, across) * np.float32(0.5) + np.float32(0.6)
            rays = sample(
                self._texture,
                across * np.float32(3.3) + np.float32(index * 0.37) + base * 2,
                np.full_like(across, 0.2 + index * 0.3),
            )
            drape = np.maximum(fold + rays * np.float32(0.3), 0)
            over = self._rise - base
            height = np.float32(0.13) + rays * np.float32(0.035)
            body = np.exp(-np.maximum(over, 0) / height) * smoothstep(-0.022, 0.012, over)
            body *= drape * strength * np.float32(1.0 - 0.22 * index)
            rise = np.clip(over * np.float32(3.6), 0, 1)[..., None]
            tint = linear("3dff9a") * (1 - rise) + linear("9a4dff") * rise
            self.colour += body[..., None] * tint

    def _discs(self) -> None:
        scene, light = self._scene, self._light
        rng = self._dice.stream("moons")
        if scene.has("storm", "snowfall", "rain") and not scene.has("moon", "two_moons"):
            return
        if not light.night:
            away = np.sqrt(self._off**2 + (self._rise - np.float32(light.sun_rise)) ** 2)
            disc = 1 - smoothstep(0.024, 0.027, away)
            self.colour += disc[..., None] * (light.glow * np.float32(5) + light.sun * np.float32(0.8))
            if scene.has("two_moons", "moon"):
                self._moon(1 - light.sun_x + float(rng.uniform(-0.05, 0.05)), 0.40, 0.055, 0.6)
            if scene.has("two_moons"):
                self._moon(1 - light.sun_x + 0.13 * (1 if light.sun_x > 0.5 else -1), 0.30, 0.022, 0.6)
            return
        away = np.sqrt(self._off**2 + (self._rise - np.float32(light.sun_rise)) ** 2)
        halo = np.exp(away * np.float32(-14)) * np.float32(0.5) + np.exp(away * np.float32(-5)) * np.float32(0.16)
        self.colour += halo[..., None] * light.sun
        self._moon(light.sun_x, light.sun_rise, 0.042, 0.36)
        if scene.has("two_moons"):
            second = light.sun_x + (0.17 if light.sun_x < 0.5 else -0.17)
            self._moon(second, light.sun_rise + 0.1, 0.02, 0.34)

    def _moon(self, centre: float, rise: float, radius: float, power: float) -> None:
        """Draw a moon over whatever is behind it; it never shows more of the sky than its lit part."""
        x = (self._x - np.float32(centre * self._view.width)) / np.float32(self._view.height * radius)
        y = (self._rise - np.float32(rise)) / np.float32(radius)
        away = np.sqrt(x * x + y * y)
        cover = 1 - smoothstep(0.97, 1.03, away)
        bulge = np.sqrt(np.maximum(1 - away * away, 0))
        toward = np.float32(np.sign(self._light.sun_x - centre) if not self._light.night else -0.35)
        if self._light.night:
            lit = smoothstep(
                -0.05, 0.5, bulge * np.float32(0.75) + x * toward * np.float32(0.7) - y * np.float32(0.25)
            )
        else:
            # By day the sun stands beside it and low: a half moon.
            lit = smoothstep(
                -0.04, 0.25, bulge * np.float32(0.3) + x * toward * np.float32(0.8) - y * np.float32(0.4)
            )
        box = np.s_[
            :,
            max(0, int((centre - radius) * self._view.width) - 4) : int((centre + radius) * self._view.width) + 4,
        ]
        marks = sample(
            self._texture,
            (x * np.float32(0.11) + np.float32(centre))[:, box[1]] + 0 * y,
            y * np.float32(0.11) + 0 * x[:, box[1]],
        )
        tint = linear("ffb08a" if self._scene.has("blood") else "fff4df")
        face = np.float32(0.95 * power) * lit[box] * (1 + np.clip(marks, -2, 1) * np.float32(_MOON_SPOTS))
        shown = (cover[box] * (lit[box] if not self._light.night else 1))[..., None]
        patch = self.colour[box]
        self.colour[box] = patch * (1 - shown) + shown * (face[..., None] * tint + patch * np.float32(0.3))

    def drift_clouds(self) -> None:
        """Lay a deck of clouds over the sky, in perspective, lit from the sun's side."""
        light = self._light
        rng = self._dice.stream("drift")
        shift_x, shift_y = (np.float32(value) for value in rng.random(2))
        lift = np.maximum(self._rise, 0) + np.float32(0.085)
        far = np.float32(0.16) / lift
        shift_x += np.float32(self._wind)
        x = (self._x / np.float32(self._view.width) - np.float32(0.5)) * far * np.float32(1.9) + shift_x
        y = np.broadcast_to(far * np.float32(1.35) + shift_y, x.shape)
        towards = np.float32(np.sign(light.sun_x - 0.5))
        body = sample(self._texture, x, y)
        tatter = sample(self._texture, x * np.float32(3.7) + np.float32(0.31), y * np.float32(3.7))
        density = body + tatter * np.float32(0.24)
        lit_side = sample(
            self._texture,
            x + towards * np.float32(0.018),
            y + np.float32(0.02 if light.sun_rise < 0.3 else -0.02),
        )
        relief = np.clip(np.float32(0.55) + (body - lit_side) * np.float32(0.95) + tatter * np.float32(0.06), 0, 1)
        threshold = np.float32(1.25 - 2.3 * light.cover)
        cover = smoothstep(0.0, 0.95, density - threshold)
        thick = smoothstep(0.3, 1.9, density - threshold)
        cover *= smoothstep(-0.01, 0.10, self._rise) * np.float32(0.94)
        away = np.sqrt((self._off * np.float32(0.8)) ** 2 + (self._rise - np.float32(light.sun_rise)) ** 2)
        shine = np.exp(away * np.float32(-3.4))
        shade = light.ambient * np.float32(0.55) + light.middle * np.float32(0.30)
        bright = light.sun * np.float32(0.30) + light.horizon * np.float32(0.30)
        lit = relief * (1 - thick * np.float32(0.62))
        cloud = shade + (bright - shade) * lit[..., None]
        # Thin rims near the disc let its light through.
        cloud += light.glow * (shine * (1 - thick * np.float32(0.85)) * np.float32(0.75))[..., None]
        # Far clouds sink into the haze like everything else.
        distance = np.exp(-np.maximum(self._rise, 0) * np.float32(7))[..., None] * np.float32(0.55)
        cloud += (self.colour - cloud) * distance
        self.colour += (cloud - self.colour) * cover[..., None]

    def raise_smoke(self) -> None:
        """Blow a plume of ash from the crater, lit from below by the lava."""
        summit = self._terrain.summit
        if summit is None:
            return
        view = self._view
        x0 = np.float32(view.column(summit.x, summit.z))
        y0 = view.row(summit.height - 1.2, summit.z)
        tall = np.float32(view.height)
        up = (y0 - self._y) / tall
        rise = np.maximum(up, 0)
        wind = np.float32(-np.sign(summit.x)) * np.float32(0.42)
        lean = rise**1.5 * wind
        off = (self._x - x0) / tall - lean
        width = np.float32(0.034) + rise * np.float32(0.46)
        billow = sample(
            self._texture,
            off * np.float32(0.9) + np.float32(0.2),
            np.broadcast_to(np.sqrt(rise) * np.float32(1.1), off.shape),
        )
        curl = sample(
            self._texture,
            off * np.float32(3.4),
            np.broadcast_to(np.sqrt(rise) * np.float32(4.1), off.shape) + billow * np.float32(0.05),
        )
        edge = np.abs(off) / width + billow * np.float32(0.26) + curl * np.float32(0.16)
        cover = (
            (1 - smoothstep(0.55, 1.1, edge))
            * smoothstep(-0.01, 0.03, up)
            * np.exp(-rise * np.float32(0.6))
            * np.float32(0.93)
        )
        relief = np.clip(
            np.float32(0.5)
            - off / width * np.float32(np.sign(wind) * 0.3)
            + curl * np.float32(0.22)
            + billow * np.float32(0.1),
            0,
            1,
        )
        smoke = _smoke(self._light, relief)
        heat = np.exp(-rise * 9) * np.clip(np.float32(0.75) + curl * np.float32(0.3), 0, 2)
        smoke += heat[..., None] * np.array([1.7, 0.38, 0.07], dtype=np.float32)
        self.colour += (smoke - self.colour) * cover[..., None]
        fire = np.exp(-np.sqrt(((self._x - x0) / tall) ** 2 + up**2) * 7) * np.float32(0.5)
        self.colour += fire[..., None] * np.array([1.0, 0.2, 0.04], dtype=np.float32)


def _smoke(light: Light, relief: Field) -> Field:
    """Return the colour of smoke between its shaded (0) and its lit (1) side."""
    shade = light.ambient * np.float32(0.16)
    bright = light.ambient * np.float32(0.42) + light.sun * np.float32(0.09)
    return np.asarray(shade + (bright - shade) * relief[..., None], dtype=np.float32)
