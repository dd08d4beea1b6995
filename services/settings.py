"""The configuration of every process, read once from the environment and `.env`, validated at the start."""

import base64
import ipaddress
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AliasChoices,
    AnyHttpUrl,
    Field,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.errors import ConfigurationError

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_CREDENTIAL_SOURCES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables that lead botocore to real credentials; an instance profile has none and needs EMBEDDED=never."""

_MUTATIONS_PER_S: Final = 50.0
"""By default, where callers are known: all would share one bound elsewhere."""
_MOST_WEBHOOK_SECRETS: Final = 3
_WEBHOOK_SECRET_BYTES: Final = range(24, 65)
"""What Standard Webhooks asks of a symmetric key."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Settings(BaseSettings):
    """All settings. A name without an alias here is read from `LOREKEEPER_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="LOREKEEPER_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: PostgresDsn | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: RedisDsn | None = Field(default=None, validation_alias="REDIS_URL")
    aws_endpoint_url: AnyHttpUrl | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL")
    aws_access_key_id: SecretStr | None = Field(default=None, validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(default=None, validation_alias="AWS_SECRET_ACCESS_KEY")
    sqs_queue_name: str = Field(
        default="lorekeeper-jobs", validation_alias="SQS_QUEUE_NAME", pattern=r"^[A-Za-z0-9_-]{1,66}$"
    )
    sqs_fifo: bool = False
    sqs_region: str = Field(
        default="us-east-1",
        pattern=r"^[a-z0-9-]{1,40}$",
        validation_alias=AliasChoices("SQS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
    )
    embedded: Literal["auto", "never"] = "auto"

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: AnyHttpUrl | None = None
    home: Path = Path(".lorekeeper")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"

    worker_concurrency: int = Field(default=10, ge=1, le=1000)
    lease_s: float = Field(default=30, gt=0, le=43200)
    heartbeat_s: float = Field(default=10, gt=0, le=43200)
    retry_base_s: float = Field(default=60, ge=0, le=43200)
    retry_max_s: float = Field(default=3600, ge=0, le=43200)
    shutdown_grace_s: float = Field(default=20, ge=0, le=3600)
    attempt_timeout_s: int = Field(default=3600, ge=1, le=43200)
    maintenance_s: float = Field(default=15, gt=0, le=86400)
    history_days: float = Field(default=30, ge=0, le=36500)
    allow_purge: bool = False
    simulator: bool | None = None
    local_memory_mib: int = Field(default=1024, ge=256, le=65536)

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: AnyHttpUrl | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    replicate_api_token: SecretStr | None = Field(default=None, validation_alias="REPLICATE_API_TOKEN")
    replicate_base_url: AnyHttpUrl | None = None
    sora_base_url: AnyHttpUrl | None = None
    sora_api_key: SecretStr | None = None

    s3_bucket: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    s3_public_endpoint_url: AnyHttpUrl | None = None
    signing_secret: SecretStr | None = Field(default=None, min_length=32)
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    webhook_private: bool = False

    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_upload_bytes: int = Field(default=100 * 1024 * 1024, ge=1)
    max_operations: int = Field(default=1000, ge=1)
    max_connections: int = Field(default=10_000, ge=1)
    max_tokens: int = Field(default=1000, ge=1)
    max_depth: int = Field(default=10, ge=1)
    max_fields: int = Field(default=300, ge=1)
    max_aliases: int = Field(default=15, ge=0)
    max_directives: int = Field(default=50, ge=0)
    max_cost: int = Field(default=10_000, ge=1)
    max_page: int = Field(default=100, ge=1, le=1000)
    max_prompt_bytes: int = Field(default=64 * 1024, ge=2)
    max_snapshot_bytes: int = Field(default=256 * 1024, ge=2)
    max_json_depth: int = Field(default=32, ge=1, le=100)
    max_references: int = Field(default=1000, ge=0, le=100_000)
    max_mutations_per_s: float | None = Field(default=None, ge=0, le=1_000_000)
    max_mutation_burst: int = Field(default=500, ge=1, le=1_000_000)
    introspection: bool = True
    explorer: bool = True
    board: bool = True
    allowed_origins: Annotated[frozenset[str], NoDecode] = frozenset()
    stream_idle_s: float = Field(default=30, gt=0, le=86400)
    auth: Literal["none", "jwt"] | None = None
    jwt_secret: SecretStr | None = Field(default=None, min_length=32)
    """RFC 7518, section 3.2: a key of HS256 has at least 256 bits."""
    jwks_url: AnyHttpUrl | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    allow_unauthenticated: bool = False

    startup_timeout_s: float = Field(default=30, gt=0, le=3600)
    request_timeout_s: float = Field(default=10, gt=0, le=300)

    @model_validator(mode="after")
    def survives_a_missed_heartbeat(self) -> Self:
        """A lease outlives one lost heartbeat."""
        if self.heartbeat_s * 2 >= self.lease_s:
            raise ValueError("LOREKEEPER_HEARTBEAT_S must be under half of LOREKEEPER_LEASE_S")
        return self

    @field_validator("database_url", mode="before")
    @classmethod
    def is_understood(cls, value: object) -> object:
        """A database URL names PostgreSQL, and nothing that the driver does not know."""
        if isinstance(value, str):
            url = urlsplit(value)
            if not url.scheme.startswith("postgres"):
                raise ValueError("must begin with postgresql://")
            query = dict(parse_qsl(url.query))
            if unknown := query.keys() - {"sslmode", "host", "port", "ssl"}:
                raise ValueError(f"the parameter {min(unknown)!r} is not understood")
            if query.get("sslmode", "require") not in _SSL_MODES:
                raise ValueError(f"sslmode must be one of {', '.join(_SSL_MODES)}")
        return value

    @model_validator(mode="after")
    def knows_its_tokens(self) -> Self:
        """Where tokens are asked for, there is one way to verify them, and they are meant for us."""
        if self.auth == "none" and (self.jwt_secret or self.jwks_url):
            raise ValueError("LOREKEEPER_AUTH is none, but a way to verify tokens is set: leave one of them out")
        if self.uses_jwt and (self.jwt_secret is None) == (self.jwks_url is None):
            raise ValueError(
                "LOREKEEPER_AUTH=jwt needs either LOREKEEPER_JWT_SECRET or LOREKEEPER_JWKS_URL, and not both"
            )
        if self.jwks_url is not None and self.jwt_audience is None:
            # Who publishes keys signs for many services. Without this, a token for any of them would do.
            raise ValueError("LOREKEEPER_JWKS_URL needs LOREKEEPER_JWT_AUDIENCE")
        return self

    @model_validator(mode="after")
    def keeps_strangers_out(self) -> Self:
        """Without authentication only this machine may connect, unless somebody insists."""
        if not self.uses_jwt and not self.allow_unauthenticated and not is_loopback(self.host):
            raise ValueError(
                f"LOREKEEPER_HOST={self.host} is no loopback address and LOREKEEPER_AUTH is none: "
                "set LOREKEEPER_ALLOW_UNAUTHENTICATED=true if anybody who can connect may use this server"
            )
        return self

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def are_origins(cls, value: object) -> object:
        """Origins are written apart by commas, each as browsers send it."""
        if not isinstance(value, str):
            return value
        return frozenset(map(_origin, _apart(value)))

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def are_webhook_secrets(cls, value: object) -> object:
        """Secrets of webhooks are written apart by commas, each as Standard Webhooks spells it."""
        if not isinstance(value, str):
            return value
        found = _apart(value)
        if len(found) > _MOST_WEBHOOK_SECRETS:
            raise ValueError(f"must be {_MOST_WEBHOOK_SECRETS} secrets at the most: each signs every delivery")
        if not all(map(_is_webhook_secret, found)):
            raise ValueError("must be secrets such as whsec_… (base64 of 24 to 64 bytes), apart by commas")
        return tuple(found)

    @property
    def uses_aws(self) -> bool:
        """Whether SQS is configured, be it AWS itself or a server at `AWS_ENDPOINT_URL`."""
        if self.aws_endpoint_url is not None or self.embedded == "never":
            return True
        named = "sqs_queue_name" in self.model_fields_set
        return named and (self.aws_access_key_id is not None or _has_credentials(os.environ))

    @property
    def uses_jwt(self) -> bool:
        """Whether callers show tokens: where it is not said, whether tokens can be verified."""
        return self.auth == "jwt" or (self.auth is None and bool(self.jwt_secret or self.jwks_url))

    @property
    def simulator_enabled(self) -> bool:
        """Whether the provider `simulator` is offered: by default only with embedded services."""
        if self.simulator is not None:
            return self.simulator
        return self.database_url is None and not self.uses_aws

    @property
    def mutations_per_s(self) -> float:
        """How many mutations a caller may make a second; 0 for any number."""
        if self.max_mutations_per_s is not None:
            return self.max_mutations_per_s
        return _MUTATIONS_PER_S if self.uses_jwt else 0

    @property
    def stream_idle(self) -> timedelta:
        """How long a client of a stream may let what is sent to it wait."""
        return timedelta(seconds=self.stream_idle_s)

    @property
    def lease(self) -> timedelta:
        """How long a worker's right to run a job lasts without a heartbeat."""
        return timedelta(seconds=self.lease_s)


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        ConfigurationError: one line that names the first setting that cannot work.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error)) from None
    if settings.embedded == "never":
        for name in ("database_url", "redis_url"):
            if getattr(settings, name) is None:
                raise ConfigurationError(f"{name.upper()} is required where LOREKEEPER_EMBEDDED=never")
    return settings


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    if name in Settings.model_fields:
        name = f"LOREKEEPER_{name}"
    # The value stays out of the message: it may hold a password.
    return f"{name.upper()}: {message}"


def _apart(text: str) -> list[str]:
    """Return what is written apart by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _origin(text: str) -> str:
    """Return an origin as browsers send it (RFC 6454, section 6.2).

    Raises:
        ValueError: it is none.
    """
    url = urlsplit(text)
    port = url.port
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or "*" in text or url.username is not None:
        raise ValueError("must be origins such as https://lore.example, apart by commas")
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise ValueError("must be origins: a scheme, a host and perhaps a port, without a path")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS[url.scheme]} else f":{port}")


def _is_webhook_secret(text: str) -> bool:
    prefix, _, encoded = text.partition("_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return False
    return prefix == "whsec" and len(key) in _WEBHOOK_SECRET_BYTES


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_credentials(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in _CREDENTIAL_SOURCES)
