"""Whatever text comes as a cursor, an id, a filter or a key; and pages of whatever sizes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cursors import job_cursor, page_cursor
from services.job_store import advance, create
from services.lifecycle import Event
from services.models import AssetType
from services.moves import Move
from services.resources import Resources
from tests.asking import ask
from tests.factories import a_new_job

CREATE: Final = """mutation($world: ID!, $key: String) { createAssetJob(input: {
    worldId: $world, assetType: IMAGE, provider: "simulator", promptSpec: {}, idempotencyKey: $key
}) { created job { id idempotencyKey } } }"""
LIST: Final = """query($filter: JobFilter, $first: Int, $after: String, $last: Int, $before: String) {
  jobs(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node { id } } } }"""
ASKED: Final = {
    "job": ("query($text: ID!) { it: job(id: $text) { id } }", ["id"]),
    "asset": ("query($text: ID!) { it: asset(id: $text) { id } }", ["id"]),
    "node": ("query($text: ID!) { it: node(id: $text) { id } }", ["id"]),
    "after": ("query($text: String) { it: jobs(after: $text) { totalCount } }", ["after"]),
    "before": ("query($text: String) { it: jobs(last: 1, before: $text) { totalCount } }", ["before"]),
    "assets after": ("query($text: String) { it: assets(after: $text) { totalCount } }", ["after"]),
    "worldId": ("query($text: ID) { it: jobs(filter: {worldId: $text}) { totalCount } }", ["filter", "worldId"]),
    "provider": (
        "query($text: String) { it: jobs(filter: {provider: $text}) { totalCount } }",
        ["filter", "provider"],
    ),
    "requestedBy": (
        "query($text: String) { it: jobs(filter: {requestedBy: $text}) { totalCount } }",
        ["filter", "requestedBy"],
    ),
    "claimId": ("query($text: ID) { it: assets(filter: {claimId: $text}) { totalCount } }", ["filter", "claimId"]),
}
"""Where a text may stand, and the path by which it is refused."""
WORLDS: Final = ("eldoria", "mirth")
TYPES: Final = (AssetType.IMAGE, AssetType.MAP)

ANY_TEXT: Final = st.text(st.characters(exclude_categories=()), max_size=300)
CURSOR_LIKE: Final = (
    ANY_TEXT
    | st.text("ABCDEFabcdef0123456789-_=+/", max_size=40)
    | st.builds(page_cursor, st.uuids())
    | st.builds(job_cursor, st.uuids(), st.integers(0, 2**31 - 1))
    | st.uuids().map(str)
)
SIZES: Final = st.lists(st.integers(1, 7), min_size=1, max_size=6)


def bounded(examples: int) -> settings:
    """Return limits under which a test takes seconds; the database is the same for all examples."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass(frozen=True)
class Listed:
    """A job as the lists should show it."""

    id: str
    world_id: str
    asset_type: AssetType
    cancelled: bool

    def admitted(self, wanted: dict[str, Any]) -> bool:
        """Whether a filter lets it through, told apart from the code that is tested."""
        status = "CANCELLED" if self.cancelled else "QUEUED"
        return (
            wanted.get("worldId", self.world_id) == self.world_id
            and self.asset_type in wanted.get("assetType", [self.asset_type])
            and status in wanted.get("status", [status])
        )


@pytest.fixture
async def listed(resources: Resources) -> list[Listed]:
    """Create jobs of every mixture; returns them newest first."""
    new = [a_new_job(world_id=WORLDS[i % 2], asset_type=TYPES[i // 2 % 2]) for i in range(24)]
    async with resources.database.connect() as connection:
        await create(connection, new)
        cancelled = {each.job.id for each in new[::3]}
        await advance(connection, [Move(job_id, Event.CANCEL) for job_id in cancelled])
    jobs = [
        Listed(str(each.job.id), each.job.world_id, each.job.asset_type, each.job.id in cancelled) for each in new
    ]
    return sorted(jobs, key=lambda job: job.id, reverse=True)


def subsets(values: Collection[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(values)), unique=True)


FILTERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "worldId": st.sampled_from([*WORLDS, "nowhere"]),
        "assetType": subsets(TYPES),
        "status": subsets(["QUEUED", "CANCELLED", "FAILED"]),
    },
)


@pytest.mark.parametrize("place", ASKED)
@bounded(60)
@given(text=CURSOR_LIKE)
async def test_any_text_gives_an_answer_or_is_refused_by_its_path(
    resources: Resources, place: str, text: str
) -> None:
    """Break it: let `page_position` raise what `struct` does, or leave a check of names out."""
    query, path = ASKED[place]
    answer = await ask(resources, query, text=text)
    orjson.dumps(answer)
    if "errors" in answer:
        (error,) = answer["errors"]
        assert (error["extensions"]["code"], error["extensions"]["path"]) == ("BAD_USER_INPUT", path)
    else:
        assert "it" in answer["data"]


@bounded(60)
@given(wanted=FILTERS, sizes=SIZES, size_of=st.sampled_from(["first", "last"]))
async def test_pages_of_any_sizes_show_each_job_once_in_order(
    resources: Resources, listed: list[Listed], wanted: dict[str, Any], sizes: list[int], size_of: str
) -> None:
    """Break it: let a page begin with the row of its cursor (`<=`), or be ordered by something else."""
    backward = size_of == "last"
    expected = [job.id for job in listed if job.admitted(wanted)]
    found: list[str] = []
    arguments: dict[str, Any] = {}
    for number in range(len(expected) + 1):
        size = sizes[number % len(sizes)]
        answer = await ask(resources, LIST, filter=wanted, **arguments | {size_of: size})
        page, info = answer["data"]["jobs"], answer["data"]["jobs"]["pageInfo"]
        ids = [edge["node"]["id"] for edge in page["edges"]]
        assert page["totalCount"] == len(expected)
        found = ids + found if backward else found + ids
        more = info["hasPreviousPage"] if backward else info["hasNextPage"]
        assert more is (len(found) < len(expected))
        if not more:
            break
        assert len(ids) == size
        arguments = {"before": info["startCursor"]} if backward else {"after": info["endCursor"]}
    assert found == expected


@bounded(80)
@given(key=ANY_TEXT)
async def test_any_key_gives_one_job_however_often_or_is_refused(resources: Resources, key: str) -> None:
    """Break it: create without looking for the key, or normalise the key in one of the two places."""
    world = str(uuid4())
    first, again = [await ask(resources, CREATE, world=world, key=key) for _ in range(2)]
    count = await ask(resources, LIST, filter={"worldId": world})
    if "errors" in first:
        for answer in (first, again):
            (error,) = answer["errors"]
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["input", "idempotencyKey"]}
        assert count["data"]["jobs"]["totalCount"] == 0
    else:
        one, other = first["data"]["createAssetJob"], again["data"]["createAssetJob"]
        assert (one["created"], other["created"]) == (True, False)
        assert one["job"] == other["job"]
        assert one["job"]["idempotencyKey"] == key
        assert count["data"]["jobs"]["totalCount"] == 1
