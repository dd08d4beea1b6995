"""A client that a generator makes from our SDL and the README's operations does what the README says."""

import importlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from schema import build_schema
from tests.acceptance.conftest import REQUIRED, Api
from tests.processes import ROOT
from tests.readme import blocks

CODEGEN: Final = ROOT / ".venv" / "codegen" / "bin" / "ariadne-codegen"
CONFIGURATION: Final = """
[tool.ariadne-codegen]
schema_path = "schema.graphql"
queries_path = "operations.graphql"
target_package_name = "generated_lore"
"""


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Generate a client and import it."""
    if not CODEGEN.exists():
        reason = "no ariadne-codegen: `make test` installs it, `make .venv/codegen/.installed` does just that"
        if REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    (tmp_path / "operations.graphql").write_text("\n".join(blocks("graphql")))
    (tmp_path / "schema.graphql").write_text(build_schema().as_str())
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    made = subprocess.run([CODEGEN], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("generated_lore")
    for name in [name for name in sys.modules if name.partition(".")[0] == "generated_lore"]:
        del sys.modules[name]


async def test_a_generated_client_creates_lists_watches_cancels_and_retries(api: Api, generated: Any) -> None:
    def wanted(**prompt: object) -> object:
        return generated.CreateAssetJobInput(
            worldId="eldoria", assetType="IMAGE", provider="simulator", promptSpec=prompt
        )

    client = generated.Client(url=f"{api.url}/graphql", ws_url=f"ws://{api.address}/graphql")
    async with client:
        begun = (await client.jobs("eldoria")).jobs.updates_cursor
        created = (await client.create_picture(wanted(steps=3))).create_asset_job
        unwanted = (await client.create_picture(wanted(duration_ms=60_000))).create_asset_job
        assert created.created

        listed = (await client.jobs("eldoria")).jobs
        assert [edge.node.id for edge in listed.edges] == [unwanted.job.id, created.job.id]

        api.start_worker()
        watched = [item.job_updates async for item in client.watch(created.job.id)]
        assert watched[0].kind == "SNAPSHOT"
        assert watched[-1].status == "SUCCEEDED"
        assert watched[-1].job.asset.download_url.startswith(f"{api.url}/assets/")

        cancelled = (await client.cancel(unwanted.job.id)).cancel_job
        assert (cancelled.status, cancelled.finished_at is None) == ("CANCELLED", False)
        renewed = (await client.retry(unwanted.job.id)).retry_job
        assert (renewed.status, renewed.attempt) == ("QUEUED", 0)

        statuses: dict[str, list[str]] = defaultdict(list)
        async for item in client.world("eldoria", after=begun):
            statuses[item.world_updates.job_id].append(item.world_updates.status)
            if statuses[unwanted.job.id][-2:] == ["CANCELLED", "QUEUED"]:
                break
        assert statuses[created.job.id] == ["QUEUED", "PROCESSING", "SUCCEEDED"]
