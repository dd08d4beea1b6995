"""The landscape painter: the same sentence, the same picture; its words decide what is seen."""

import hashlib
import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from worker.providers.landscape import LandscapeSpec, paint, render_png
from worker.providers.landscape.vocabulary import WORDS

ROOT = Path(__file__).resolve().parents[2]
LAKE = "A misty mountain lake at dawn, pine forest on the shore"


def _ignore(done: float, stage: str) -> None:
    del done, stage


def _pixels(description: str, seed: int | None = 7) -> NDArray[np.float64]:
    image = paint(LandscapeSpec(description, 160, 100, seed), _ignore)
    return np.asarray(image, dtype=np.float64)


def _facts(description: str) -> dict[str, object]:
    return render_png(LandscapeSpec(description, 64, 64), _ignore)[1]


def test_same_spec_gives_the_same_bytes_here_and_in_another_process() -> None:
    spec = LandscapeSpec(LAKE, 160, 100)
    data = render_png(spec, _ignore)[0]
    assert render_png(spec, _ignore)[0] == data

    program = (
        "import hashlib; from worker.providers.landscape import LandscapeSpec, render_png;"
        f"data = render_png(LandscapeSpec({LAKE!r}, 160, 100), lambda *_: None)[0];"
        "print(hashlib.sha256(data).hexdigest())"
    )
    # Another hash seed shows a set or dict order that leaks into the picture.
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4321"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_case_and_white_space_do_not_change_the_picture() -> None:
    assert np.array_equal(_pixels("A  Dark\nFOREST", None), _pixels("a dark forest", None))


def test_other_descriptions_and_other_seeds_give_other_pictures() -> None:
    first = _pixels("mountains at noon", 1)
    assert np.abs(first - _pixels("mountains at noon", 2)).mean() > 4
    assert np.abs(first - _pixels("mountains of Zhuul at noon", 1)).mean() > 4


def test_png_has_the_size_that_was_asked_for_and_facts_say_so() -> None:
    data, facts = render_png(LandscapeSpec("hills", 96, 64, seed=5), _ignore)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (96, 64))
    assert (facts["width"], facts["height"], facts["seed"]) == (96, 64, 5)


def test_seed_from_the_description_can_be_given_back_for_the_same_picture() -> None:
    data, facts = render_png(LandscapeSpec("two moons over ruins", 64, 64), _ignore)
    seed = facts["seed"]
    assert isinstance(seed, int)
    assert render_png(LandscapeSpec("two moons over ruins", 64, 64, seed), _ignore)[0] == data


def test_night_is_darker_than_noon() -> None:
    assert _pixels("hills at night").mean() < 0.5 * _pixels("hills at noon").mean()


def test_lava_adds_red_light() -> None:
    def glowing(pixels: NDArray[np.float64]) -> float:
        return float(((pixels[..., 0] > 150) & (pixels[..., 0] > 2.2 * pixels[..., 2])).mean())

    assert glowing(_pixels("mountain over a sea at night")) < 0.001
    assert glowing(_pixels("volcano over a sea at night")) > 0.01


def test_snow_makes_the_ground_brighter_and_less_green() -> None:
    bare, snowy = _pixels("plain at noon, clear")[70:], _pixels("snowy plain at noon, clear")[70:]

    def green(pixels: NDArray[np.float64]) -> float:
        return float((pixels[..., 1] - pixels[..., 2]).mean())

    assert snowy.mean() > bare.mean() + 15
    assert green(snowy) < green(bare) - 30


def test_mood_changes_the_colour_of_light() -> None:
    def redness(pixels: NDArray[np.float64]) -> float:
        return float((pixels[..., 0] - pixels[..., 2]).mean())

    assert redness(_pixels("blood-red mountains at noon")) > redness(_pixels("mountains at noon")) + 30


def test_mist_hides_the_contrast_of_the_land() -> None:
    clear, misty = _pixels("mountain lake at noon")[45:62], _pixels("misty mountain lake at noon")[45:62]
    assert misty.std(axis=1).mean() < 0.8 * clear.std(axis=1).mean()


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Golden dunes at sunset with two moons", {"time_of_day": "dusk", "terrain": "dunes", "water": "none"}),
        ("Tropical islands at noon", {"time_of_day": "noon", "terrain": "islands", "water": "sea"}),
        ("City of lights in a canyon at midnight", {"time_of_day": "night", "terrain": "canyon"}),
        ("a river through the hills at dawn", {"time_of_day": "dawn", "terrain": "hills", "water": "river"}),
    ],
)
def test_words_choose_the_scene(description: str, expected: dict[str, str]) -> None:
    assert expected.items() <= _facts(description).items()


def test_facts_name_the_features_that_words_asked_for() -> None:
    recognised = _facts("Ruined castles in a snowstorm, floating islands, two moons, no forest")["recognised"]
    assert recognised == {
        "structures": ["ruins", "castle"],
        "weather": ["snowfall"],
        "ground": ["snow"],
        "terrain": ["floating"],
        "sky": ["two_moons"],
    }


def test_a_description_without_known_words_still_becomes_a_picture() -> None:
    assert _facts("")["recognised"] == {}
    assert _pixels("qwxz vbn", None).std() > 10


@pytest.mark.parametrize(("width", "height"), [(63, 100), (100, 63), (2049, 100), (100, 2049), (0, 0), (-64, 64)])
def test_sizes_out_of_range_are_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="outside 64 to 2048"):
        LandscapeSpec("hills", width, height)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (64, 400), (700, 64)])
def test_odd_shapes_are_painted(width: int, height: int) -> None:
    image = paint(LandscapeSpec("a castle by a lake, floating islands, storm", width, height), _ignore)
    assert image.size == (width, height)


def test_progress_rises_from_0_to_1() -> None:
    told: list[tuple[float, str]] = []
    render_png(LandscapeSpec("castle by the sea", 64, 64), lambda done, stage: told.append((done, stage)))
    parts = [done for done, _ in told]
    assert (parts[0], parts[-1]) == (0.0, 1.0)
    assert all(before < after for before, after in pairwise(parts))
    assert 8 <= len(told) <= 14
    assert {"sky", "water", "encoding"} <= {stage for _, stage in told}


def test_a_reporter_that_raises_stops_the_painting() -> None:
    class Cancelled(Exception):
        pass

    told: list[str] = []

    def refuse(done: float, stage: str) -> None:
        told.append(stage)
        if done > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        render_png(LandscapeSpec("hills", 64, 64), refuse)
    assert "encoding" not in told
    assert told[-1] == "clouds"


_WORDS = st.sampled_from(
    [word for features in WORDS.values() for words in features.values() for word in words.split()]
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(_WORDS, max_size=7))
def test_any_words_together_give_a_picture_with_contrast(words: list[str]) -> None:
    pixels = np.asarray(paint(LandscapeSpec(" ".join(words).replace("_", " "), 64, 64), _ignore), dtype=np.float64)
    assert pixels.std() > 3
    assert 2 < pixels.mean() < 250
