"""Where GraphQL's own refusals of values are: in literals, in variables, and in both at once."""

from types import SimpleNamespace
from typing import Any, Final

import pytest

from schema import build_schema

SCHEMA: Final = build_schema()
CREATE: Final = "mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { created } }"
VALID: Final = {"worldId": "w", "assetType": "IMAGE", "provider": "local", "promptSpec": {}}
LITERAL: Final = 'worldId: "w", assetType: IMAGE, provider: "local", promptSpec: {}'
BIG: Final = 2**31


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in VALID.items() if key != name}


VARIABLES: Final[list[tuple[str, dict[str, Any], list[list[str | int]]]]] = [
    (CREATE, {"input": VALID | {"priority": BIG}}, [["input", "priority"]]),
    (CREATE, {"input": VALID | {"priority": "5"}}, [["input", "priority"]]),
    (CREATE, {"input": VALID | {"priority": 10**400}}, [["input", "priority"]]),
    (CREATE, {"input": VALID | {"assetType": "WOBBLE"}}, [["input", "assetType"]]),
    (CREATE, {"input": VALID | {"worldId": None}}, [["input", "worldId"]]),
    (CREATE, {"input": VALID | {"runAt": "soon"}}, [["input", "runAt"]]),
    (CREATE, {"input": VALID | {"runAt": 5}}, [["input", "runAt"]]),
    (CREATE, {"input": VALID | {"runAt": {}}}, [["input", "runAt"]]),
    (CREATE, {"input": VALID | {"runAt": "2026-13-45T99:99:99Z"}}, [["input", "runAt"]]),
    (CREATE, {"input": without("worldId")}, [["input", "worldId"]]),
    (CREATE, {"input": VALID | {"wordlId": 1}}, [["input", "wordlId"]]),
    (CREATE, {"input": VALID | {"references": {"claimIds": ["a", {}]}}}, [["input", "references", "claimIds", 1]]),
    (CREATE, {"input": VALID | {"references": 7}}, [["input", "references"]]),
    (CREATE, {"input": "x"}, [["input"]]),
    (CREATE, {"input": None}, [["input"]]),
    (CREATE, {}, [["input"]]),
    (
        CREATE,
        {"input": without("worldId") | {"priority": "high", "maxAttempts": [], "zzz": 1}},
        [["input", "worldId"], ["input", "priority"], ["input", "maxAttempts"], ["input", "zzz"]],
    ),
    (
        "mutation($given: CreateAssetJobInput!) { createAssetJob(input: $given) { created } }",
        {"given": VALID | {"priority": "high"}},
        [["input", "priority"]],
    ),
    (
        f"mutation($p: Int) {{ createAssetJob(input: {{{LITERAL}, priority: $p}}) {{ created }} }}",
        {"p": BIG},
        [["input", "priority"]],
    ),
    (
        f"mutation($i: ID!) {{createAssetJob(input: {{{LITERAL}, references: {{claimIds:[1,$i]}}}}) {{created}}}}",
        {"i": []},
        [["input", "references", "claimIds", 1]],
    ),
    (
        "query($n: Int) { ...f } fragment f on Query { jobs(first: $n) { totalCount } }",
        {"n": "many"},
        [["first"]],
    ),
    (
        "query($a: Int!, $b: [JobStatus!]) { jobs(first: $a, filter: {status: $b}) { totalCount } }",
        {"b": ["QUEUED", "GONE"]},
        [["first"], ["filter", "status", 1]],
    ),
]
LITERALS: Final[list[tuple[str, list[list[str | int]]]]] = [
    ('{ jobs(first: "x") { totalCount } }', [["first"]]),
    ("{ jobs(filter: {status: [QUEUED, GONE]}) { totalCount } }", [["filter", "status", 1]]),
    ("{ jobs(filter: {wrold: 1}) { totalCount } }", [["filter", "wrold"]]),
    ("{ jobs(frist: 1) { totalCount } }", [["frist"]]),
    ('mutation { createAssetJob(input: {worldId: "w"}) { created } }', [["input"]] * 3),
    (f"{{ jobs(first: {BIG}) {{ totalCount }} }}", [["first"]]),
    ("{ jobs(first: " + "9" * 5000 + ") { totalCount } }", [["first"]]),
]
ELSEWHERE: Final = ["{ nonsense }", "{", "query($x: Nothing) { jobs(first: $x) { totalCount } }", "{ job { id } }"]


async def refusals(query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await SCHEMA.execute(query, variable_values=variables, context_value=SimpleNamespace(identity=None))
    assert answer.errors
    return [dict(error.extensions or {}) for error in answer.errors]


@pytest.mark.parametrize(("query", "variables", "paths"), VARIABLES)
async def test_what_is_wrong_in_a_variable_is_told_by_its_path(
    query: str, variables: dict[str, Any], paths: list[list[str | int]]
) -> None:
    found = await refusals(query, variables)
    assert found == [{"code": "BAD_USER_INPUT", "path": path} for path in paths]


@pytest.mark.parametrize(("query", "paths"), LITERALS)
async def test_what_is_wrong_in_a_literal_is_told_by_its_path(query: str, paths: list[list[str | int]]) -> None:
    assert await refusals(query, {}) == [{"code": "BAD_USER_INPUT", "path": path} for path in paths]


@pytest.mark.parametrize("query", ELSEWHERE)
async def test_what_is_wrong_elsewhere_has_no_path(query: str) -> None:
    assert {"code": "BAD_USER_INPUT"} in await refusals(query, {})


async def test_an_extension_that_fails_tells_nothing() -> None:
    """It fails where Strawberry masks no errors any more: here because a mutation has no context."""
    query = "mutation { __typename }"
    answer = await SCHEMA.execute(query, context_value=object())
    assert answer.errors
    assert [set(error.extensions or {}) for error in answer.errors] == [{"code", "logId"}]
    assert "object" not in str(answer.errors)
