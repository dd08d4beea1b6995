"""Limits of documents: each on both sides of its border, in whatever form a document hides what it has."""

from dataclasses import replace
from time import perf_counter
from typing import Final

import pytest
from graphql import get_introspection_query, parse
from strawberry import Schema

from schema import build_schema
from schema.documents import Documents
from schema.limits import Limits
from services.settings import Settings

SCHEMA: Final = build_schema()._schema  # noqa: SLF001 - graphql-core's, which the rules read
ANY: Final = Limits(**dict.fromkeys(Limits.__slots__, 10**9))
ID: Final = '"01890a5d-ac96-774b-bcce-b302099a8057"'


def problems(document: str, **limits: int) -> list[str]:
    found = replace(ANY, page=100, **limits).check(SCHEMA, parse(document), {})
    return [error.message for error in found]


def jobs(inner: str, arguments: str = "") -> str:
    return f"{{ jobs{arguments} {{ edges {{ node {{ {inner} }} }} }} }}"


BORDERS: Final = {
    "a page": ("depth", 4, jobs("id")),
    "inline fragments are no level": ("depth", 4, jobs("... { ... on AssetJob { id } }")),
    "spreads are no level": ("depth", 4, jobs("...f") + " fragment f on AssetJob { id }"),
    "what a spread brings": ("depth", 5, jobs("...f") + " fragment f on AssetJob { asset { id } }"),
    "the deepest operation": ("depth", 4, "query a { __typename } query b " + jobs("id")),
    "a subscription": ("depth", 3, 'subscription { worldUpdates(worldId: "w") { job { id } } }'),
    "a mutation": ("depth", 3, f"mutation {{ cancelJob(id: {ID}) {{ asset {{ id }} }} }}"),
    "fields": ("fields", 5, jobs("id status")),
    "fields again and again": ("fields", 7, "{" + "__typename " * 7 + "}"),
    "fields of a fragment for each spread": (
        "fields",
        6,
        f"{{ a: job(id: {ID}) {{ ...f }} b: job(id: {ID}) {{ ...f }} }} fragment f on AssetJob {{ id seq }}",
    ),
    "aliases": ("aliases", 2, jobs("a: id b: id")),
    "aliases in a fragment": (
        "aliases",
        4,
        f"{{ a: job(id: {ID}) {{ ...f }} b: job(id: {ID}) {{ ...f }} }} fragment f on AssetJob {{ c: id }}",
    ),
    "aliases of introspection": ("aliases", 2, "{ a: __typename b: __schema { queryType { name } } }"),
    "directives": ("directives", 2, "{ __typename @skip(if: false) ... @include(if: true) { __typename } }"),
    "directives of the operation": ("directives", 3, "query($x: Int @a) @b { ...f @c } fragment f on Query { x }"),
    "directives of a fragment": ("directives", 1, "{ ...f } fragment f on Query @a { __typename }"),
    "directives that nobody knows": ("directives", 10, "{ __typename " + "@a" * 10 + "}"),
    "a page with a size": ("cost", 1 + 30 * 3, jobs("id", "(first: 30)")),
    "the end of a list": ("cost", 1 + 30 * 3, jobs("id", "(last: 30)")),
    "a page without a size": ("cost", 1 + 20 * 3, jobs("id")),
    "a page whose size only the variables tell": (
        "cost",
        1 + 100 * 3,
        "query($n: Int) " + jobs("id", "(first: $n)"),
    ),
    "a page that is larger than any": ("cost", 1 + 100 * 3, jobs("id", "(first: 99999999999999999999)")),
    "a page of nothing": ("cost", 1 + 3, jobs("id", "(first: -5)")),
    "a page inside a page": (
        "cost",
        1 + 10 * (1 + 1 + 1 + 50 * 3),
        jobs("history { edges { node { seq } } }", "(first: 10)"),
    ),
    "values that may be large": (
        "cost",
        1 + 10 * (1 + 1 + 1 + 8 + 32),
        jobs("derivation { promptSpec loreSnapshot }", "(first: 10)"),
    ),
    "as many answers as inputs": (
        "cost",
        6,
        "mutation { createAssetJobs(inputs: [{}, {}, {}, {}]) { created job { id } } }",
    ),
    "as many as by default": (
        "cost",
        2,
        "mutation($i: [CreateAssetJobInput!]! = [{}, {}, {}]) { createAssetJobs(inputs: $i) { created } }",
    ),
    "a page inside of fragments": (
        "cost",
        1 + 10 * 2,
        "{ jobs(first: 10) { ...p } } fragment p on AssetJobConnection { edges { cursor } }",
    ),
}
"""A limit, the value at which the document just passes it, and the document."""


@pytest.mark.parametrize("name", BORDERS)
def test_a_limit_lets_through_what_has_as_much_and_nothing_that_has_more(name: str) -> None:
    limit, most, document = BORDERS[name]
    assert problems(document, **{limit: most}) == []
    (problem,) = problems(document, **{limit: most - 1})
    assert problem.startswith(f"More than {most - 1} ")


def test_inputs_are_counted_with_each_request() -> None:
    documents = Documents(Limits.of(Settings.model_construct(max_cost=20)), introspection=True)
    document = documents.parse(
        "mutation($i: [CreateAssetJobInput!]! = []) { createAssetJobs(inputs: $i) { created } }", {}
    )
    for number, refused in ((30, 0), (31, 1), (0, 0), (1000, 1), (1, 0)):
        assert len(documents.validate(SCHEMA, document, {"i": [{}] * number})) == refused


def test_each_operation_that_is_too_much_is_told() -> None:
    assert len(problems(f"query a {jobs('id')} query b {jobs('id')} query c {{ __typename }}", depth=1)) == 2


def test_the_standard_introspection_has_neither_depth_nor_cost() -> None:
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    assert problems(query, depth=1, fields=1, cost=1, aliases=0, directives=0) == []


def doubling(levels: int, inner: str) -> str:
    """Return fragments of which each spreads the next one twice."""
    spreads = "".join(
        f"fragment f{level} on AssetJob {{ a: asset {{ job {{ ...f{level + 1} }} }} "
        f"b: asset {{ job {{ ...f{level + 1} }} }} }} "
        for level in range(levels)
    )
    return jobs("...f0") + spreads + f"fragment f{levels} on AssetJob {{ {inner} }}"


ABYSSES: Final = {
    "fragments that double": doubling(40, "id"),
    "fragments that double and are a cycle": doubling(40, "...f0"),
    "a fragment that spreads itself": jobs("...f") + "fragment f on AssetJob { ...f }",
    "fragments that spread each other": jobs("...f")
    + "fragment f on AssetJob { asset { job { ...g } } } fragment g on AssetJob { asset { job { ...f } } }",
    "a fragment that is not there": jobs("...f"),
    "a type that is not there": jobs("... on Nothing { ...f }") + "fragment f on Nobody { x }",
    "fields that are not there": "{ a { b(first: 3) { c } } }",
    "nothing selected": "{ jobs { } }",
    "a chain of fragments": "{ ...f0 }"
    + "".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(3000))
    + "fragment f3000 on Query { __typename }",
}


@pytest.mark.parametrize("name", ABYSSES)
def test_no_document_takes_long_or_breaks_the_check(name: str) -> None:
    limits = Limits.of(Settings.model_construct())
    documents = Documents(limits, introspection=True)
    began = perf_counter()
    document = documents.parse(ABYSSES[name], {})
    errors = documents.validate(SCHEMA, document, {})
    assert perf_counter() - began < 2
    assert bool(errors) is (name != "nothing selected")


def kept(documents: Documents, query: str) -> bool:
    return documents.parse(query, {}) is documents.parse(query, {})


def test_a_document_is_kept_but_not_a_giant_nor_all_that_ever_came() -> None:
    documents = Documents(ANY, introspection=True)
    assert kept(documents, "{ __typename }")
    assert not kept(documents, "{ __typename } #" + "x" * 20_000)
    first = documents.parse("{ __typename }", {})
    for number in range(150):
        documents.parse(f"{{ a{number} " + "__typename " * 997 + "}", {})
    assert documents.parse("{ __typename }", {}) is not first
    assert documents._tokens <= 100_000  # noqa: SLF001 - memory that nothing outside tells


def test_equal_documents_are_one_object_while_others_come() -> None:
    documents = Documents(ANY, introspection=True)
    first = documents.parse("{ __typename }", {})
    for number in range(2000):
        documents.parse(f"{{ a{number} }}", {})
        if number % 100 == 0:
            assert documents.parse("{ __typename }", {}) is first


@pytest.fixture
def schemas() -> tuple[Schema, Schema]:
    return build_schema(), build_schema(Settings.model_construct(introspection=False))


WRONG: Final = [
    ("{ jbs { edges { cursor } } }", {}),
    ("{ jobs(frst: 1) { edges { cursor } } }", {}),
    ("query($f: JobFilte) { jobs(filter: $f) { edges { cursor } } }", {}),
    ("{ jobs(filter: {worldI: 1}) { edges { cursor } } }", {}),
    ("{ jobs(filter: {status: QUEUE}) { edges { cursor } } }", {}),
    ("query($f: JobFilter) { jobs(filter: $f) { edges { cursor } } }", {"f": {"worldI": "w"}}),
    ("query($f: JobFilter) { jobs(filter: $f) { edges { cursor } } }", {"f": {"status": ["QUEUE"]}}),
    ("{ node(id: 1) { ... on AssetJo { id } } }", {}),
]


@pytest.mark.parametrize(("query", "variables"), WRONG)
async def test_names_are_suggested_only_where_clients_may_ask_for_them(
    schemas: tuple[Schema, Schema], query: str, variables: dict[str, object]
) -> None:
    open_schema, silent = schemas
    assert "Did you mean" in str((await open_schema.execute(query, variable_values=variables)).errors)
    answer = await silent.execute(query, variable_values=variables)
    assert answer.errors
    assert "Did you mean" not in str(answer.errors)
