"""Owns the film of a landscape: from a sentence to some seconds over which day passes, always the same."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.providers.landscape import LandscapeSpec, Reporter
from worker.providers.landscape.noise import Dice
from worker.providers.landscape.vocabulary import canonical
from worker.providers.video.encoder import encode
from worker.providers.video.film import Film

__all__ = ["VideoSpec", "shoot"]

_THREADS: Final = 2
_AHEAD: Final = 4
"""Frames that are painted before they are asked for, at the most."""


@dataclass(frozen=True)
class VideoSpec(LandscapeSpec):
    """The landscape to film, its sides even, and how long.

    Attributes:
        duration_s: 1 to 12 seconds.
        fps: frames a second, 12 to 30.

    Raises:
        ValueError: a side is odd or out of range.
    """

    width: int = 854
    height: int = 480
    duration_s: float = 5
    fps: int = 24

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in (self.width, self.height):
            if side % 2:
                raise ValueError(f"a side of {side} pixels is odd")

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return max(round(self.duration_s * self.fps), 2)


def shoot(spec: VideoSpec, path: Path, report: Reporter) -> dict[str, object]:
    """Write the film as MP4 and return what is worth knowing about it.

    Args:
        spec: what to film.
        path: the file.
        report: told the part done (0 to 1, rising) and what comes next; what it raises stops the work.
    """
    report(0.0, "reading the description")
    dice = Dice(canonical(spec.description), spec.seed_used)
    film = Film(spec.description, (spec.width, spec.height), dice)
    report(0.05, "the first light")

    def frames() -> Iterator[bytes]:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="film") as threads:
            instants = [number / (spec.frames - 1) for number in range(spec.frames)]
            for number, picture in enumerate(_ahead(threads, film.paint, instants)):
                report(0.05 + 0.9 * number / spec.frames, f"frame {number + 1} of {spec.frames}")
                yield picture

    encode(frames(), path, size=(spec.width, spec.height), fps=spec.fps)
    report(1.0, "finished")
    return film.facts | {
        "width": spec.width,
        "height": spec.height,
        "fps": spec.fps,
        "frames": spec.frames,
        "codec": "h264",
        "duration_seconds": spec.frames / spec.fps,
        "seed": spec.seed_used,
    }


def _ahead(threads: ThreadPoolExecutor, paint: Callable[[float], bytes], instants: list[float]) -> Iterator[bytes]:
    """Paint in order, a few frames ahead of whoever takes them."""
    pending: deque[Future[bytes]] = deque()
    try:
        for instant in instants:
            pending.append(threads.submit(paint, instant))
            if len(pending) >= _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
