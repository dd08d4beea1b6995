"""One API process and, when a test wants it, one worker: apart, on the session's services."""

import os
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Start
from tests.followers import NODE
from tests.processes import Process, ask

# Read here because every test runs without the developer's own LOREKEEPER_ variables.
REQUIRED = os.environ.get("LOREKEEPER_REQUIRE_CLIENTS") == "1"
_CREATE = """mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { job { id cursor } } }"""


@dataclass
class Api:
    """An API that serves, without a worker at first."""

    process: Process
    start: Start
    environment: dict[str, str]

    @property
    def port(self) -> int:
        return int(self.process.wait_for(r"running on http://127\.0\.0\.1:(\d+)").group(1))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def another(self) -> "Api":
        """Start one more API of the same system."""
        return start_api(self.start, self.environment)

    def start_worker(self, **environment: str) -> Process:
        return self.start("-m", "worker", **self.environment | environment)

    def create(self, world: str, prompt: dict[str, Any]) -> dict[str, Any]:
        """Create a job on the simulator; returns its id and its cursor."""
        wanted = {"worldId": world, "assetType": "IMAGE", "provider": "simulator", "promptSpec": prompt}
        answer = ask(self.url, _CREATE, {"input": wanted})
        assert "errors" not in answer, answer
        job: dict[str, Any] = answer["data"]["createAssetJob"]["job"]
        return job


def start_api(start: Start, environment: dict[str, str]) -> Api:
    return Api(
        start("-m", "uvicorn", "server:app", "--port", "0", "--no-access-log", **environment), start, environment
    )


@pytest.fixture
def api(start: Start, environment: dict[str, str]) -> Api:
    """Start an API process."""
    return start_api(start, environment)


@pytest.fixture
def node() -> str:
    """Return what runs clients in JavaScript; skip the test where they are not installed and not required."""
    if not NODE.exists():
        reason = (
            "no clients in Node.js: `make test` installs them, with Node.js from 20.19 on or its wheel "
            "(`apt-get install nodejs npm`), and says why where it cannot"
        )
        if REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return str(NODE)
