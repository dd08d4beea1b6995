"""Assets as a list: filters, pages both ways, and how many statements a page costs."""

from typing import Any, Final

import pytest

from services.access import ANONYMOUS, Caller, Scope
from services.intake import References
from services.models import AssetRecord, AssetType
from services.resources import Resources
from tests.asking import a_caller, ask, code, made
from tests.conftest import Opener, recorded_statements

LIST: Final = """query($filter: AssetFilter, $first: Int, $after: String, $last: Int, $before: String) {
  assets(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { id status } }
  }
}"""


@pytest.fixture
async def resources(open_services: Opener) -> Resources:
    return await open_services()


async def page(resources: Resources, caller: Caller = ANONYMOUS, **arguments: Any) -> dict[str, Any]:
    answer = await ask(resources, LIST, caller, **arguments)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["assets"]
    return found


async def found(resources: Resources, caller: Caller = ANONYMOUS, **wanted: Any) -> list[str]:
    listed = await page(resources, caller, filter=wanted)
    assert listed["totalCount"] == len(listed["edges"])
    return ids(listed)


def ids(listed: dict[str, Any]) -> list[str]:
    return [edge["node"]["id"] for edge in listed["edges"]]


def names(assets: list[AssetRecord]) -> list[str]:
    return [str(asset.id) for asset in assets]


async def test_assets_are_listed_newest_first_and_paged_both_ways(resources: Resources) -> None:
    newest_first = names(await made(resources.database, 5))[::-1]
    await made(resources.database, world_id="elsewhere")
    wanted = {"worldId": "eldoria"}

    first = await page(resources, filter=wanted, first=2)
    assert (ids(first), first["totalCount"]) == (newest_first[:2], 5)
    info = first["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    assert [edge["cursor"] for edge in first["edges"]] == [info["startCursor"], info["endCursor"]]

    second = await page(resources, filter=wanted, first=2, after=info["endCursor"])
    info = second["pageInfo"]
    assert (ids(second), info["hasNextPage"], info["hasPreviousPage"]) == (newest_first[2:4], True, True)

    back = await page(resources, filter=wanted, last=1, before=info["startCursor"])
    info_back = back["pageInfo"]
    assert (ids(back), info_back["hasNextPage"], info_back["hasPreviousPage"]) == (newest_first[1:2], True, True)

    last = await page(resources, filter=wanted, last=3)
    info_last = last["pageInfo"]
    assert (ids(last), info_last["hasNextPage"], info_last["hasPreviousPage"]) == (newest_first[2:], False, True)

    rest = await page(resources, filter=wanted, after=info["endCursor"])
    assert (ids(rest), rest["pageInfo"]["hasNextPage"]) == (newest_first[4:], False)


@pytest.mark.parametrize(
    "arguments",
    [{"first": -1}, {"first": 101}, {"last": 101}, {"first": 1, "last": 1}, {"after": "x"}, {"before": ""}],
)
async def test_impossible_pages_are_bad_input(resources: Resources, arguments: dict[str, Any]) -> None:
    assert code(await ask(resources, LIST, **arguments)) == "BAD_USER_INPUT"


async def test_each_filter_chooses_assets(resources: Resources) -> None:
    references = References(["c1", "c2"], ["e1"], ["s1", "s2"], "book")
    (referring,) = names(await made(resources.database, references=references))
    (drawn,) = names(await made(resources.database, asset_type=AssetType.MAP, world_id="elsewhere"))

    assert await found(resources) == [drawn, referring]
    assert await found(resources, worldId="elsewhere") == [drawn]
    assert await found(resources, assetType=["MAP", "PDF"]) == [drawn]
    assert await found(resources, assetType=[]) == []
    assert await found(resources, status="READY") == [drawn, referring]
    assert await found(resources, status="DELETED") == []
    assert await found(resources, createdBy="tester") == [drawn, referring]
    assert await found(resources, createdBy="somebody else") == []
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"claimId": "c2"}, {"claimId": "e1"}),
        ({"entityId": "e1"}, {"entityId": "c1"}),
        ({"sourceChunkId": "s1"}, {"sourceChunkId": "s"}),
        ({"sourceId": "book"}, {"sourceId": "s1"}),
        ({"claimId": "c1", "sourceId": "book"}, {"claimId": "c1", "sourceId": "other"}),
        ({"claimId": "c1", "worldId": "eldoria"}, {"claimId": "c1", "worldId": "elsewhere"}),
    ]
    for wanted, other in pairs:
        assert await found(resources, **wanted) == [referring], wanted
        assert await found(resources, **other) == [], other


@pytest.mark.parametrize("field", ["worldId", "createdBy", "claimId", "entityId", "sourceChunkId", "sourceId"])
@pytest.mark.parametrize("bad", ["", "a\u0000", "\ud800", "x" * 201])
async def test_a_filter_by_what_cannot_be_a_name_is_bad_input(resources: Resources, field: str, bad: str) -> None:
    answer = await ask(resources, LIST, filter={field: bad})
    assert code(answer) == "BAD_USER_INPUT"
    assert answer["errors"][0]["extensions"]["path"] == ["filter", field]


async def test_what_lies_in_other_worlds_is_not_listed(resources: Resources) -> None:
    """Falls without `worlds=caller.worlds`."""
    references = References(["c1"])
    (mine,) = names(await made(resources.database, references=references))
    await made(resources.database, 2, world_id="elsewhere", references=references)
    visitor = a_caller("eldoria")
    assert await found(resources, visitor) == [mine]
    assert await found(resources, visitor, claimId="c1") == [mine]
    assert await found(resources, visitor, worldId="elsewhere") == []
    assert await found(resources, a_caller()) == []
    writer = a_caller("eldoria", scopes=frozenset({Scope.WRITE}))
    assert code(await ask(resources, LIST, writer)) == "FORBIDDEN"


async def test_a_value_may_be_repeated_as_often_as_a_request_holds_it(resources: Resources) -> None:
    """A statement has 32,767 parameters at the most."""
    await made(resources.database, 2)
    query = "query($filter: AssetFilter) { assets(filter: $filter) { totalCount edges { node { id } } } }"
    answer = await ask(resources, query, filter={"assetType": ["IMAGE", "AUDIO"] * 20_000})
    assert answer["data"]["assets"]["totalCount"] == 2
    query = "query($filter: JobFilter) { jobs(filter: $filter) { totalCount } }"
    answer = await ask(
        resources, query, filter={"status": ["SUCCEEDED"] * 40_000, "assetType": ["IMAGE"] * 40_000}
    )
    assert answer["data"]["jobs"]["totalCount"] == 2


async def test_a_list_is_counted_only_where_that_is_asked_for(resources: Resources) -> None:
    await made(resources.database)
    with recorded_statements() as statements:
        await ask(resources, "{ assets { edges { node { id } } } }")
    assert len(statements) == 1, statements
    with recorded_statements() as statements:
        await ask(resources, "{ assets { totalCount edges { node { id } } } }")
    assert len(statements) == 2, statements


@pytest.mark.parametrize("size", [1, 100])
async def test_a_page_of_assets_costs_a_constant_number_of_statements(resources: Resources, size: int) -> None:
    await made(resources.database, size)
    query = """{ assets(first: 100) { totalCount edges { node {
        id metadata downloadUrl job { id promptSpec asset { id } derivation { claimIds inputHash } } } } } }"""
    with recorded_statements() as statements:
        answer = await ask(resources, query)
    assert len(answer["data"]["assets"]["edges"]) == size
    assert len(statements) == 4, statements


@pytest.mark.parametrize("size", [1, 100])
async def test_the_histories_of_a_page_cost_one_statement(resources: Resources, size: int) -> None:
    await made(resources.database, size)
    query = """{ jobs(first: 100) { edges { node { seq all: history(first: 10) { ...Found }
        two: history(first: 2) { ...Found } } } } }
        fragment Found on JobUpdateConnection { edges { node { seq status } cursor } pageInfo { hasNextPage } }"""
    with recorded_statements() as statements:
        answer = await ask(resources, query)
    assert len(statements) == 2, statements
    jobs = [edge["node"] for edge in answer["data"]["jobs"]["edges"]]
    assert len(jobs) == size
    for job in jobs:
        every = job["all"]["edges"]
        assert [edge["node"]["seq"] for edge in every] == [*range(1, job["seq"] + 1)]
        assert job["two"]["edges"] == every[:2]
        assert (job["all"]["pageInfo"]["hasNextPage"], job["two"]["pageInfo"]["hasNextPage"]) == (False, True)


@pytest.mark.parametrize("size", [1, 100])
async def test_a_page_of_jobs_costs_a_constant_number_of_statements(resources: Resources, size: int) -> None:
    await made(resources.database, size)
    query = """{ jobs(first: 100) { totalCount edges { node {
        id promptSpec derivation { claimIds inputHash } asset { id job { id } downloadUrl } } } } }"""
    with recorded_statements() as statements:
        answer = await ask(resources, query)
    assert len(answer["data"]["jobs"]["edges"]) == size
    assert all(edge["node"]["asset"] for edge in answer["data"]["jobs"]["edges"])
    assert len(statements) == 4, statements
