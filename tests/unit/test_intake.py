"""What a client may ask for: every rule by the value that breaks it, and what makes two requests the same."""

import hashlib
import json
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog import LOCAL, SIMULATOR, Catalog, ProviderSpec
from services.errors import InvalidInput
from services.intake import References, accept, parse_id
from services.lifecycle import JobStatus
from services.models import AssetType
from services.moves import NewJob
from tests.factories import a_request

ANYTHING: Final = ProviderSpec("anything", {kind: {} for kind in AssetType}, models=("small", "large"))
OTHER: Final = ProviderSpec("other", {kind: {} for kind in AssetType}, models=("small", "large"))
PAINTER: Final = ProviderSpec("painter", {AssetType.IMAGE: {}})
CATALOG: Final = Catalog([ANYTHING, OTHER, PAINTER, LOCAL, SIMULATOR])
KIB: Final = 1024


def accepted(**changes: Any) -> NewJob:
    """Let the intake accept a request, by default of a provider that takes any promptSpec."""
    return accept(a_request(**{"provider": "anything"} | changes), CATALOG, requested_by="tester")


def refused(**changes: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        accepted(**changes)
    return caught.value


def hash_of(**changes: Any) -> str:
    return accepted(**changes).job.input_hash


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD_NAMES: Final = {
    "empty": "",
    "blank": " \t ",
    "too long": "x" * 201,
    "newline": "a\nb",
    "NUL": "a\x00b",
    "escape": "\x1b[31m",
    "delete": "a\x7f",
    "C1 control": "a\x85b",
    "lone surrogate": "a\ud800",
}
GOOD_NAMES: Final = ["x", "x" * 200, "Ærendel 龍", "a/b:c.d", "😀"]
LATER: Final = datetime.now(UTC) + timedelta(days=367)
BAD_FIELDS: Final[dict[str, tuple[dict[str, Any], tuple[str | int, ...]]]] = {
    "unknown provider": ({"provider": "dall-e"}, ("provider",)),
    "provider in other case": ({"provider": "Anything"}, ("provider",)),
    "type not made": ({"provider": "painter", "asset_type": AssetType.VIDEO}, ("assetType",)),
    "unknown model": ({"model_id": "huge"}, ("modelId",)),
    "empty model": ({"model_id": ""}, ("modelId",)),
    "model where none is to choose": ({"provider": "simulator", "model_id": "small"}, ("modelId",)),
    "priority below": ({"priority": -1}, ("priority",)),
    "priority above": ({"priority": 10}, ("priority",)),
    "no attempts": ({"max_attempts": 0}, ("maxAttempts",)),
    "too many attempts": ({"max_attempts": 101}, ("maxAttempts",)),
    "no time": ({"timeout_s": 0}, ("timeoutSeconds",)),
    "negative time": ({"timeout_s": -5}, ("timeoutSeconds",)),
    "too much time": ({"timeout_s": 43_201}, ("timeoutSeconds",)),
    "instant without a zone": ({"run_at": datetime(2026, 1, 1)}, ("runAt",)),  # noqa: DTZ001 - what is refused
    "instant too far ahead": ({"run_at": LATER}, ("runAt",)),
    "last instant of the calendar": ({"run_at": datetime.max.replace(tzinfo=UTC)}, ("runAt",)),
    "instant before the calendar": (
        {"run_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
        ("runAt",),
    ),
    "too many claims": ({"references": References(claim_ids=["c"] * 1001)}, ("references", "claimIds")),
    "too many entities": ({"references": References(entity_ids=["e"] * 1001)}, ("references", "entityIds")),
    "too many chunks": (
        {"references": References(source_chunk_ids=["s"] * 1001)},
        ("references", "sourceChunkIds"),
    ),
    "promptSpec missing a field": ({"provider": "local", "prompt_spec": {}}, ("promptSpec",)),
    "promptSpec of another kind": ({"provider": "local", "prompt_spec": "a lake"}, ("promptSpec",)),
    "promptSpec field of another kind": (
        {"provider": "local", "prompt_spec": {"description": "a lake", "width": "wide"}},
        ("promptSpec", "width"),
    ),
    "promptSpec out of bounds": ({"provider": "simulator", "prompt_spec": {"steps": -1}}, ("promptSpec", "steps")),
    "promptSpec with more": ({"provider": "simulator", "prompt_spec": {"stepps": 1}}, ("promptSpec",)),
    "error code with a newline": (
        {"provider": "simulator", "prompt_spec": {"error_code": "BROKEN\n"}},
        ("promptSpec", "error_code"),
    ),
}
BAD_JSON: Final[dict[str, tuple[Any, tuple[str | int, ...]]]] = {
    "NUL": ("a\x00", ()),
    "NUL inside": ({"a": [1, {"b": "\x00"}]}, ("a", 1, "b")),
    "NUL in a name": ({"a": {"b\x00": 1}}, ("a",)),
    "lone surrogate": ({"a": ["\udfff"]}, ("a", 0)),
    "lone surrogate in a name": ({"\ud800": 1}, ()),
    "not a number": ({"a": math.nan}, ("a",)),
    "infinity": ([math.inf], (0,)),
    "minus infinity": ([1, -math.inf], (1,)),
    "integer too large": ({"a": 2**53 + 1}, ("a",)),
    "integer too small": ({"a": -(2**53) - 1}, ("a",)),
    "integer huge": (10**5000, ()),
    "too deep": (nested(33), (0,) * 14),
    "very deep": (nested(5000), (0,) * 14),
    "no JSON": ({"a": object()}, ("a",)),
    "bytes": (b"{}", ()),
}


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(
    ("field", "path"),
    [("world_id", "worldId"), ("provider", "provider"), ("idempotency_key", "idempotencyKey")],
)
def test_a_bad_name_is_refused_by_its_path(field: str, path: str, name: str) -> None:
    assert refused(**{field: BAD_NAMES[name]}).path == ("input", path)


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(
    ("field", "path"),
    [("claim_ids", "claimIds"), ("entity_ids", "entityIds"), ("source_chunk_ids", "sourceChunkIds")],
)
def test_a_bad_reference_is_refused_by_its_index(field: str, path: str, name: str) -> None:
    ids: dict[str, Any] = {field: ["fine", BAD_NAMES[name]]}
    assert refused(references=References(**ids)).path == ("input", "references", path, 1)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_source_is_refused_by_its_path(name: str) -> None:
    error = refused(references=References(source_id=BAD_NAMES[name]))
    assert error.path == ("input", "references", "sourceId")


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_value_that_breaks_a_rule_is_refused_by_its_path(case: str) -> None:
    changes, path = BAD_FIELDS[case]
    assert refused(**changes).path == ("input", *path)


@pytest.mark.parametrize(("field", "path"), [("prompt_spec", "promptSpec"), ("lore_snapshot", "loreSnapshot")])
@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_cannot_be_kept_is_refused_by_its_path(field: str, path: str, case: str) -> None:
    value, inner = BAD_JSON[case]
    assert refused(**{field: value}).path == ("input", path, *inner)


@pytest.mark.parametrize(
    ("field", "path", "most"),
    [("prompt_spec", "promptSpec", 64 * KIB), ("lore_snapshot", "loreSnapshot", 256 * KIB)],
)
def test_json_is_accepted_up_to_its_size_and_no_further(field: str, path: str, most: int) -> None:
    room = most - len('{"a":""}')
    accepted(**{field: {"a": "x" * room}})
    assert refused(**{field: {"a": "x" * (room + 1)}}).path == ("input", path)
    # Bytes count, not characters.
    assert refused(**{field: {"a": "龍" * (room // 2)}}).path == ("input", path)


def test_a_path_starts_where_the_caller_says() -> None:
    with pytest.raises(InvalidInput) as caught:
        accept(a_request(priority=10), CATALOG, requested_by="tester", path=("inputs", 7))
    assert caught.value.path == ("inputs", 7, "priority")
    assert str(caught.value) == "inputs.7.priority: must be from 0 to 9"


def test_a_refusal_does_not_repeat_a_long_value() -> None:
    for error in (
        refused(prompt_spec={"a": "x" * 65_536}),
        refused(world_id="x" * 100_000),
        refused(provider="simulator", prompt_spec={"error_code": "x" * 60_000}),
    ):
        assert len(str(error)) < 500


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_any_script_are_accepted(name: str) -> None:
    new = accepted(world_id=name, idempotency_key=name, references=References([name], [name], [name], name))
    assert (new.job.world_id, new.job.idempotency_key, new.derivation.source_id) == (name, name, name)
    assert new.derivation.claim_ids == new.derivation.entity_ids == new.derivation.source_chunk_ids == [name]


def test_the_extremes_are_accepted() -> None:
    for changes in (
        {"priority": 0, "max_attempts": 1, "timeout_s": 1},
        {"priority": 9, "max_attempts": 100, "timeout_s": 43_200},
        {"references": References(claim_ids=["c"] * 1000)},
        {"prompt_spec": nested(32)},
        {"prompt_spec": [2**53, -(2**53), 1e300, 5e-324]},
        {"run_at": datetime.now(UTC) + timedelta(days=365)},
        {"run_at": datetime(1970, 1, 1, tzinfo=UTC)},
    ):
        accepted(**changes)


def test_an_accepted_request_becomes_a_queued_job_with_its_inputs() -> None:
    at = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    new = accepted(model_id="small", prompt_spec={"a": 1}, lore_snapshot=[1], run_at=at, priority=7)
    job = new.job
    assert (job.status, job.seq, job.attempt, job.max_attempts, job.priority) == (JobStatus.QUEUED, 1, 0, 3, 7)
    assert (job.world_id, job.provider, job.model_id, job.requested_by) == (
        "eldoria",
        "anything",
        "small",
        "tester",
    )
    assert job.run_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert job.run_at is not None
    assert job.run_at.tzinfo is UTC
    assert job.id == new.derivation.job_id
    assert job.id.version == 7
    assert (new.derivation.prompt_spec, new.derivation.lore_snapshot) == ({"a": 1}, [1])


SAME: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "order of names": (
        {"prompt_spec": {"a": 1, "b": {"c": 2, "d": 3}}},
        {"prompt_spec": {"b": {"d": 3, "c": 2}, "a": 1}},
    ),
    "order of names in the snapshot": (
        {"lore_snapshot": {"a": 1, "b": 2}},
        {"lore_snapshot": {"b": 2, "a": 1}},
    ),
    "1 and 1.0": ({"prompt_spec": [1]}, {"prompt_spec": [1.0]}),
    "1 and 1e0": ({"prompt_spec": json.loads("[1]")}, {"prompt_spec": json.loads("[1e0]")}),
    "0 and -0.0": ({"prompt_spec": [0]}, {"prompt_spec": [-0.0]}),
    "1e2 and 100": ({"lore_snapshot": {"a": 100}}, {"lore_snapshot": {"a": 1e2}}),
    "0.1 and 1e-1": ({"prompt_spec": json.loads("[0.1]")}, {"prompt_spec": json.loads("[1e-1]")}),
    "order of claims": ({"references": References(["a", "b"])}, {"references": References(["b", "a"])}),
    "order of entities": ({"references": References((), ["a", "b"])}, {"references": References((), ["b", "a"])}),
    "order of chunks": (
        {"references": References((), (), ["a", "b"])},
        {"references": References((), (), ["b", "a"])},
    ),
    "priority": ({}, {"priority": 9}),
    "time": ({}, {"run_at": datetime.now(UTC), "timeout_s": 5, "max_attempts": 9}),
    "key": ({}, {"idempotency_key": "key", "reuse_identical": True}),
    "webhook": ({}, {"webhook_url": "https://hooks.example/"}),
}
DIFFERENT: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "world": ({}, {"world_id": "elsewhere"}),
    "type": ({}, {"asset_type": AssetType.MAP}),
    "provider": ({}, {"provider": "other"}),
    "model": ({"model_id": "small"}, {"model_id": "large"}),
    "no model": ({"model_id": "small"}, {}),
    "promptSpec": ({"prompt_spec": {"a": 1}}, {"prompt_spec": {"a": 2}}),
    "order of items": ({"prompt_spec": [1, 2]}, {"prompt_spec": [2, 1]}),
    "null and nothing": ({"prompt_spec": {"a": None}}, {"prompt_spec": {}}),
    "number and text": ({"prompt_spec": [1]}, {"prompt_spec": ["1"]}),
    "number and boolean": ({"prompt_spec": [1]}, {"prompt_spec": [True]}),
    "close numbers": ({"prompt_spec": [0.1]}, {"prompt_spec": [0.1 + 2**-56]}),
    "claims": ({}, {"references": References(["a"])}),
    "claims and entities": ({"references": References(["a"])}, {"references": References((), ["a"])}),
    "entities and chunks": ({"references": References((), ["a"])}, {"references": References((), (), ["a"])}),
    "chunks": ({}, {"references": References((), (), ["a"])}),
    "source": ({}, {"references": References(source_id="a")}),
    "snapshot": ({}, {"lore_snapshot": {"a": 1}}),
    "snapshot and promptSpec": ({"prompt_spec": 1}, {"lore_snapshot": 1, "prompt_spec": None}),
}


@pytest.mark.parametrize("what", SAME)
def test_the_input_hash_does_not_depend_on(what: str) -> None:
    one, other = SAME[what]
    assert hash_of(**one) == hash_of(**other)


@pytest.mark.parametrize("what", DIFFERENT)
def test_the_input_hash_depends_on(what: str) -> None:
    one, other = DIFFERENT[what]
    assert hash_of(**one) != hash_of(**other)


def test_the_input_hash_is_a_hex_sha256_that_no_restart_changes() -> None:
    # Written down: stored hashes must be found again by later versions.
    new = accepted(prompt_spec={"b": [1.0, 2.5], "a": "龍"}, references=References(["y", "x"], source_id="s"))
    canonical = (
        '{"claims":["x","y"],"entities":[],"loreSnapshot":null,"model":null,"promptSpec":{"a":"龍","b":[1,2.5]},'
        '"provider":"anything","source":"s","sourceChunks":[],"type":"IMAGE","world":"eldoria"}'
    )
    assert new.job.input_hash == hashlib.sha256(canonical.encode()).hexdigest()


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
)


@given(value=JSON)
def test_canonicalisation_is_idempotent(value: Any) -> None:
    first = accepted(prompt_spec=value, lore_snapshot=value)
    again = accepted(prompt_spec=first.derivation.prompt_spec, lore_snapshot=first.derivation.lore_snapshot)
    assert orjson.dumps(again.derivation.prompt_spec) == orjson.dumps(first.derivation.prompt_spec)
    assert first.derivation.prompt_spec == value
    assert again.job.input_hash == first.job.input_hash


@given(value=JSON)
def test_accepted_json_comes_back_from_its_bytes_as_it_was(value: Any) -> None:
    kept = accepted(prompt_spec=value).derivation.prompt_spec
    returned = orjson.loads(orjson.dumps(kept))
    assert repr(returned) == repr(kept)  # also 1 and 1.0, which are equal for Python
    assert hash_of(prompt_spec=returned) == hash_of(prompt_spec=value)


@given(value=JSON)
def test_the_spelling_of_another_encoder_gives_the_same_hash(value: Any) -> None:
    respelled = json.loads(json.dumps(value, indent=2, sort_keys=True))
    assert hash_of(prompt_spec=respelled) == hash_of(prompt_spec=value)


@given(value=ANY_JSON)
def test_no_json_raises_anything_but_invalid_input(value: Any) -> None:
    with suppress(InvalidInput):
        accepted(prompt_spec=value)


@given(name=st.text(st.characters(exclude_categories=())))
def test_no_name_raises_anything_but_invalid_input(name: str) -> None:
    with suppress(InvalidInput):
        accepted(world_id=name, idempotency_key=name).job.world_id.encode()


@given(known=st.uuids())
def test_an_id_is_read_in_its_canonical_form_in_either_case(known: UUID) -> None:
    assert parse_id(str(known)) == parse_id(str(known).upper()) == known


@pytest.mark.parametrize(
    "spell",
    [
        lambda _: "",
        lambda known: known.hex,
        lambda known: f"{{{known}}}",
        lambda known: known.urn,
        lambda known: f" {known}",
        lambda known: f"{known}\n",
        lambda known: str(known)[:-1],
        lambda known: str(known).replace("0", "\u0660"),
        lambda known: str(known).replace("0", "O"),
        lambda _: "\ud800",
        lambda _: "1",
    ],
)
def test_another_spelling_of_an_id_is_refused(spell: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_id(spell(UUID("01890a5d-ac96-774b-bcce-b302099a8057")), ["jobId"])
    assert caught.value.path == ("jobId",)


@given(text=st.text(st.characters(exclude_categories=())))
def test_no_text_as_an_id_raises_anything_but_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_id(text)


def test_ids_sort_by_creation() -> None:
    ids = [accepted().job.id for _ in range(50)]
    assert ids == sorted(ids)
    assert uuid4() not in ids
