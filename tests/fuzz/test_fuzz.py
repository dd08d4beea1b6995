"""Whatever is sent to a running server, it answers: no INTERNAL, no crash, no hang."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
import pytest

from services.cursors import page_cursor
from tests.acceptance.conftest import Api, start_api
from tests.conftest import Start, clean_environment, until
from tests.processes import ROOT, ask

# Read here because every test runs without the developer's own LOREKEEPER_ variables.
SECONDS: Final = int(os.environ.get("LOREKEEPER_FUZZ_S", "20"))
SLOWEST_S: Final = 5
WORLD: Final = "eldoria"
OFTEN: Final = 0.7
"""How often a value that means something takes the place of a random one."""


@pytest.mark.timeout(SECONDS + 120)
async def test_nothing_that_fits_the_schema_makes_the_server_fail(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    api = start_api(start, environment)
    worker = api.start_worker()
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(_meaningful(await _ids(api)))
    told = await asyncio.to_thread(_fuzz, api.url, configuration)
    sys.stdout.write(told.stdout)
    assert told.returncode == 0, told.stdout + told.stderr
    async with httpx.AsyncClient(base_url=api.url) as client:
        assert (await client.get("/readyz")).status_code == 200
    for process in (api.process, worker):
        assert process.popen.poll() is None
        assert "Traceback" not in process.output
        assert "graphql.internal" not in process.output


def _fuzz(url: str, configuration: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            ROOT / ".venv" / "bin" / "schemathesis",
            *("--config-file", configuration),
            *("run", f"{url}/graphql", "--no-color", "--continue-on-failure"),
            *("--max-time", str(SECONDS), "--max-examples", "1000000"),
            *("--request-timeout", str(SLOWEST_S), "--max-response-time", str(SLOWEST_S)),
            *("--checks", "it_answers_with_data_or_a_public_code"),
            *("--generation-allow-x00", "true"),
        ],
        cwd=ROOT,
        env=clean_environment(SCHEMATHESIS_HOOKS="tests.fuzz.hooks"),
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )


async def _ids(api: Api) -> list[str]:
    """Make a job that has ended and one that has not; return their ids, and that of an asset."""
    job_id = api.create(WORLD, {})["id"]
    live_id = api.create(WORLD, {"duration_ms": 3_600_000})["id"]

    def asset() -> str | None:
        query = "query($id: ID!) { job(id: $id) { asset { id } } }"
        found = ask(api.url, query, {"id": job_id})["data"]["job"]["asset"]
        return None if found is None else str(found["id"])

    await until(asset)
    return [job_id, live_id, str(asset())]


def _meaningful(ids: Sequence[str]) -> str:
    """Return a configuration by which ids, worlds and providers that exist are tried too."""
    dictionaries: Mapping[str, Sequence[object]] = {
        "ids": ids,
        "worlds": [WORLD],
        "providers": ["simulator", "local"],
        "cursors": [page_cursor(UUID(value)) for value in ids],
        "sizes": [0, 1, 9, 100],
        "models": ["landscape"],
    }
    bindings = {
        "*.*.id": "ids",
        "*.*.after": "cursors",
        "*.*.before": "cursors",
        "*.*.first": "sizes",
        "*.*.last": "sizes",
        "*.*.worldId": "worlds",
        "*.*.filter.worldId": "worlds",
        "*.*.input.worldId": "worlds",
        "*.*.input.provider": "providers",
        "*.*.input.modelId": "models",
        "*.*.input.priority": "sizes",
        "*.*.input.maxAttempts": "sizes",
        "*.*.input.timeoutSeconds": "sizes",
    }
    lines = [
        f"[dictionaries.{name}]\nvalues = {json.dumps(list(values))}" for name, values in dictionaries.items()
    ]
    lines.append("[parameters]")
    lines += [f'"{path}" = {{ dictionary = "{name}", probability = {OFTEN} }}' for path, name in bindings.items()]
    return "\n".join(lines)
