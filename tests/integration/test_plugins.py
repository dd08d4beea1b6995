"""Providers of other packages: the README's own example makes assets, and what is broken harms nobody."""

import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.access import ANONYMOUS
from services.errors import InvalidInput
from services.lifecycle import JobStatus
from services.models import AssetType
from services.plugins import load_plugins
from tests.conftest import Opener, running_loops, until
from tests.factories import a_request
from tests.inprocess import InProcessWorker, reached, state
from tests.readme import block


def install(folder: Path, entry_points: str, **modules: str) -> None:
    """Install a package: its modules, and what says which entry points it has."""
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    information = folder / "tester-1.0.dist-info"
    information.mkdir(exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tester\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(entry_points)


def the_readmes() -> tuple[str, str]:
    """Return the README's provider, and its entry point as pip writes it down."""
    declared = block("toml", '[project.entry-points."lorekeeper.providers"]')
    name, target = re.findall(r'^(\w+) = "(.*)"$', declared, re.MULTILINE)[0]
    return block("python", "from collections.abc"), f"[lorekeeper.providers]\n{name} = {target}\n"


async def test_the_readmes_provider_is_offered_and_makes_assets(
    open_services: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, entry_point = the_readmes()
    assert len([line for line in code.splitlines() if line]) <= 20
    install(tmp_path, entry_point, placeholders=code)
    monkeypatch.syspath_prepend(tmp_path)
    resources = await open_services()
    asking = {"provider": "placeholders", "asset_type": AssetType.IMAGE}
    with pytest.raises(InvalidInput, match="does not make MAP; it makes IMAGE") as refusal:
        await resources.jobs.create(a_request(provider="placeholders", asset_type=AssetType.MAP), ANONYMOUS)
    assert refusal.value.path == ("input", "assetType")
    with pytest.raises(InvalidInput, match="256 is greater than"):
        await resources.jobs.create(a_request(prompt_spec={"shade": 256}, **asking), ANONYMOUS)
    job_id = (await resources.jobs.create(a_request(prompt_spec={"shade": 7}, **asking), ANONYMOUS)).state.job.id
    async with running_loops(resources), InProcessWorker(resources).running():
        await until(reached(resources, job_id, JobStatus.SUCCEEDED))
    asset = (await state(resources, job_id)).asset
    assert asset is not None
    assert (asset.format, asset.content_type) == ("pgm", "image/x-portable-graymap")
    stored = resources.settings.home / "assets" / asset.storage_key
    assert stored.read_bytes() == b"P5 64 64 255\n" + b"\x07" * 4096


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise OSError('no such library')", "plugin.failed"),
        ("class It:\n    def __init__(self): raise ValueError", "plugin.failed"),
        ("class It:\n    spec = 'painter'", "plugin.failed"),
        (
            "from services.catalog import ProviderSpec\nclass It:\n    spec = ProviderSpec('painter', {})",
            "plugin.failed",
        ),
        (
            "import services.catalog as c\nclass It:\n    spec = c.LOCAL\n    def generate(self): ...",
            "plugin.name_taken",
        ),
    ],
    ids=["import", "construction", "no spec", "no generate", "a name of ours"],
)
def test_a_provider_that_is_broken_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, code: str, told: str
) -> None:
    module = f"broken_{request.node.callspec.id.replace(' ', '_')}"
    install(tmp_path, f"[lorekeeper.providers]\na = {module}:It\n", **{module: code})
    monkeypatch.syspath_prepend(tmp_path)
    with capture_logs() as logs:
        assert load_plugins() == ()
    assert [(entry["event"], entry["plugin"]) for entry in logs] == [(told, "a")]
