"""The bench of the streams: measures what DESIGN.md promises of them, against baselines in the same run.

Run it as `make bench`. It starts all that it needs, pins each measured server to one core and everything else to
the others, and prints each figure beside its budget.
"""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import uvloop

from bench.cores import OTHER_CORES, SERVER_CORE
from bench.counts import measure_counts
from bench.deliveries import Load, measure_jobs, measure_world
from bench.latency import measure_latency
from bench.memory import measure_memory
from bench.programs import install_node_packages, node_version
from bench.report import Figure, conditions, table
from bench.system import System, open_system

_RESULTS: Final = Path(__file__).resolve().parent / "results" / "streams.md"

Measure = Callable[[System], Awaitable[list[Figure]]]


def _measures(*, quick: bool, rounds: int, patient: bool) -> Mapping[str, Measure]:
    part = 5 if quick else 1
    world = Load(subscribers=200, jobs=50, steps=25 // part)
    jobs = Load(subscribers=1000, jobs=1000, steps=20 // part)
    return {
        "latency": lambda system: measure_latency(system, 600 // part, patient=patient),
        "world": lambda system: measure_world(system, world, rounds, patient=patient),
        "jobs": lambda system: measure_jobs(system, jobs, rounds, patient=patient),
        "memory": lambda system: measure_memory(system, [200 // part, 1200 // part, 2200 // part], rounds),
        "counts": measure_counts,
    }


async def _measure(measures: Mapping[str, Measure], chosen: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    async with open_system() as system:
        for name, measure in measures.items():
            if name in chosen:
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                found = await measure(system)
                print(table(found), file=sys.stderr, flush=True)
                figures += found
    return figures


def main() -> int:
    """Run the command line; returns the exit code."""
    names = list(_measures(quick=False, rounds=1, patient=False))
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default=",".join(names), help=f"what to measure, of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="turns of ours and the baselines (3)")
    parser.add_argument("--quick", action="store_true", help="a fifth of everything: to see that it works")
    parser.add_argument(
        "--wait", action="store_true", help="wait for quiet moments, and repeat what others disturbed"
    )
    parser.add_argument("--write", action="store_true", help="write bench/results/streams.md")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(names):
        parser.error(f"not among {', '.join(names)}: {', '.join(sorted(unknown))}")
    install_node_packages()
    if SERVER_CORE == OTHER_CORES:
        print("There is one core for all: the figures say little.", file=sys.stderr)
    began_with = os.getloadavg()[0]
    os.sched_setaffinity(0, OTHER_CORES)
    measures = _measures(quick=options.quick, rounds=options.rounds, patient=options.wait)
    figures = uvloop.run(_measure(measures, chosen))
    where = conditions(f"Node.js {node_version()}", f"load {began_with:.1f} at the beginning")
    result = f"{table(figures)}\n\n{where}.\n"
    print(result)
    if options.write:
        _RESULTS.parent.mkdir(exist_ok=True)
        command = " ".join(["make bench", *([f'ARGS="{" ".join(sys.argv[1:])}"'] if sys.argv[1:] else [])])
        _RESULTS.write_text(f"# Streams\n\nBy `{command}`.\n\n{result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
