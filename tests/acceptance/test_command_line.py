"""The command line against real processes: what it prints, where it goes on, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.conftest import clean_environment
from tests.processes import ROOT, Process
from tests.tokens import JWT

pytestmark = pytest.mark.timeout(120)

Say = Callable[..., subprocess.CompletedProcess[str]]
NOWHERE = "http://127.0.0.1:1"
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
SIMULATED = ("--provider", "simulator")


@pytest.fixture
def say(environment: dict[str, str]) -> Say:
    """Run a command to its end where a server can be; keyword arguments are variables."""
    return lambda *arguments, **variables: said_by(arguments, environment | variables)


def said_by(arguments: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "server.py", *arguments],
        cwd=ROOT,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def objects(said: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_jobs_are_created_listed_watched_cancelled_and_retried(
    say: Say, serve: Callable[..., Process], start: Callable[..., Process], environment: dict[str, str]
) -> None:
    variables = {"LOREKEEPER_URL": serve().url}
    waiting = say("jobs", "create", "image", *SIMULATED, "--prompt", '{"steps": 3}', **variables)
    assert (waiting.returncode, waiting.stderr) == (0, "")
    job = waiting.stdout.strip()
    assert say("jobs", "cancel", job, **variables).stdout.split() == [job, "CANCELLED"]
    again = say("jobs", "cancel", job, UNKNOWN, **variables)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"{job}: CONFLICT" in again.stderr
    assert f"{UNKNOWN}: NOT_FOUND" in again.stderr
    assert objects(say("jobs", "retry", job, "--json", **variables))[0]["status"] == "QUEUED"

    start("-m", "worker", **environment)
    watched = say("jobs", "watch", job, "--json", **variables)
    assert (watched.returncode, watched.stderr) == (0, "")
    updates = [update for update in objects(watched) if update["kind"] != "PROGRESS"]
    assert updates[-1]["status"] == "SUCCEEDED"
    assert updates[-1]["job"]["asset"]["downloadUrl"].startswith("http")
    failing = '{"fail_attempts": 1, "permanent": true, "error_code": "CONTENT_POLICY"}'
    failed = say("jobs", "create", "map", *SIMULATED, "--prompt", failing, "--watch", **variables)
    assert failed.returncode == 1
    assert "FAILED CONTENT_POLICY: " in failed.stdout
    listed = objects(say("jobs", "list", "--json", "--world", "eldoria", **variables))
    assert [(found["assetType"], found["status"]) for found in listed] == [
        ("MAP", "FAILED"),
        ("IMAGE", "SUCCEEDED"),
    ]
    table = say("jobs", "list", "--status", "failed", "--type", "map", **variables).stdout
    assert table.split()[0] == "ID"
    assert "CONTENT_POLICY" in table
    assert job not in table
    shown = say("jobs", "watch", job, listed[0]["id"], FORCE_COLOR="1", **variables)
    assert shown.returncode == 1
    assert job in shown.stdout


def test_watching_goes_on_by_itself_through_a_killed_server(
    serve: Callable[..., Process],
    start: Callable[..., Process],
    environment: dict[str, str],
    say: Say,
) -> None:
    """Falls where a reconnected stream does not resume behind its last cursor."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = serve(LOREKEEPER_PORT=port)
    variables = environment | {"LOREKEEPER_URL": server.url}
    with subprocess.Popen(
        [sys.executable, "server.py", "jobs", "watch", "--world", "eldoria", "--json"],
        cwd=ROOT,
        env=clean_environment(**variables),
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        # It says nothing before there is something to tell: so it is given something until it does.
        first = _until_told(say, watching, variables)
        server.kill_all()
        serve(LOREKEEPER_PORT=port).wait_for("is ready")
        start("-m", "worker", **environment)
        told = [first]
        while (told[-1]["jobId"], told[-1]["status"]) != (first["jobId"], "SUCCEEDED"):
            told.append(json.loads(watching.stdout.readline()))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
    seqs = [update["seq"] for update in told if update["jobId"] == first["jobId"] and update["kind"] != "PROGRESS"]
    assert seqs == [1, 2, 3]


def _until_told(say: Say, watching: "subprocess.Popen[str]", variables: dict[str, str]) -> dict[str, Any]:
    """Create jobs until one is told; returns its update."""
    assert watching.stdout is not None
    os.set_blocking(watching.stdout.fileno(), False)
    deadline = time.monotonic() + 30
    while not (line := watching.stdout.readline()):
        assert time.monotonic() < deadline
        assert say("jobs", "create", "image", *SIMULATED, **variables).returncode == 0
    os.set_blocking(watching.stdout.fileno(), True)
    update: dict[str, Any] = json.loads(line)
    return update


def test_queues_are_told_redriven_and_purged(say: Say, serve: Callable[..., Process]) -> None:
    variables = {"LOREKEEPER_URL": serve(LOREKEEPER_ALLOW_PURGE="true").url}
    stats = objects(say("queue", "stats", "--json", **variables))
    assert {"name", "messagesAvailable", "deadLetters"} <= stats[0].keys()
    queue = stats[0]["name"]
    assert queue in say("queue", "stats", **variables).stdout
    assert say("queue", "redrive", queue, **variables).stdout == f"0 dead letters moved back to {queue}\n"
    unsure = say("queue", "purge", queue, **variables)
    assert (unsure.returncode, "--yes" in unsure.stderr) == (1, True)
    assert objects(say("queue", "purge", queue, "--yes", "--json", **variables)) == [
        {"queue": queue, "purged": True}
    ]


def test_a_development_token_is_one_that_the_server_takes(say: Say, serve: Callable[..., Process]) -> None:
    variables = {"LOREKEEPER_URL": serve(**JWT).url}
    made = say("token", "--world", "eldoria", "--scope", "jobs:read", **JWT)
    assert (made.returncode, made.stderr) == (0, "")
    token = made.stdout.strip()
    assert say("jobs", "list", LOREKEEPER_TOKEN=token, **variables).returncode == 0
    refused = say("jobs", "create", "image", "A lake", "--token", token, **variables)
    assert (refused.returncode, refused.stderr) == (1, "server.py: FORBIDDEN: The scope jobs:write is missing.\n")
    for command in (("list",), ("watch", "--world", "eldoria")):
        nobody = say("jobs", *command, **variables)
        assert (nobody.returncode, nobody.stdout) == (1, "")
        assert "UNAUTHENTICATED" in nobody.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("jobs", "list"), 3, "Is the server running"),
        (("jobs", "watch", "--world", "eldoria"), 3, "Is the server running"),
        (("jobs", "watch"), 2, "say which"),
        (("jobs", "create", "image", "--prompt", "{"), 2, "--prompt: this is no JSON"),
        (("jobs", "create", "image", "--prompt", "@/no/such/file"), 2, "No such file"),
        (("jobs", "create", "picture", "A lake"), 2, "invalid choice: 'picture'"),
        (("jobs", "create", "image", "--run-at", "2027-01-01"), 2, "an instant needs its offset from UTC"),
        (("jobs",), 2, "COMMAND"),
        (("jobs", "list", "--url", "nowhere"), 2, "must begin with http:// or https://"),
        (("token",), 2, "LOREKEEPER_JWT_SECRET is not set"),
    ],
)
def test_what_cannot_work_ends_with_a_line_and_a_code(arguments: tuple[str, ...], code: int, told: str) -> None:
    said = said_by(arguments, {"LOREKEEPER_URL": NOWHERE})
    assert (said.returncode, said.stdout) == (code, "")
    assert told in said.stderr
    assert "Traceback" not in said.stderr
