"""The map-maker: the same wish, the same map; rivers run down, names keep apart, words make the land."""

import hashlib
import io
import subprocess
import sys
import time
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from services.prompts import MAP_PROMPT
from worker.providers.landscape.noise import Dice
from worker.providers.map import MapSpec, draw_map, plan_of
from worker.providers.map.furniture import FRAME, title_lines
from worker.providers.map.lettering import Box
from worker.providers.map.names import Language
from worker.providers.map.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
LANDS = (
    "a rocky northern archipelago",
    "a desert continent with one great river",
    "a forested peninsula with many towns",
    "an inland kingdom between mountains",
)
SMALL: dict[str, Any] = {"width": 320, "height": 256}


def _ignore(done: float, stage: str) -> None:
    del done, stage


@cache
def _plan(description: str, seed: int = 7, width: int = 360, height: int = 270, towns: int | None = None) -> Plan:
    return plan_of(MapSpec(description, None, width, height, seed, towns), _ignore)


@pytest.fixture(scope="module", params=LANDS)
def plan(request: pytest.FixtureRequest) -> Plan:
    return _plan(request.param, width=640, height=480)


def test_same_spec_gives_the_same_bytes_here_and_in_another_process() -> None:
    spec = MapSpec(LANDS[0], **SMALL)
    data = draw_map(spec, _ignore)[0]
    assert draw_map(spec, _ignore)[0] == data

    program = (
        "import hashlib; from worker.providers.map import MapSpec, draw_map;"
        f"data = draw_map(MapSpec({LANDS[0]!r}, width=320, height=256), lambda *_: None)[0];"
        "print(hashlib.sha256(data).hexdigest())"
    )
    # Another hash seed shows a set or dict order that leaks into the picture.
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": ":".join([str(ROOT), *sys.path]), "PYTHONHASHSEED": "4321"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_png_has_the_size_that_was_asked_for_and_facts_say_so() -> None:
    data, facts = draw_map(MapSpec("a green coast", seed=5, **SMALL), _ignore)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (320, 256))
    assert (facts["width"], facts["height"], facts["seed"]) == (320, 256, 5)
    towns = facts["towns"]
    assert isinstance(towns, list)
    assert towns[0]["kind"] == "capital"
    assert all(0 < town["x"] < 320 and 0 < town["y"] < 256 for town in towns)


def test_seed_is_of_the_whole_spec_and_can_be_given_back_for_the_same_map() -> None:
    spec = MapSpec("a coast", width=256, height=256)
    assert MapSpec("a  Coast", width=256, height=256).seed_used == spec.seed_used
    assert MapSpec("a coast", title="Here", width=256, height=256).seed_used != spec.seed_used
    again = MapSpec("a coast", seed=spec.seed_used, width=256, height=256)
    assert draw_map(again, _ignore)[0] == draw_map(spec, _ignore)[0]


def test_other_seeds_give_other_lands() -> None:
    first, second = _plan("a coast", 1), _plan("a coast", 2)
    assert first.name != second.name
    assert {town.name for town in first.towns}.isdisjoint(town.name for town in second.towns)


def test_rivers_run_strictly_downhill_into_water_or_a_river_that_does(plan: Plan) -> None:
    height = plan.drainage.height.ravel()
    links = plan.relief.lattice.links
    assert plan.drainage.rivers
    reached: set[int] = set()
    for river in plan.drainage.rivers:
        assert all(height[below] < height[above] for above, below in pairwise(river.nodes))
        assert all(below in links[above] for above, below in pairwise(river.nodes))
        assert list(river.flow) == sorted(river.flow)
        if river.joins:
            # The rivers are listed so that a branch comes behind what it joins.
            assert river.nodes[-1] in reached
        else:
            assert height[river.nodes[-1]] <= 0
        assert all(height[node] > 0 for node in river.nodes[:-1])
        reached.update(river.nodes)


def test_rivers_meet_only_where_one_joins_the_other(plan: Plan) -> None:
    # Links of the lattice do not cross, so rivers could only meet at its points.
    for one, other in combinations(plan.drainage.rivers, 2):
        shared = set(one.nodes[:-1]) & set(other.nodes[:-1])
        assert not shared


def test_links_of_the_lattice_do_not_cross() -> None:
    lattice = _plan("a coast", width=256, height=256).relief.lattice
    x, y = lattice.x.ravel(), lattice.y.ravel()

    def area(a: int, b: int, c: int) -> float:
        return float((x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a]))

    columns = lattice.shape[1]
    for node in range(lattice.shape[0] * columns - columns):
        right = node + 1
        below = [other for other in lattice.links[node] if other > right and other in lattice.links[right]]
        # A triangle that has not folded over turns the way it did before its corners moved.
        assert all(area(node, right, other) > 0 for other in below if right in lattice.links[node])


def test_towns_stand_on_land_apart_and_within_the_frame(plan: Plan) -> None:
    height = plan.drainage.height.ravel()
    assert plan.towns[0].site.kind == "capital"
    for town in plan.towns:
        assert height[town.site.node] > 0
        assert town.site.node not in plan.drainage.lakes
        assert FRAME < town.site.x < plan.width - FRAME
        assert FRAME < town.site.y < plan.height - FRAME
    assert len({town.name for town in plan.towns}) == len(plan.towns)


def test_ports_are_at_the_water() -> None:
    shown = _plan("a peninsula with many towns", width=640, height=480)
    height, links = shown.drainage.height.ravel(), shown.relief.lattice.links
    ports = [town.site for town in shown.towns if town.site.kind == "port"]
    assert ports
    assert all(any(height[other] <= 0 for other in links[site.node]) for site in ports)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("seed", [7, 8])
@pytest.mark.parametrize("land", LANDS)
def test_no_name_covers_another_or_leaves_the_map(land: str, seed: int) -> None:
    shown = _plan(land, seed)
    labels = [*(town.label for town in shown.towns), *shown.labels]
    for label in labels:
        for left, top, right, bottom in label.boxes:
            assert FRAME < left < right < shown.width - FRAME
            assert FRAME < top < bottom < shown.height - FRAME
    for one, other in combinations(labels, 2):
        assert not any(_overlap(box, more) for box in one.boxes for more in other.boxes), (one.text, other.text)
    plaque = shown.furniture.cartouche.box
    assert not any(_overlap(box, plaque) for label in labels for box in label.boxes)


def _count(shown: Plan, *kinds: str) -> int:
    return sum(plant.kind in kinds for plant in shown.plants)


def test_words_of_relief_and_cover_are_followed() -> None:
    assert _count(_plan("a mountainous coast"), "mountain") > 1.5 * _count(_plan("a flat coast"), "mountain")
    assert _count(_plan("a forested coast"), "oak", "pine") > 1.5 * _count(
        _plan("a coast without forests"), "oak", "pine"
    )
    assert _count(_plan("a marshy coast"), "reeds") > _count(_plan("a coast without marshes"), "reeds") == 0
    assert _count(_plan("a coast without mountains"), "mountain") == 0


def test_words_of_climate_are_followed() -> None:
    assert _count(_plan("a desert coast"), "dune") > 10 > _count(_plan("a coast"), "dune")
    assert _count(_plan("a tropical coast"), "palm") > 10 > _count(_plan("a northern coast"), "palm")
    assert _count(_plan("an icy wooded coast"), "oak") == 0


def test_words_of_shape_are_followed() -> None:
    def land(shown: Plan) -> float:
        return float((shown.drainage.height > 0).mean())

    def islands(shown: Plan) -> int:
        return sum(dry for _, dry in shown.coasts)

    assert islands(_plan("an archipelago", width=640, height=480)) > 5
    assert land(_plan("an archipelago")) < land(_plan("a continent")) < land(_plan("an inland realm"))


def test_words_of_people_and_water_are_followed() -> None:
    assert len(_plan("a coast with many towns").towns) > 1.5 * len(_plan("a wild, empty coast").towns)
    assert sum(not river.joins for river in _plan("a desert coast with one great river").drainage.rivers) == 1
    assert len(_plan("a coast with many rivers").drainage.rivers) > len(_plan("a desert coast").drainage.rivers)
    assert _plan("an empire by the sea").name.startswith("The Empire of ")


@pytest.mark.parametrize("towns", [0, 1, 30])
def test_towns_are_at_most_as_many_as_asked_for(towns: int) -> None:
    shown = _plan("a coast", towns=towns)
    assert len(shown.towns) <= towns
    assert bool(shown.towns) == bool(towns)


def test_title_is_the_one_that_was_given() -> None:
    assert draw_map(MapSpec("a coast", title="The Kingdom of Arador", **SMALL), _ignore)[1]["name"] == (
        "The Kingdom of Arador"
    )
    assert title_lines("The Kingdom of Arador") == ["The Kingdom of", "Arador"]
    assert title_lines("Arador") == ["", "Arador"]
    assert title_lines("The Shire") == ["The", "Shire"]


@pytest.mark.parametrize(
    ("width", "height", "title"),
    [(256, 256, "W" * 60), (256, 500, None), (500, 256, "The " * 15)],
)
def test_odd_shapes_and_long_titles_are_drawn(width: int, height: int, title: str | None) -> None:
    data, _ = draw_map(MapSpec("an inland kingdom", width=width, height=height, title=title, seed=1), _ignore)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (width, height)


@pytest.mark.parametrize(("width", "height"), [(255, 300), (300, 255), (2049, 300), (300, 2049)])
def test_sizes_out_of_range_are_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="outside 256 to 2048"):
        MapSpec("hills", width=width, height=height)


def test_too_many_towns_are_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to 30"):
        MapSpec("hills", towns=31)


@pytest.mark.parametrize("description", ["qwxz vbn", "no forest, no mountains, no rivers, no towns", "砂漠", "!?"])
def test_any_description_becomes_a_map(description: str) -> None:
    assert draw_map(MapSpec(description, **SMALL), _ignore)[1]["name"]


def test_progress_rises_from_0_to_1() -> None:
    told: list[float] = []
    draw_map(MapSpec("a coast", **SMALL), lambda done, _stage: told.append(done))
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert all(before < after for before, after in pairwise(told))
    assert len(told) >= 8


def test_a_reporter_that_raises_stops_the_drawing() -> None:
    class Cancelled(Exception):
        pass

    told: list[str] = []

    def refuse(done: float, stage: str) -> None:
        told.append(stage)
        if done > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        draw_map(MapSpec("a coast", **SMALL), refuse)
    assert "encoding" not in told


def test_names_are_pronounceable_and_of_one_language() -> None:
    for climate in ("mild", "north", "desert", "tropical"):
        language = Language(Dice("test", 3), climate)
        names = [language.town() for _ in range(30)] + [language.word() for _ in range(10)]
        assert len(set(names)) == 40
        for name in names:
            assert 3 <= len(name) <= 16
            assert name[0].isupper()
            assert any(letter in "aeiouyø" for letter in name.lower())
    assert Language(Dice("test", 3), "mild").town() == Language(Dice("test", 3), "mild").town()


def test_map_of_the_usual_size_is_drawn_in_time() -> None:
    begin = time.process_time()
    draw_map(MapSpec(LANDS[2], seed=3), _ignore)
    # About four seconds of a processor; much more would be a step whose cost grows with the square.
    assert time.process_time() - begin < 20


def test_schema_of_the_prompt_admits_what_the_spec_takes() -> None:
    validator = Draft202012Validator(MAP_PROMPT)
    fields: dict[str, Any] = {
        "description": "a coast",
        "title": "Here",
        "width": 256,
        "height": 2048,
        "seed": 0,
        "towns": 30,
    }
    assert validator.is_valid(fields)
    MapSpec(**fields)
    assert set(MAP_PROMPT["properties"]) == set(MapSpec.__dataclass_fields__)
    for wrong in (
        {},
        {"description": " "},
        {**fields, "width": 255},
        {**fields, "towns": 31},
        {**fields, "more": 1},
    ):
        assert not validator.is_valid(wrong)
