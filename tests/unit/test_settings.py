"""The configuration: its defaults, what it refuses and how it says so, and what is embedded where it is silent."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from services.errors import ConfigurationError
from services.local_stack import Part
from services.resources import find_endpoints, parts_to_embed
from services.settings import Settings, load_settings

SECRET: Final = "s3cr3t-p4ss"
DATABASE: Final = {"DATABASE_URL": f"postgresql://user:{SECRET}@db.example:5433/lore"}
REDIS: Final = {"REDIS_URL": f"redis://:{SECRET}@cache.example:6380/1"}
ENDPOINT: Final = {"AWS_ENDPOINT_URL": "http://sqs.example:4566"}
KEYS: Final = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": SECRET}
QUEUE: Final = {"SQS_QUEUE_NAME": "jobs"}
NEVER: Final = {"LOREKEEPER_EMBEDDED": "never"}

WRONG: Final = [
    ("DATABASE_URL", f"mysql://user:{SECRET}@h/d"),
    ("DATABASE_URL", f"postgresql://user:{SECRET}@h:port/d"),
    ("DATABASE_URL", SECRET),
    ("REDIS_URL", f"http://:{SECRET}@h"),
    ("REDIS_URL", f"redis://:{SECRET}@h:99999"),
    ("AWS_ENDPOINT_URL", f"ftp://user:{SECRET}@h"),
    ("AWS_ENDPOINT_URL", SECRET),
    ("SQS_QUEUE_NAME", "jobs.fifo"),
    ("SQS_QUEUE_NAME", "a queue"),
    ("SQS_QUEUE_NAME", "q" * 77),
    ("LOREKEEPER_EMBEDDED", "maybe"),
    ("LOREKEEPER_PORT", "-1"),
    ("LOREKEEPER_PORT", "65536"),
    ("LOREKEEPER_PORT", "http"),
    ("LOREKEEPER_PUBLIC_URL", f"//user:{SECRET}@h"),
    ("LOREKEEPER_LOG_LEVEL", "loud"),
    ("LOREKEEPER_LOG_FORMAT", "xml"),
    ("LOREKEEPER_WORKER_CONCURRENCY", "0"),
    ("LOREKEEPER_WORKER_CONCURRENCY", "many"),
    ("LOREKEEPER_LEASE_S", "0"),
    ("LOREKEEPER_LEASE_S", "nan"),
    ("LOREKEEPER_LEASE_S", "43201"),
    ("LOREKEEPER_HEARTBEAT_S", "0"),
    ("LOREKEEPER_HEARTBEAT_S", "-1"),
    ("LOREKEEPER_HEARTBEAT_S", "15"),
    ("LOREKEEPER_HEARTBEAT_S", "inf"),
    ("LOREKEEPER_RETRY_BASE_S", "-1"),
    ("LOREKEEPER_RETRY_MAX_S", "43201"),
    ("LOREKEEPER_SHUTDOWN_GRACE_S", "-1"),
    ("LOREKEEPER_ATTEMPT_TIMEOUT_S", "0"),
    ("LOREKEEPER_ATTEMPT_TIMEOUT_S", "43201"),
    ("LOREKEEPER_SIMULATOR", "perhaps"),
    ("LOREKEEPER_S3_PUBLIC_ENDPOINT_URL", "s3://bucket"),
    ("LOREKEEPER_SIGNING_SECRET", SECRET),
    ("LOREKEEPER_AUTH", "trust"),
    ("LOREKEEPER_MAX_TOKENS", "0"),
    ("LOREKEEPER_MAX_DEPTH", "0"),
    ("LOREKEEPER_MAX_FIELDS", "0"),
    ("LOREKEEPER_MAX_ALIASES", "-1"),
    ("LOREKEEPER_MAX_DIRECTIVES", "-1"),
    ("LOREKEEPER_MAX_COST", "0"),
    ("LOREKEEPER_MAX_PAGE", "0"),
    ("LOREKEEPER_MAX_PAGE", "1001"),
    ("LOREKEEPER_MAX_PROMPT_BYTES", "1"),
    ("LOREKEEPER_MAX_SNAPSHOT_BYTES", "many"),
    ("LOREKEEPER_MAX_JSON_DEPTH", "101"),
    ("LOREKEEPER_MAX_REFERENCES", "-1"),
    ("LOREKEEPER_MAX_MUTATIONS_PER_S", "-1"),
    ("LOREKEEPER_MAX_MUTATIONS_PER_S", "nan"),
    ("LOREKEEPER_MAX_MUTATION_BURST", "0"),
    ("LOREKEEPER_INTROSPECTION", "perhaps"),
    ("LOREKEEPER_EXPLORER", "perhaps"),
    ("LOREKEEPER_BOARD", "perhaps"),
    ("LOREKEEPER_ALLOWED_ORIGINS", "*"),
    ("LOREKEEPER_ALLOWED_ORIGINS", "null"),
    ("LOREKEEPER_ALLOWED_ORIGINS", "board.example"),
    ("LOREKEEPER_ALLOWED_ORIGINS", "https://*.example"),
    ("LOREKEEPER_ALLOWED_ORIGINS", "https://board.example/path"),
    ("LOREKEEPER_ALLOWED_ORIGINS", "https://board.example, https://board.example:port"),
    ("LOREKEEPER_ALLOWED_ORIGINS", f"https://user:{SECRET}@board.example"),
    ("LOREKEEPER_AUTH", "jwt"),
    ("LOREKEEPER_JWT_SECRET", "s" * 31),
    ("LOREKEEPER_JWKS_URL", "file:///keys"),
    ("LOREKEEPER_ALLOW_UNAUTHENTICATED", "perhaps"),
    ("LOREKEEPER_STARTUP_TIMEOUT_S", "0"),
    ("LOREKEEPER_REQUEST_TIMEOUT_S", "0"),
    ("LOREKEEPER_HOST", "0.0.0.0"),  # noqa: S104 - what is refused
    ("LOREKEEPER_HOST", "::"),
    ("LOREKEEPER_HOST", "192.168.0.7"),
    ("LOREKEEPER_HOST", "lore.example"),
]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> "Loader":
    return Loader(monkeypatch)


class Loader:
    """Loads settings with variables set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *groups: dict[str, str], **values: str) -> Settings:
        for group in (*groups, values):
            for name, value in group.items():
                self._monkeypatch.setenv(name, value)
        return load_settings()


def test_without_any_configuration_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOREKEEPER_HOME")
    settings = load_settings()
    assert (settings.database_url, settings.redis_url, settings.aws_endpoint_url) == (None, None, None)
    assert (settings.sqs_queue_name, settings.sqs_region) == ("lorekeeper-jobs", "us-east-1")
    assert (settings.host, settings.port, settings.home) == ("127.0.0.1", 8000, Path(".lorekeeper"))
    assert settings.worker_concurrency == 10
    assert (settings.lease, settings.heartbeat_s) == (timedelta(seconds=30), 10)
    assert (settings.retry_base_s, settings.retry_max_s) == (60, 3600)
    assert settings.shutdown_grace_s == 20
    assert not settings.uses_jwt
    assert settings.simulator_enabled


def test_an_empty_variable_is_one_that_is_not_set(load: Loader) -> None:
    settings = load(DATABASE_URL="", SQS_QUEUE_NAME="", LOREKEEPER_PORT="", AWS_ACCESS_KEY_ID="")
    assert (settings.database_url, settings.port) == (None, 8000)
    assert parts_to_embed(settings) == set(Part)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_refused_in_one_line_that_names_it(load: Loader, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**{name: value})
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert SECRET not in message
    # Not in a traceback either.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(("lease", "heartbeat"), [("3", "1"), ("30", "14.9"), ("0.3", "0.1")])
def test_a_heartbeat_under_half_of_the_lease_is_accepted(load: Loader, lease: str, heartbeat: str) -> None:
    settings = load(LOREKEEPER_LEASE_S=lease, LOREKEEPER_HEARTBEAT_S=heartbeat)
    assert settings.lease == timedelta(seconds=float(lease))


@pytest.mark.parametrize(("lease", "heartbeat"), [("2", "1"), ("30", "15"), ("5", "10")])
def test_a_heartbeat_that_a_lease_would_not_outlive_twice_is_refused(
    load: Loader, lease: str, heartbeat: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"LOREKEEPER_HEARTBEAT_S must be under half of LOREKEEPER_LEASE_S"
    ):
        load(LOREKEEPER_LEASE_S=lease, LOREKEEPER_HEARTBEAT_S=heartbeat)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_a_loopback_address_needs_no_authentication(load: Loader, host: str) -> None:
    assert load(LOREKEEPER_HOST=host).host == host


def test_strangers_are_let_in_where_somebody_insists(load: Loader) -> None:
    with pytest.raises(ConfigurationError, match="LOREKEEPER_ALLOW_UNAUTHENTICATED=true"):
        load(LOREKEEPER_HOST="0.0.0.0")  # noqa: S104 - what is tested
    assert load(LOREKEEPER_ALLOW_UNAUTHENTICATED="true").host == "0.0.0.0"  # noqa: S104 - likewise


JWT: Final = {"LOREKEEPER_JWT_SECRET": "s" * 32}
ASKED: Final = {"LOREKEEPER_AUTH": "jwt"}
JWKS: Final = {"LOREKEEPER_JWKS_URL": "https://id.example/keys", "LOREKEEPER_JWT_AUDIENCE": "lorekeeper"}


@pytest.mark.parametrize("tokens", [JWT, JWKS, JWT | ASKED, JWKS | ASKED])
def test_where_tokens_can_be_verified_they_are_asked_for_and_strangers_may_connect(
    load: Loader, tokens: dict[str, str]
) -> None:
    assert load(tokens, LOREKEEPER_HOST="0.0.0.0").uses_jwt  # noqa: S104 - what is tested


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (JWT | JWKS, "not both"),
        (JWT | {"LOREKEEPER_AUTH": "none"}, "leave one of them out"),
        ({"LOREKEEPER_JWKS_URL": JWKS["LOREKEEPER_JWKS_URL"]}, "LOREKEEPER_JWT_AUDIENCE"),
    ],
)
def test_tokens_that_could_be_mistaken_are_refused(load: Loader, tokens: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load(tokens)


EMBEDDED: Final = {
    "nothing": ([], {Part.POSTGRES, Part.REDIS, Part.SQS}),
    "a database": ([DATABASE], {Part.REDIS, Part.SQS}),
    "Redis": ([REDIS], {Part.POSTGRES, Part.SQS}),
    "an SQS server": ([ENDPOINT], {Part.POSTGRES, Part.REDIS}),
    "an SQS server with keys": ([ENDPOINT, KEYS], {Part.POSTGRES, Part.REDIS}),
    "a database and Redis": ([DATABASE, REDIS], {Part.SQS}),
    "a database and an SQS server": ([DATABASE, ENDPOINT], {Part.REDIS}),
    "Redis and an SQS server": ([REDIS, ENDPOINT], {Part.POSTGRES}),
    "all with a server": ([DATABASE, REDIS, ENDPOINT], set[Part]()),
    # Credentials alone may lie there for something else; so may the name of a queue.
    "credentials": ([KEYS], {Part.POSTGRES, Part.REDIS, Part.SQS}),
    "a queue": ([QUEUE], {Part.POSTGRES, Part.REDIS, Part.SQS}),
    "credentials and a queue": ([KEYS, QUEUE], {Part.POSTGRES, Part.REDIS}),
    "a profile": ([{"AWS_PROFILE": "p"}], {Part.POSTGRES, Part.REDIS, Part.SQS}),
    "a profile and a queue": ([{"AWS_PROFILE": "p"}, QUEUE], {Part.POSTGRES, Part.REDIS}),
    "a role and a queue": ([{"AWS_ROLE_ARN": "arn"}, QUEUE], {Part.POSTGRES, Part.REDIS}),
    "a container and a queue": (
        [{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c"}, QUEUE],
        {Part.POSTGRES, Part.REDIS},
    ),
    "all of AWS": ([DATABASE, REDIS, KEYS, QUEUE], set[Part]()),
    "nothing may be": ([DATABASE, REDIS, NEVER], set[Part]()),
}


@pytest.mark.parametrize("configured", EMBEDDED)
def test_what_is_not_configured_is_embedded(load: Loader, configured: str) -> None:
    groups, embedded = EMBEDDED[configured]
    assert parts_to_embed(load(*groups)) == embedded


@pytest.mark.parametrize(("groups", "missing"), [([REDIS], "DATABASE_URL"), ([DATABASE], "REDIS_URL")])
def test_where_nothing_may_be_embedded_everything_must_be_configured(
    load: Loader, groups: list[dict[str, str]], missing: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{missing} is required where LOREKEEPER_EMBEDDED=never"):
        load(NEVER, *groups)


def test_configured_services_are_reached_as_they_were_configured(load: Loader) -> None:
    database = "postgresql://user:p%40ss%2Fw@db.example:5433/lore?sslmode=require"
    endpoints = find_endpoints(load(REDIS, ENDPOINT, DATABASE_URL=database))
    assert endpoints.database_url == database
    assert endpoints.redis_url == REDIS["REDIS_URL"]
    assert (endpoints.aws_endpoint_url or "").rstrip("/") == ENDPOINT["AWS_ENDPOINT_URL"]
    assert not endpoints.embedded


def test_what_is_neither_configured_nor_running_is_named(load: Loader) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        find_endpoints(load(REDIS))


@pytest.mark.parametrize(
    ("groups", "offered"),
    [
        ([], True),
        ([DATABASE], False),
        ([ENDPOINT], False),
        ([KEYS, QUEUE], False),
        ([REDIS], True),
        ([{"LOREKEEPER_SIMULATOR": "false"}], False),
        ([DATABASE, {"LOREKEEPER_SIMULATOR": "true"}], True),
    ],
)
def test_the_simulator_is_offered_with_embedded_services_or_by_request(
    load: Loader, groups: list[dict[str, str]], *, offered: bool
) -> None:
    assert load(*groups).simulator_enabled is offered


def test_secrets_do_not_show_when_settings_are_printed(load: Loader) -> None:
    settings = load(KEYS, LOREKEEPER_SIGNING_SECRET=SECRET * 4)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_the_region_is_found_under_each_of_its_names(load: Loader) -> None:
    assert load(AWS_DEFAULT_REGION="eu-central-1").sqs_region == "eu-central-1"
    assert load(AWS_REGION="eu-west-1").sqs_region == "eu-west-1"
    assert load(SQS_REGION="eu-north-1").sqs_region == "eu-north-1"


def test_origins_are_kept_as_browsers_send_them(load: Loader) -> None:
    settings = load(
        LOREKEEPER_ALLOWED_ORIGINS="https://Board.example:443/, http://[::1]:3000,,http://a.example:80"
    )
    assert settings.allowed_origins == {"https://board.example", "http://[::1]:3000", "http://a.example"}
    assert load(LOREKEEPER_ALLOWED_ORIGINS="").allowed_origins == frozenset()
