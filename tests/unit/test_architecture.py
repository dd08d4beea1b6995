"""The arrows between the packages: server → cli → schema → services ← worker."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "services": {"services"},
    "cli": {"cli", "schema", "services"},
    "schema": {"schema", "services"},
    "worker": {"worker", "services"},
    "migrations": {"services"},
}
OURS = {*MAY_IMPORT, "server", "tests", "bench"}
FREE_OF_OURS = {"lifecycle", "errors"}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_follow_the_arrows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        found = {name.split(".")[0] for name in _imports(path)} & OURS
        assert found <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {found - MAY_IMPORT[package]}"


@pytest.mark.parametrize("module", sorted(FREE_OF_OURS))
def test_lifecycle_and_errors_import_nothing_of_ours(module: str) -> None:
    found = {name.split(".")[0] for name in _imports(ROOT / "services" / f"{module}.py")}
    assert not found & OURS


def test_services_know_neither_graphql_nor_starlette() -> None:
    for path in sorted((ROOT / "services").rglob("*.py")):
        found = {name.split(".")[0] for name in _imports(path)}
        assert not found & {"strawberry", "graphql", "starlette"}, path
