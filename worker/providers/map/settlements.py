"""Owns where people live: towns where coast, rivers and plains are kind, and the roads between them."""

# ruff: noqa: PLR2004 - what makes a good site

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.providers.map.drainage import Drainage
from worker.providers.map.lattice import Lattice
from worker.providers.map.relief import Relief
from worker.providers.map.vocabulary import Nature

_EDGE: Final = 58.0
# Part of an inland kingdom's smaller side that lies beyond its mountains.
_BEYOND: Final = 0.2
# Rivers that carry less than this are no reason to build a town.
_TRADE: Final = 60.0


@dataclass(frozen=True)
class Site:
    """A place where a town stands.

    Attributes:
        node: of the lattice.
        x, y: in map units.
        kind: capital, port, river, hold (in the mountains) or town.
        rank: 0 for the capital, rising as towns get smaller.
    """

    node: int
    x: float
    y: float
    kind: str
    rank: int


def usual_number(drainage: Drainage, nature: Nature) -> int:
    """Return how many towns a land of this size and nature has."""
    land = int((drainage.height > 0).sum())
    size = min((land / 17_000) ** 0.75, 1.5)
    return int(np.clip(round((2 + 17 * nature.towns) * size), 1, 30))


def settle(
    relief: Relief,
    drainage: Drainage,
    nature: Nature,
    number: int,
    blocked: list[tuple[float, float, float, float]],
) -> list[Site]:
    """Return up to `number` sites outside of the blocked boxes, the capital first."""
    lattice = relief.lattice
    score = _worth(relief, drainage, nature)
    x, y = lattice.x.ravel(), lattice.y.ravel()
    for left, top, right, bottom in blocked:
        score[(x > left - 24) & (x < right + 24) & (y > top - 8) & (y < bottom + 36)] = -np.inf
    land = int((score > -np.inf).sum())
    gap = 6.0 * np.sqrt(max(land, 1) / number) * 0.62
    gap = max(gap, 34.0)
    sites: list[Site] = []
    sea = lattice.distance(drainage.height <= 0, 4).ravel()
    flow = _river_flow(drainage)
    for rank in range(number):
        # The capital is not at the end of the world.
        centre = np.hypot(x / lattice.width - 0.5, y / lattice.height - 0.5) if rank == 0 else 0.0
        node = int(np.argmax(score - 1.1 * centre))
        if score[node] == -np.inf:
            break
        here_x, here_y = float(x[node]), float(y[node])
        if rank == 0:
            kind = "capital"
        elif sea[node] <= 1:
            kind = "port"
        elif flow[node] >= _TRADE / 2:
            kind = "river"
        elif relief.mountains.ravel()[node] > 0.25:
            kind = "hold"
        else:
            kind = "town"
        sites.append(Site(node, here_x, here_y, kind, rank))
        away = np.hypot(x - here_x, y - here_y)
        score[away < max(34.0, gap * 0.62)] = -np.inf
        score -= 1.6 * np.exp(-((away / gap) ** 2))
    return sites


def _river_flow(drainage: Drainage) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    flow = np.zeros(drainage.height.size)
    for river in drainage.rivers:
        flow[list(river.nodes[:-1])] = river.flow[:-1]
    return flow


def _worth(
    relief: Relief, drainage: Drainage, nature: Nature
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return how good each point is to live at; -inf where nobody can."""
    lattice = relief.lattice
    rng = lattice.dice.stream("settlers")
    water = drainage.height <= 0
    sea = lattice.distance(water, 5).ravel()
    flow = _river_flow(drainage)
    score = rng.uniform(0, 0.35, flow.size) + 0.25 * lattice.noise("fertile", 160, 2).ravel()
    score = score + np.where(sea == 1, 0.5, 0.0) + np.where(flow > 0, 0.25 + 0.3 * np.log1p(flow / _TRADE), 0)
    for river in drainage.rivers:
        if not river.joins and river.flow[-1] > _TRADE:
            score[river.nodes[-2]] += 0.9
        elif river.joins and river.flow[-1] > _TRADE / 2:
            score[river.nodes[-1]] += 0.5
    score -= 1.7 * relief.mountains.ravel()
    edge = np.minimum(
        np.minimum(lattice.x, lattice.width - lattice.x), np.minimum(lattice.y, lattice.height - lattice.y)
    )
    rim = _BEYOND * min(lattice.width, lattice.height) if nature.shape == "inland" else _EDGE
    score[(edge.ravel() < rim) | water.ravel() | (relief.mountains.ravel() > 0.6)] = -np.inf
    score[sorted(drainage.lakes)] = -np.inf
    # A spit of land has no room for the symbol of a town.
    score[lattice.distance(~water, 3).ravel() > 0] = -np.inf
    return score


def build_roads(relief: Relief, drainage: Drainage, sites: list[Site]) -> list[tuple[int, ...]]:
    """Return roads, each a run of neighbouring points, that join the towns of each island."""
    lattice = relief.lattice
    level = drainage.height.ravel()
    passable = level > 0
    passable[sorted(drainage.lakes)] = False
    toil = 1 + 5 * relief.mountains.ravel() ** 1.5 + np.where(_river_flow(drainage) > 40, 1.2, 0)
    cost = np.where(passable, toil, np.inf).tolist()
    height = level.tolist()
    roads: list[tuple[int, ...]] = []
    on_road: set[int] = set()
    for site in sites:
        if not on_road:
            on_road.add(site.node)
            continue
        road = _shortest(lattice, cost, height, site.node, on_road)
        if road is None:
            continue
        if len(road) > 1:
            roads.append(tuple(road))
        on_road.update(road)
    return roads


def _shortest(
    lattice: Lattice, cost: list[float], height: list[float], start: int, goals: set[int]
) -> list[int] | None:
    """Return the least toilsome way from a point to any of the goals (Dijkstra)."""
    best = {start: 0.0}
    came: dict[int, int] = {}
    heap = [(0.0, start)]
    while heap:
        toil, node = heapq.heappop(heap)
        if node in goals:
            road = [node]
            while road[-1] != start:
                road.append(came[road[-1]])
            return road
        if toil > best[node] or toil > 90:
            continue
        here = height[node]
        for other in lattice.links[node]:
            step = toil + cost[other] + 40 * abs(height[other] - here)
            if step < best.get(other, float("inf")):
                best[other] = step
                came[other] = node
                heapq.heappush(heap, (step, other))
    return None
