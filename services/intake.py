"""What a client may ask for: a request is validated here and becomes a new job, or names what is wrong with it."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from services.catalog import Catalog
from services.errors import InvalidInput
from services.lifecycle import JobStatus
from services.models import AssetType, DerivationRecord, JobRecord, new_id
from services.moves import NewJob

_ID_LENGTH: Final = 200
_LONGEST_PATH: Final = 16
_MOST_INTEGER: Final = 2**53
"""Beyond, JavaScript clients and PostgreSQL's jsonb would no longer agree on the value (RFC 8259, section 6)."""
_MOST_ATTEMPTS: Final = 100
_LONGEST_RUN_S: Final = 43_200
_LONGEST_URL: Final = 2000
_FARTHEST: Final = timedelta(days=366)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters, lone surrogates and non-characters: SQS refuses what XML 1.0 cannot hold."""
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
"""NUL, which PostgreSQL's text cannot hold, and lone surrogates, which no encoding can."""
_NOT_IN_URLS: Final = re.compile(r"""[\s"<>\\^`{|}]""")
"""What RFC 3986 leaves out, so that no two parsers find different hosts in one URL."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class InputLimits:
    """The most that one request may have.

    Attributes:
        prompt_bytes: of promptSpec, as compact JSON.
        snapshot_bytes: of loreSnapshot, likewise.
        depth: lists and objects inside each other, of both.
        references: ids of one kind.
        webhooks: whether there may be a webhookUrl at all.
    """

    prompt_bytes: int = 64 * 1024
    snapshot_bytes: int = 256 * 1024
    depth: int = 32
    references: int = 1000
    webhooks: bool = True


BY_DEFAULT: Final = InputLimits()


@dataclass(frozen=True, slots=True)
class References:
    """Ids of what an asset derives from."""

    claim_ids: Sequence[str] = ()
    entity_ids: Sequence[str] = ()
    source_chunk_ids: Sequence[str] = ()
    source_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a client asks for, not yet validated. Names and meanings are those of CreateAssetJobInput."""

    world_id: str
    asset_type: AssetType
    provider: str
    prompt_spec: Any
    model_id: str | None = None
    references: References = field(default_factory=References)
    lore_snapshot: Any = None
    priority: int = 5
    run_at: datetime | None = None
    max_attempts: int = 3
    timeout_s: int | None = None
    idempotency_key: str | None = None
    reuse_identical: bool = False
    webhook_url: str | None = None


def parse_id(value: str, path: Sequence[str | int] = ("id",)) -> UUID:
    """Return an id of ours.

    Raises:
        InvalidInput: it is not the canonical form of a UUID.
    """
    try:
        parsed = UUID(value)
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != value.lower():
        raise InvalidInput(path, "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
    return parsed


def accept(
    request: JobRequest,
    catalog: Catalog,
    *,
    requested_by: str,
    path: Path = ("input",),
    limits: InputLimits = BY_DEFAULT,
) -> NewJob:
    """Validate a request and return the job that it asks for.

    Raises:
        InvalidInput: the first value that breaks a rule, by its path.
    """
    world_id = check_name(request.world_id, (*path, "worldId"))
    provider = catalog.find(check_name(request.provider, (*path, "provider")), path)
    prompt_spec = _json(request.prompt_spec, (*path, "promptSpec"), limits.prompt_bytes, limits.depth)
    provider.check(request.asset_type, request.model_id, prompt_spec, path)
    derivation = DerivationRecord.model_construct(
        job_id=new_id(),
        prompt_spec=prompt_spec,
        lore_snapshot=_json(request.lore_snapshot, (*path, "loreSnapshot"), limits.snapshot_bytes, limits.depth),
        **_references(request.references, (*path, "references"), limits.references),
    )
    job = JobRecord.model_construct(
        id=derivation.job_id,
        world_id=world_id,
        asset_type=request.asset_type,
        provider=provider.name,
        model_id=request.model_id,
        status=JobStatus.QUEUED,
        seq=1,
        max_attempts=_within(request.max_attempts, 1, _MOST_ATTEMPTS, (*path, "maxAttempts")),
        priority=_within(request.priority, 0, 9, (*path, "priority")),
        requested_by=requested_by,
        idempotency_key=_optional_name(request.idempotency_key, (*path, "idempotencyKey")),
        input_hash="",
        webhook_url=_webhook_url(request.webhook_url, (*path, "webhookUrl"), is_on=limits.webhooks),
        timeout_s=_optional_within(request.timeout_s, 1, _LONGEST_RUN_S, (*path, "timeoutSeconds")),
        run_at=_instant(request.run_at, (*path, "runAt")),
    )
    job.input_hash = _input_hash(job, derivation)
    return NewJob(job, derivation, request.reuse_identical)


def _input_hash(job: JobRecord, derivation: DerivationRecord) -> str:
    """SHA-256 of the canonical JSON of all that decides what is generated."""
    inputs = {
        "world": job.world_id,
        "type": job.asset_type,
        "provider": job.provider,
        "model": job.model_id,
        "promptSpec": derivation.prompt_spec,
        "claims": sorted(derivation.claim_ids),
        "entities": sorted(derivation.entity_ids),
        "sourceChunks": sorted(derivation.source_chunk_ids),
        "source": derivation.source_id,
        "loreSnapshot": derivation.lore_snapshot,
    }
    return hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()


def check_name(value: str, path: Path) -> str:
    """Return a name or id from outside.

    Raises:
        InvalidInput: it is empty, too long, or holds what no name should.
    """
    if not value.strip():
        raise InvalidInput(path, "must not be empty")
    if len(value) > _ID_LENGTH:
        raise InvalidInput(path, f"is longer than {_ID_LENGTH} characters")
    if _UNPRINTABLE.search(value):
        raise InvalidInput(path, "holds a control character or another that no text should")
    return value


def _optional_name(value: str | None, path: Path) -> str | None:
    return None if value is None else check_name(value, path)


def _webhook_url(value: str | None, path: Path, *, is_on: bool) -> str | None:
    if value is None:
        return None
    if not is_on:
        # Not taken and then never called; nor called without a signature.
        raise InvalidInput(path, "cannot be called: webhooks are not switched on here")
    if len(value) > _LONGEST_URL:
        raise InvalidInput(path, f"is longer than {_LONGEST_URL} characters")
    if _UNPRINTABLE.search(value) or _NOT_IN_URLS.search(value):
        raise InvalidInput(path, "holds a character that no URL may hold")
    try:
        url = urlsplit(value)
        is_reachable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:  # a host or a port that cannot be one
        is_reachable = False
    if not is_reachable:
        raise InvalidInput(path, "must be an http or https URL")
    if "@" in url.netloc:
        raise InvalidInput(path, "must not hold credentials")
    if "#" in value:
        raise InvalidInput(path, "must not hold a fragment")
    return value


def _within(value: int, least: int, most: int, path: Path) -> int:
    if not least <= value <= most:
        raise InvalidInput(path, f"must be from {least} to {most}")
    return value


def _optional_within(value: int | None, least: int, most: int, path: Path) -> int | None:
    return None if value is None else _within(value, least, most, path)


def _instant(value: datetime | None, path: Path) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise InvalidInput(path, "needs a time zone, such as a final Z")
    if value > datetime.now(UTC) + _FARTHEST:
        raise InvalidInput(path, f"lies more than {_FARTHEST.days} days ahead")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(path, "lies before the year 1 in UTC") from None


def _references(references: References, path: Path, most: int) -> dict[str, Any]:
    lists = {
        "claim_ids": ("claimIds", references.claim_ids),
        "entity_ids": ("entityIds", references.entity_ids),
        "source_chunk_ids": ("sourceChunkIds", references.source_chunk_ids),
    }
    found: dict[str, Any] = {"source_id": _optional_name(references.source_id, (*path, "sourceId"))}
    for column, (name, ids) in lists.items():
        if len(ids) > most:
            raise InvalidInput((*path, name), f"holds more than {most} ids")
        found[column] = [check_name(value, (*path, name, i)) for i, value in enumerate(ids)]
    return found


def _json(value: Any, path: Path, most_bytes: int, most_depth: int) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value with every number in its one spelling.

    1, 1.0 and 1e0 are the same number (RFC 8785, section 3.2.2.3), so they become the same value.
    """
    canonical = _canonical(value, path, most_depth)
    if len(orjson.dumps(canonical)) > most_bytes:
        raise InvalidInput(path, f"is larger than {most_bytes} bytes")
    return canonical


def _canonical(value: Any, path: Path, depth_left: int) -> Any:  # noqa: ANN401 - one return a kind of JSON
    if depth_left < 0:
        raise InvalidInput(path[:_LONGEST_PATH], "is nested too deeply")
    match value:
        case None | bool():
            return value
        case str():
            return _storable(value, path)
        case int():
            if abs(value) > _MOST_INTEGER:
                raise InvalidInput(path, "is an integer beyond 2^53")
            return value
        case float():
            if not math.isfinite(value):
                raise InvalidInput(path, "is not a finite number")
            return int(value) if value.is_integer() and abs(value) <= _MOST_INTEGER else value
        case list():
            return [_canonical(item, (*path, i), depth_left - 1) for i, item in enumerate(value)]
        case dict():
            return {
                _storable(name, path): _canonical(item, (*path, name), depth_left - 1)
                for name, item in value.items()
            }
    raise InvalidInput(path, "is not JSON")


def _storable(text: str, path: Path) -> str:
    if _UNSTORABLE.search(text):
        raise InvalidInput(path, "holds a NUL or half of a surrogate pair")
    return text
