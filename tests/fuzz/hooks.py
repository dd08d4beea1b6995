"""What schemathesis cannot know: values for the scalars of our schema, and what counts as a failure.

Loaded by schemathesis itself (`SCHEMATHESIS_HOOKS`), not by pytest.
"""

import json
from datetime import UTC
from typing import Any, Final

import schemathesis
from graphql import ValueNode, parse_value
from hypothesis import strategies as st

from tests.unit.test_errors import PUBLIC_CODES

_NAMES: Final = st.sampled_from(["description", "width", "seed", "duration_ms", "steps", "size_bytes", "other"])
_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)
_PROMPTS: Final[list[object]] = [
    {},
    {"duration_ms": 1, "fail_attempts": 1},
    {"description": "A lake", "width": 64},
]
_ZONES: Final = st.just(UTC) | st.timezones() | st.none()
_INSTANTS: Final = st.datetimes(timezones=_ZONES).map(lambda value: value.isoformat())


def _literal(value: object) -> str:
    """Return JSON as GraphQL writes it, with names that are not quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value)


def _node(value: object) -> ValueNode:
    return parse_value(_literal(value))


schemathesis.graphql.scalar("JSON", (st.sampled_from(_PROMPTS) | _JSON).map(_node))
schemathesis.graphql.scalar("DateTime", (_INSTANTS | st.text()).map(_node))


@schemathesis.check
def it_answers_with_data_or_a_public_code(
    context: schemathesis.CheckContext,  # noqa: ARG001 - schemathesis calls it so
    response: schemathesis.Response,
    case: schemathesis.Case[Any],  # noqa: ARG001 - likewise
) -> None:
    """Whatever is sent, the answer is data or errors with codes of the contract, none of which is our fault."""
    assert response.status_code < 500
    for error in response.json().get("errors", []):
        code = error.get("extensions", {}).get("code")
        assert code in PUBLIC_CODES - {"INTERNAL", "UNAVAILABLE"}, error
