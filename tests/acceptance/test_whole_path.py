"""The whole path by processes as a newcomer runs them: everything embedded, or the parts apart."""

import hashlib
import io
import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from tests.conftest import Start, until
from tests.processes import ask, is_gone, watch
from tests.readme import block

MUTATION = block("graphql", "mutation")
SUBSCRIPTION = block("graphql", "subscription")
VARIABLES = json.loads(block("json", '{\n  "input"'))


async def follow(url: str, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Watch a job by the README's subscription; returns the updates."""
    variables = {"jobId": job["id"], "after": None}
    return [item["jobUpdates"] for item in await watch(url, SUBSCRIPTION, variables)]


async def make_a_picture(url: str) -> list[dict[str, Any]]:
    """Do what the README's quickstart says; returns the updates."""
    answer = ask(url, MUTATION, VARIABLES)
    assert "errors" not in answer, answer
    job = answer["data"]["createAssetJob"]["job"]
    updates = await follow(url, job)
    last = updates[-1]
    assert last["status"] == "SUCCEEDED", updates
    async with httpx.AsyncClient() as client:
        picture = await client.get(last["job"]["asset"]["downloadUrl"])
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size == (1024, 640)
    return updates


async def test_quickstart_of_the_readme(start: Start, tmp_path: Path) -> None:
    server = start("server.py")
    url = server.url
    server.wait_for("worker.ready")
    updates = await make_a_picture(url)
    seqs = [update["seq"] for update in updates if update["kind"] != "PROGRESS"]
    assert seqs == list(range(seqs[0], 4))
    stack = json.loads((tmp_path / "home" / "stack.json").read_text())
    assert set(stack) == {"postgres", "redis", "sqs"}
    assert all(psutil.pid_exists(part["pid"]) and part["url"] for part in stack.values())


BEGINNINGS = {
    "IMAGE": b"\x89PNG\r\n",
    "MAP": b"\x89PNG\r\n",
    "VIDEO": b"\0\0\0\x20ftypisom",
    "AUDIO": b"RIFF",
    "PDF": b"%PDF-1.",
}


@pytest.mark.timeout(180)
async def test_one_of_each_type_as_the_readme_asks_for_them(start: Start) -> None:
    server = start("server.py")
    server.wait_for("worker.ready")
    answer = ask(server.url, block("graphql", "mutation OneOfEach"))
    assert "errors" not in answer, answer
    made = {}
    for name, created in answer["data"].items():
        last = (await follow(server.url, created["job"]))[-1]
        assert last["status"] == "SUCCEEDED", (name, last)
        query = "query($id: ID!) { job(id: $id) { asset { assetType sizeBytes durationSeconds checksum } } }"
        found = ask(server.url, query, {"id": created["job"]["id"]})["data"]["job"]["asset"]
        async with httpx.AsyncClient() as client:
            content = (await client.get(last["job"]["asset"]["downloadUrl"])).content
        assert content.startswith(BEGINNINGS[found["assetType"]]), name
        assert (len(content), hashlib.sha256(content).hexdigest()) == (found["sizeBytes"], found["checksum"])
        made[found["assetType"]] = found["durationSeconds"]
    assert made == {"IMAGE": None, "MAP": None, "VIDEO": 5, "AUDIO": 30, "PDF": None}


async def test_ctrl_c_leaves_no_process_behind(start: Start, tmp_path: Path) -> None:
    server = start("server.py")
    server.wait_for("worker.ready")
    family = [process.pid for process in server.family()]
    assert len(family) >= 5  # the server, the worker, three services
    assert server.stop(signal.SIGINT) == 0
    await until(lambda: all(map(is_gone, family)))
    assert not (tmp_path / "home" / "stack.json").exists()


async def test_a_killed_server_takes_its_processes_along(start: Start) -> None:
    server = start("server.py")
    server.wait_for("worker.ready")
    family = [process.pid for process in server.family()]
    server.popen.kill()
    await until(lambda: all(map(is_gone, family)), within_s=30)


async def test_jobs_survive_a_restart_of_everything(start: Start) -> None:
    server = start("server.py", "--no-worker")
    job = ask(server.url, MUTATION, VARIABLES)["data"]["createAssetJob"]["job"]
    assert server.stop() == 0
    server = start("server.py")
    updates = await follow(server.url, job)
    assert updates[-1]["status"] == "SUCCEEDED"


async def test_api_and_worker_apart_share_the_home(start: Start) -> None:
    server = start("server.py", "--no-worker")
    url = server.url
    job = ask(url, MUTATION, VARIABLES)["data"]["createAssetJob"]["job"]
    worker = start("-m", "worker")
    worker.wait_for("worker.joins.*postgres, redis, sqs|postgres, redis, sqs.*worker.joins")
    updates = await follow(url, job)
    kinds = [(update["kind"], update["status"]) for update in updates]
    assert kinds[0] == ("SNAPSHOT", "QUEUED")
    assert kinds[1] == ("TRANSITION", "PROCESSING")
    assert ("PROGRESS", "PROCESSING") in kinds
    assert kinds[-1] == ("TRANSITION", "SUCCEEDED")
    assert worker.stop() == 0
    assert ask(url, "{__typename}")["data"]


async def test_configured_services_are_used_instead_of_embedded_ones(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    configured = environment | {"LOREKEEPER_PORT": "0"}
    server = start("server.py", **configured)
    server.wait_for("worker.ready")
    assert not (tmp_path / "home" / "stack.json").exists()
    await make_a_picture(server.url)
    assert server.stop() == 0


async def test_uvicorn_serves_the_application_with_several_processes(
    start: Start, environment: dict[str, str]
) -> None:
    server = start("-m", "uvicorn", "server:app", "--workers", "2", "--port", "0", **environment)
    port = server.wait_for(r"running on http://127\.0\.0\.1:(\d+)").group(1)
    start("-m", "worker", **environment).wait_for("worker.ready")
    await until(lambda: len(re.findall("Application startup complete", server.output)) == 2, within_s=30)
    await make_a_picture(f"http://127.0.0.1:{port}")


def test_health_readiness_and_metrics(start: Start) -> None:
    url = start("server.py", "--no-worker").url
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    ready = httpx.get(f"{url}/readyz")
    assert ready.status_code == 200
    assert ready.json()["services"] == {"postgres": "ok", "redis": "ok", "sqs": "ok"}
    assert set(ready.json()["loops"]) == {"publisher", "feed", "streams", "dispatcher", "clients", "queue_watch"}
    assert "lorekeeper_events_dropped" in httpx.get(f"{url}/metrics").text


@pytest.mark.parametrize(
    ("program", "setting", "value"),
    [
        (("server.py",), "LOREKEEPER_PORT", "eighty"),
        (("server.py",), "LOREKEEPER_HOST", "0.0.0.0"),  # noqa: S104 - refused, that is the point
        (("server.py", "migrate"), "DATABASE_URL", "mysql://u:secret@localhost/x"),
        (("-m", "worker"), "LOREKEEPER_HEARTBEAT_S", "20"),
        (("-m", "worker"), "LOREKEEPER_AUTH", "wishful"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_with_exit_code_2(
    start: Start, program: tuple[str, ...], setting: str, value: str
) -> None:
    process = start(*program, **{setting: value})
    assert process.popen.wait(20) == 2
    (line,) = process.output.strip().splitlines()
    assert setting in line
    assert "secret" not in line


def test_an_unreachable_database_is_told_after_the_deadline(start: Start, environment: dict[str, str]) -> None:
    broken = environment | {
        "DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x",
        "LOREKEEPER_STARTUP_TIMEOUT_S": "1",
    }
    for program in (("server.py",), ("-m", "worker")):
        process = start(*program, **broken)
        assert process.popen.wait(20) == 1
        line = process.output.strip().splitlines()[-1]
        assert "DATABASE_URL" in line
        assert "secret" not in line


def test_a_worker_without_services_says_what_to_do(start: Start) -> None:
    process = start("-m", "worker")
    assert process.popen.wait(20) == 2
    assert "python server.py" in process.output


def test_a_taken_port_and_a_busy_home_are_told(start: Start) -> None:
    first = start("server.py", "--no-worker")
    port = first.url.rsplit(":", 1)[1]
    taken = start("server.py", LOREKEEPER_PORT=port)
    assert taken.popen.wait(20) == 2
    assert "LOREKEEPER_PORT" in taken.output
    busy = start("server.py")
    assert busy.popen.wait(20) == 1
    assert str(first.popen.pid) in busy.output


def slow_job(url: str, duration_ms: int) -> dict[str, Any]:
    """Create a job that has one attempt and takes a while."""
    wanted = {
        "worldId": "eldoria",
        "assetType": "IMAGE",
        "provider": "simulator",
        "promptSpec": {"duration_ms": duration_ms, "steps": 10},
        "maxAttempts": 1,
    }
    job: dict[str, Any] = ask(url, MUTATION, {"input": wanted})["data"]["createAssetJob"]["job"]
    return job


async def test_ctrl_c_lets_a_running_job_end(start: Start) -> None:
    """Falls where stopping the server cancels the wait for its worker twice."""
    server = start("server.py")
    server.wait_for("worker.ready")
    job = slow_job(server.url, 4000)
    await until(lambda: status_of(server.url, job) == "PROCESSING")
    assert server.stop(signal.SIGINT) == 0
    server = start("server.py", "--no-worker")
    assert status_of(server.url, job) == "SUCCEEDED"


async def test_a_killed_server_takes_a_busy_worker_along(start: Start) -> None:
    server = start("server.py")
    server.wait_for("worker.ready")
    job = slow_job(server.url, 30_000)
    await until(lambda: status_of(server.url, job) == "PROCESSING")
    family = [process.pid for process in server.family()]
    server.popen.kill()
    await until(lambda: all(map(is_gone, family)), within_s=15)


def status_of(url: str, job: dict[str, Any]) -> str:
    answer = ask(url, "query($id: ID!) { job(id: $id) { status } }", {"id": job["id"]})
    return str(answer["data"]["job"]["status"])


def test_a_migration_waits_for_the_database_and_needs_nothing_else(start: Start, database_url: str) -> None:
    process = start("server.py", "migrate", DATABASE_URL=database_url)
    assert process.popen.wait(30) == 0
    unreachable = "postgresql://u:secret@127.0.0.1:1/x"
    process = start("server.py", "migrate", DATABASE_URL=unreachable, LOREKEEPER_STARTUP_TIMEOUT_S="1")
    assert process.popen.wait(20) == 1
    assert "DATABASE_URL" in process.output.strip().splitlines()[-1]
    assert "Traceback" not in process.output


def test_uvicorn_tells_a_wrong_setting_in_one_line_too(start: Start) -> None:
    process = start("-m", "uvicorn", "server:app", LOREKEEPER_LEASE_S="1")
    assert process.popen.wait(20) == 2
    assert process.output.strip().splitlines()[-1].startswith("server.py: LOREKEEPER_HEARTBEAT_S")


def test_nobody_but_loopback_is_served_without_authentication(start: Start, environment: dict[str, str]) -> None:
    """Also where uvicorn's own command line chooses the address."""
    own = next(
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    )
    server = start("-m", "uvicorn", "server:app", "--host", "0.0.0.0", "--port", "0", **environment)  # noqa: S104
    port = server.wait_for(r"running on http://0\.0\.0\.0:(\d+)").group(1)
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    assert httpx.get(f"http://{own}:{port}/healthz").status_code == 403
