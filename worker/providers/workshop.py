"""`python -m worker.providers.workshop MIB`: makes assets one after the other, in a process of its own.

Orders come as lines of JSON on standard input, `{"asset_type", "prompt", "path"}`; what becomes of each goes to
standard output likewise: any number of `{"fraction", "stage"}`, then one of `{"made": {"format", "content_type",
"metadata"}}`, `{"refused": {"code", "message", "retryable"}}` and `{"failed": traceback}`. The process ends with
its input, and so with its worker.
"""

import json
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from services.errors import GenerationError
from services.models import AssetType
from worker.providers.crafts import CRAFTS, Report

_NICENESS: Final = 5
"""Heartbeats and streams on the same machine come first."""
_MIB: Final = 1024 * 1024


def main() -> None:
    """Make what is ordered until nobody orders any more."""
    bound = int(sys.argv[1]) * _MIB
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    os.nice(_NICENESS)
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        _answer(answers, _outcome(json.loads(line), answers))


def _outcome(order: Mapping[str, Any], answers: TextIO) -> dict[str, object]:
    """Make one asset; returns what became of it."""

    def report(fraction: float, stage: str) -> None:
        _answer(answers, {"fraction": fraction, "stage": stage})

    try:
        return {"made": _made(order, report)}
    except GenerationError as error:
        return {"refused": {"code": error.code, "message": str(error), "retryable": error.retryable}}
    except MemoryError:
        message = "Making this takes more memory than a job may have here: ask for less of it."
        return {"refused": {"code": "OUT_OF_MEMORY", "message": message, "retryable": False}}
    except Exception:  # noqa: BLE001 - whatever it is ends this order, not those that follow
        return {"failed": traceback.format_exc()}


def _made(order: Mapping[str, Any], report: Report) -> dict[str, object]:
    craft = CRAFTS[AssetType(order["asset_type"])]
    metadata = craft.make(order["prompt"], Path(order["path"]), report)
    return {"format": craft.format, "content_type": craft.content_type, "metadata": metadata}


def _answer(answers: TextIO, answer: Mapping[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
