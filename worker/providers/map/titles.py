"""Owns what stands in the cartouche, and where the furniture of a map goes."""

# ruff: noqa: PLR2004 - a designer's proportions

from dataclasses import dataclass

from worker.providers.landscape.noise import Dice
from worker.providers.map.board import Board
from worker.providers.map.furniture import FRAME, Cartouche, cartouche_size, scale_size, title_lines
from worker.providers.map.lettering import Box, Letters
from worker.providers.map.names import Language
from worker.providers.map.vocabulary import Nature


@dataclass(frozen=True)
class Furniture:
    """Where a map's furniture stands.

    Attributes:
        cartouche: with the title.
        compass: middle and radius of the rose; None where there is no room.
        scale: box of the scale bar, and the leagues of each of its lengths; None where there is no room.
    """

    cartouche: Cartouche
    compass: tuple[float, float, float] | None
    scale: tuple[Box, int] | None


def entitle(language: Language, nature: Nature, dice: Dice) -> str:
    """Return a title for a land."""
    lot = float(dice.stream("title").random())
    name = language.land()
    # "The Land of Nustaland" says it twice.
    plain = "Realm" if name.endswith(("land", "mark", "heim")) else "Land"
    kinds = (
        (nature.rule != "", nature.rule.capitalize()),
        (nature.shape == "archipelago", "Isles"),
        (nature.shape == "island", "Isle"),
        (nature.climate == "desert", "Sands" if lot < 0.6 else "Realm"),
        (nature.climate == "north" and lot < 0.5, "Marches"),
        (lot < 0.75, plain if lot < 0.4 else "Realms"),
    )
    kind = next((word for holds, word in kinds if holds), "")
    return f"The {kind} of {name}" if kind else name


def sign(language: Language, dice: Dice) -> str:
    """Return who drew the map, and when."""
    rng = dice.stream("motto")
    year, master = int(rng.integers(112, 1390)), language.word()
    lots = (
        f"drawn by {master} the Wayfarer, in the year {year}",
        f"with its coasts & rivers, by {master}, anno {year}",
        f"as surveyed by Master {master} in the year {year}",
    )
    return lots[int(rng.integers(len(lots)))]


def furnish(board: Board, letters: Letters, title: str, motto: str, *, inland: bool) -> Furniture:
    """Find room for cartouche, compass and scale bar, on the sea where there is one."""
    lines = title_lines(title)
    shorter = min(board.width, board.height)
    most = min(board.width - 2 * FRAME - 24, 0.46 * board.width + 60)
    wide, tall, size = cartouche_size(letters, lines, most, shorter)
    box = board.spot(wide, tall, land_costs=0.0 if inland else 0.9, pull=(0.25, 0.6))
    if box is None:
        box = (FRAME + 8, FRAME + 8, FRAME + 8 + wide, FRAME + 8 + tall)
    left, top, right, bottom = box
    board.take([(left - 8, top - 8, right + 8, bottom + 8)])
    compass = _compass(board, inland=inland)
    bar_wide, bar_tall, step = scale_size(board.width)
    bar = board.spot(bar_wide, bar_tall, land_costs=0.6, pull=(0.15, 0.9))
    if bar is not None:
        board.take([bar])
    return Furniture(Cartouche(box, lines, motto, size), compass, None if bar is None else (bar, step))


def _compass(board: Board, *, inland: bool) -> tuple[float, float, float] | None:
    """Return the middle and radius of the largest rose that the open sea has room for."""
    for radius in (58.0, 46.0, 34.0, 24.0):
        spot = board.spot(2.3 * radius, 2.75 * radius, land_costs=1.2, pull=(0.25, 0.25))
        if spot is None:
            continue
        open_ = board.hidden(spot) < 0.25 and (inland or board.wet(spot) >= 0.97)
        if open_ or radius < 30:
            board.take([spot])
            return ((spot[0] + spot[2]) / 2, spot[1] + 1.5 * radius, radius)
    return None
