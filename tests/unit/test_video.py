"""Films of landscapes: what ffmpeg reads back, that they are always the same, and that nothing is left of one
that is stopped.
"""

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from numpy.typing import NDArray

from services.errors import PassingError
from services.prompts import VIDEO_PROMPT
from worker.providers.landscape.noise import Dice
from worker.providers.landscape.vocabulary import read_scene
from worker.providers.video import VideoSpec, shoot
from worker.providers.video.day import Day
from worker.providers.video.encoder import encode

LAKE = "A misty mountain lake, pine forest on the shore"
SMALL: dict[str, Any] = {"width": 160, "height": 96, "duration_s": 2, "fps": 12}


def silent(_fraction: float, _message: str) -> None:
    """Take a report."""


def read_back(path: Path) -> tuple[str, NDArray[np.uint8]]:
    """Return what ffmpeg says of a film, and its frames."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    told = raw.stderr.decode()
    size = re.search(r"Video: h264 .*?, yuv420p.*?, (\d+)x(\d+)", told)
    assert size is not None, told
    frames = np.frombuffer(raw.stdout, dtype=np.uint8).reshape(-1, int(size[2]), int(size[1]), 3)
    return told, frames


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return path, shoot(VideoSpec(LAKE, **SMALL), path, silent)


def test_a_film_is_what_its_metadata_says(film: tuple[Path, dict[str, object]]) -> None:
    path, facts = film
    told, frames = read_back(path)
    assert frames.shape == (24, 96, 160, 3)
    assert "12 fps" in told
    assert "Duration: 00:00:02.00" in told
    assert facts["codec"] == "h264"
    assert (facts["width"], facts["height"], facts["fps"], facts["frames"]) == (160, 96, 12, 24)
    assert facts["duration_seconds"] == 2
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat"), "a browser begins at once"


def test_day_passes(film: tuple[Path, dict[str, object]]) -> None:
    _, frames = read_back(film[0])
    brightness = frames.mean(axis=(1, 2, 3))
    noon = brightness[5:9].mean()
    assert brightness[-3:].mean() < noon / 2, brightness
    # The night is blue, the dusk is red.
    red, _, blue = frames[-1].mean(axis=(0, 1))
    assert blue > 1.5 * red
    red, _, blue = frames[13].mean(axis=(0, 1))
    assert red > blue


def test_no_frame_jumps(tmp_path: Path) -> None:
    """Falls where the sky of a frame is that of an hour, or the hours are not mixed."""
    path = tmp_path / "film.mp4"
    shoot(VideoSpec(LAKE, 160, 96, duration_s=5), path, silent)
    _, frames = read_back(path)
    steps = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 7, steps


def test_the_same_words_give_the_same_bytes(film: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    again, other = tmp_path / "again.mp4", tmp_path / "other.mp4"
    shoot(VideoSpec(LAKE.upper(), **SMALL), again, silent)
    shoot(VideoSpec(LAKE, **SMALL, seed=7), other, silent)
    assert again.read_bytes() == film[0].read_bytes()
    assert other.read_bytes() != film[0].read_bytes()


def test_progress_rises_to_the_end(tmp_path: Path) -> None:
    told: list[float] = []
    shoot(VideoSpec(LAKE, **SMALL), tmp_path / "film.mp4", lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1)
    assert len(told) > 24


def test_a_film_that_is_stopped_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remembered(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        begun.append(popen(*arguments, **options))
        return begun[-1]

    def stop(fraction: float, _message: str) -> None:
        if fraction > 0.3:
            raise KeyError("stopped")

    monkeypatch.setattr(subprocess, "Popen", remembered)
    with pytest.raises(KeyError, match="stopped"):
        shoot(VideoSpec(LAKE, **SMALL), tmp_path / "film.mp4", stop)
    assert [process.returncode for process in begun] == [-9]


def test_an_encoder_that_fails_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.mkdir()
    with pytest.raises(PassingError, match="ffmpeg ended with"):
        encode([b"\0" * 16 * 16 * 3] * 5, path, size=(16, 16), fps=12)


def test_the_light_of_a_day_never_jumps() -> None:
    dice = Dice("a lake", 1)
    day = Day(read_scene("a lake", dice), dice)
    lights = [day.light(step / 400) for step in range(401)]
    for before, after in pairwise(lights):
        for name in ("zenith", "horizon", "glow", "sun", "ambient", "haze"):
            assert np.abs(getattr(after, name) - getattr(before, name)).max() < 0.2, name
        if before.night == after.night:
            assert abs(after.sun_x - before.sun_x) < 0.01
            assert abs(after.sun_rise - before.sun_rise) < 0.02
        else:
            assert max(before.sun.max(), after.sun.max()) < 0.05, "nobody sees the disc change sides"
    assert [day.stars(instant) for instant in (0, 0.5, 1)] == [0, 0, 1]


def test_the_schema_and_the_spec_agree() -> None:
    assert set(VIDEO_PROMPT["properties"]) == set(VideoSpec.__dataclass_fields__)
    defaults = {name: found["default"] for name, found in VIDEO_PROMPT["properties"].items() if "default" in found}
    assert defaults == {name: getattr(VideoSpec("a lake"), name) for name in defaults}
    validator = Draft202012Validator(VIDEO_PROMPT)
    assert not validator.is_valid({"description": "a lake", "width": 161})
    with pytest.raises(ValueError, match="odd"):
        VideoSpec("a lake", width=161)
