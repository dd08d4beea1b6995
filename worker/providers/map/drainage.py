"""Owns running water: which way each point drains, the valleys that it carves, and the rivers.

Every point of the land has a neighbour that is strictly lower (Priority-Flood, Barnes et al., 2014, with an
epsilon), so every river runs downhill until it meets a larger one or the water's edge.
"""

# ruff: noqa: PLR2004 - a river's proportions

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.noise import Field
from worker.providers.map.lattice import Lattice
from worker.providers.map.relief import Relief
from worker.providers.map.vocabulary import Nature

# Least height that water needs from point to point, and the most: in filled hollows it finds its way by lot,
# where equal steps would rule parallel lines.
_STEP: Final = (1e-4, 1.6e-3)
_ROUNDS: Final = 3
_DRY_EDGE: Final = 60
_DRY_WALLS: Final = 0.17
_CARVE: Final = 0.035
# Fewer links than this are a brook that no map shows.
_SHORTEST: Final = 7


@dataclass(frozen=True)
class River:
    """One river, from its source down.

    Attributes:
        nodes: the points that it runs through; the last one is water, or a point of the river that it joins.
        flow: the water at each point, in points drained.
        joins: whether it ends in another river.
    """

    nodes: tuple[int, ...]
    flow: tuple[float, ...]
    joins: bool


@dataclass(frozen=True)
class Drainage:
    """The land after water has run over it.

    Attributes:
        height: strictly falling along every river; water where not positive.
        flow: water that passes each point of the land, in points drained.
        rivers: the great ones first; a river that joins another comes behind it.
        lakes: points under lakes that rivers run through.
    """

    height: Field
    flow: Field
    rivers: tuple[River, ...]
    lakes: frozenset[int]


def drain(relief: Relief, nature: Nature) -> Drainage:
    """Let it rain on a land."""
    lattice = relief.lattice
    height = relief.height
    rain = _rain(relief, nature)
    steps = lattice.dice.stream("seepage").uniform(*_STEP, height.size).tolist()
    for _ in range(_ROUNDS):
        filled, receiver = _fill(lattice, height, steps)
        flow = _gather(filled, receiver, rain)
        drop = filled.ravel() - filled.ravel()[receiver]
        carve = np.minimum(_CARVE * np.sqrt(flow) * np.minimum(drop / 0.04, 1) * 0.12, 0.8 * drop)
        carved = filled.ravel() - np.where(filled.ravel() > 0, carve, 0)
        height = np.asarray(carved.reshape(height.shape), dtype=np.float32)
    filled, receiver = _fill(lattice, height, steps)
    flow = _gather(filled, receiver, rain)
    rivers = _rivers(lattice, filled, receiver, flow, nature)
    return Drainage(filled, flow.reshape(filled.shape).astype(np.float32), rivers, _lakes(relief, rivers, nature))


def _rain(relief: Relief, nature: Nature) -> NDArray[np.float64]:
    """Return the water that falls on each point: in deserts, nearly all of it in the mountains."""
    high = relief.mountains.ravel().astype(np.float64)
    wet = (0.25 + 4 * high) if nature.climate == "desert" else (0.7 + 1.2 * high)
    lattice = relief.lattice
    # None at the edge of the map, so that no river comes from beyond it.
    edge_x, edge_y = (
        np.minimum(lattice.x, lattice.width - lattice.x),
        np.minimum(lattice.y, lattice.height - lattice.y),
    )
    dry = _DRY_WALLS * min(lattice.width, lattice.height) if nature.shape == "inland" else _DRY_EDGE
    return np.where((relief.height.ravel() > 0) & (np.minimum(edge_x, edge_y).ravel() > dry), wet, 0.0)


def _fill(lattice: Lattice, height: Field, steps: list[float]) -> tuple[Field, NDArray[np.intp]]:
    """Raise hollows until every point of the land drains; return the heights and where each drains to."""
    level = height.ravel().astype(np.float64).tolist()
    done = [value <= 0 for value in level]
    links = lattice.links
    heap = [
        (level[node], node)
        for node in np.flatnonzero(height.ravel() <= 0).tolist()
        if not all(done[other] for other in links[node])
    ]
    heapq.heapify(heap)
    pop, push = heapq.heappop, heapq.heappush
    while heap:
        low, node = pop(heap)
        low = max(low, 0.0)
        for other in links[node]:
            if not done[other]:
                done[other] = True
                floor = low + steps[other]
                level[other] = max(level[other], floor)
                push(heap, (level[other], other))
    filled = np.array(level)
    padded = np.append(filled, np.inf)
    receiver = lattice.table[np.arange(filled.size), np.argmin(padded[lattice.table], axis=1)]
    return filled.reshape(height.shape), receiver


def _gather(filled: Field, receiver: NDArray[np.intp], rain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the water that passes each point."""
    flow = rain.tolist()
    table = receiver.tolist()
    level = filled.ravel()
    order = np.argsort(-level, kind="stable")
    for node in order[: int((level > 0).sum())].tolist():
        flow[table[node]] += flow[node]
    return np.array(flow)


def _rivers(
    lattice: Lattice, filled: Field, receiver: NDArray[np.intp], flow: NDArray[np.float64], nature: Nature
) -> tuple[River, ...]:
    level = filled.ravel()
    land = level > 0
    peak = float(flow[land].max()) if land.any() else 0.0
    least = max(90 - 42 * nature.rivers, 26.0)
    if nature.great_river:
        least = max(least, 0.05 * peak)
    wet = land & (flow >= least)
    order = np.flatnonzero(wet)[np.argsort(level[wet], kind="stable")].tolist()
    feeders: dict[int, list[int]] = {}
    for node in order:
        feeders.setdefault(int(receiver[node]), []).append(node)
    mouths = [node for node in order if level[receiver[node]] <= 0]
    mouths.sort(key=lambda node: (-flow[node], node))
    wanted = 1 if nature.great_river else round(6 + 26 * nature.rivers)
    rivers: list[River] = []
    todo = [(mouth, False) for mouth in mouths[:wanted]]
    for mouth, joins in todo:
        nodes = [int(receiver[mouth]), mouth]
        branches: list[int] = []
        while above := feeders.get(nodes[-1]):
            main = max(above, key=lambda node: (flow[node], node))
            branches += [node for node in above if node != main]
            nodes.append(main)
        # Branches of a river that is too short are shorter still.
        if len(nodes) < _SHORTEST or not _seen(lattice, nodes):
            continue
        nodes.reverse()
        water = [float(flow[node]) for node in nodes[:-1]]
        rivers.append(River(tuple(nodes), (*water, water[-1]), joins))
        todo += [(branch, True) for branch in branches]
    return tuple(rivers)


def _seen(lattice: Lattice, nodes: list[int]) -> bool:
    """Tell whether a river's mouth is on the map, away from its edge."""
    x, y = lattice.spots(nodes[:1])[0]
    return bool(30 < x < lattice.width - 30 and 30 < y < lattice.height - 30)


def _lakes(relief: Relief, rivers: tuple[River, ...], nature: Nature) -> frozenset[int]:
    """Choose places where a river widens to a lake: in the lowlands, half-way down, away from the sea."""
    rng = relief.lattice.dice.stream("lakes")
    lattice = relief.lattice
    count = round(nature.lakes * rng.uniform(0.6, 3.4))
    sea = lattice.distance(relief.height <= 0, 12).ravel()
    rough = lattice.noise("lake", 26, 3).ravel()
    under: set[int] = set()
    chosen: list[tuple[float, float]] = []
    for river in rivers:
        if len(chosen) >= count or river.joins or len(river.nodes) < 24:
            continue
        middle = [node for node in river.nodes[6 : len(river.nodes) * 3 // 4] if sea[node] >= 8]
        if not middle:
            continue
        centre = middle[int(rng.integers(len(middle)))]
        x, y = lattice.spots([centre])[0]
        if any(np.hypot(x - ox, y - oy) < 160 for ox, oy in chosen):
            continue
        chosen.append((x, y))
        long, lean = rng.uniform(15, 24), rng.uniform(0, np.pi)
        dx, dy = lattice.x.ravel() - x, lattice.y.ravel() - y
        u, v = dx * np.cos(lean) + dy * np.sin(lean), dy * np.cos(lean) - dx * np.sin(lean)
        round_ = np.hypot(u / long, v / (0.6 * long)) + 0.35 * rough
        under.update(np.flatnonzero((round_ < 1) & (sea >= 5)).tolist())
    return frozenset(under)
