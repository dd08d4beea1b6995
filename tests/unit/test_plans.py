"""A plan gives what graphql-core gives, or leaves it to graphql-core."""

from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
import pytest
from graphql import ExecutionResult, GraphQLObjectType, get_named_type, is_leaf_type, parse
from hypothesis import given
from hypothesis import strategies as st

from schema import build_schema
from schema.context import Context
from schema.plans import NotPlanned, plan
from schema.sharing import Deliveries, SharedExecutor, SharedResult
from schema.types import JobUpdate
from services.access import ANONYMOUS
from services.lifecycle import JobStatus
from services.models import AssetRecord, JobRecord
from services.updates import JobUpdate as Update
from services.updates import StreamItem, UpdateKind
from tests.factories import a_new_job, an_asset

SCHEMA: Final = build_schema()._schema  # noqa: SLF001 - graphql-core's, which executes
NOW: Final = datetime(2026, 11, 24, 12, 30, 15, 123456, tzinfo=UTC)
PLAIN: Final = {
    name
    for name, field in SCHEMA.type_map["AssetJob"].fields.items()  # type: ignore[attr-defined]
    if is_leaf_type(get_named_type(field.type)) and name != "promptSpec"
}


def an_update(**changes: Any) -> Update:
    job = a_new_job().job
    wanted: dict[str, Any] = dict.fromkeys(JobRecord.model_fields) | job.model_dump() | {"created_at": NOW}
    record = JobRecord.model_construct(**wanted | changes.pop("job", {}))
    return Update.of_state(UpdateKind.SNAPSHOT, record, NOW).model_copy(update=changes)


UPDATES: Final = [
    an_update(),
    an_update(progress=0.25, progress_message="half, \u00fcber \u2603", job={"progress": 1, "model_id": "m"}),
    an_update(status=JobStatus.RETRYING, previous_status=JobStatus.PROCESSING, error_code="X", error_message='"'),
    an_update(kind=UpdateKind.TRANSITION, status=JobStatus.SUCCEEDED, progress=1.0, job={"finished_at": NOW}),
]


def built(document: str, variables: dict[str, object] | None = None) -> SharedExecutor:
    executor = SharedExecutor.build(SCHEMA, parse(document), None, None, variables)
    assert isinstance(executor, SharedExecutor), executor
    return executor


def executed(document: str, update: Update, **variables: object) -> tuple[dict[str, Any] | None, Any]:
    """Execute by graphql-core and by a plan; None for what the plan leaves."""
    executor = built(document, variables)
    item = StreamItem(update)
    result = executor.build_own_executor(item).execute_operation(serially=False)
    core = result.data if isinstance(result, ExecutionResult) else None
    try:
        return plan(executor)(JobUpdate.of(item)), core
    except NotPlanned:
        return None, core


def selections(kind: GraphQLObjectType, depth: int) -> st.SearchStrategy[str]:
    """Make selection sets with aliases, fragments and directives, of fields that a plan can read."""
    leaves = [
        name
        for name, field in kind.fields.items()
        if is_leaf_type(get_named_type(field.type))
        and not field.args
        and (kind.name != "AssetJob" or name in PLAIN)
    ]
    plain = st.sampled_from([*leaves, "__typename"])
    members = [
        plain,
        st.sampled_from([f"a{kind.name}: __typename", f"b{kind.name}: __typename"]),
        plain.flatmap(lambda name: st.sampled_from([f"{name} @skip(if: $no)", f"{name} @include(if: $no)"])),
        st.lists(plain, min_size=1, max_size=3).map(lambda names: f"... on {kind.name} {{ {' '.join(names)} }}"),
    ]
    for name in {"job", "asset"} & kind.fields.keys() if depth else ():
        inner = get_named_type(kind.fields[name].type)
        assert isinstance(inner, GraphQLObjectType)
        members.append(selections(inner, depth - 1).map((name + " {}").format))
    return st.lists(st.one_of(members), min_size=1, max_size=6).map(lambda names: f"{{ {' '.join(names)} }}")


@given(selection=selections(SCHEMA.type_map["JobUpdate"], 2), update=st.sampled_from(UPDATES), no=st.booleans())  # type: ignore[arg-type]
def test_a_plan_gives_what_graphql_core_gives(selection: str, update: Update, no: bool) -> None:  # noqa: FBT001
    document = f'subscription($no: Boolean!) {{ news: worldUpdates(worldId: "w") {selection} }}'
    planned, core = executed(document, update, no=no)
    assert core is not None
    assert planned is not None
    assert planned == core
    assert list(planned["news"]) == list(core["news"]), "the order of the fields is the document's"


def test_fields_that_are_merged_and_fragments_are_read_once() -> None:
    document = """
    subscription { worldUpdates(worldId: "w") { job { id } ...F job { status } } }
    fragment F on JobUpdate { job { worldId id asset { id } } seq }
    """
    planned, core = executed(document, UPDATES[0])
    assert planned == core
    assert planned is not None
    assert set(planned["worldUpdates"]["job"]) == {"id", "worldId", "asset", "status"}


@pytest.mark.parametrize("field", ["promptSpec", "derivation { inputHash }", "history { pageInfo { endCursor } }"])
def test_what_needs_a_resolver_is_left_to_graphql_core(field: str) -> None:
    executor = built(f'subscription {{ jobUpdates(jobId: "x") {{ job {{ {field} }} }} }}')
    with pytest.raises(NotPlanned):
        plan(executor)(JobUpdate.of(StreamItem(UPDATES[0])))


def test_an_asset_needs_a_resolver_for_its_link_and_only_then() -> None:
    executor = built('subscription { jobUpdates(jobId: "x") { seq job { asset { downloadUrl } } } }')
    made = plan(executor)
    assert made(JobUpdate.of(StreamItem(UPDATES[0]))) == {"jobUpdates": {"seq": 1, "job": {"asset": None}}}
    asset: AssetRecord = an_asset(UPDATES[3].job)
    with pytest.raises(NotPlanned):
        made(JobUpdate.of(StreamItem(UPDATES[3].model_copy(update={"asset": asset}))))


def test_a_null_that_may_not_be_is_left_to_graphql_core() -> None:
    update = an_update(job={"input_hash": None})
    executor = built('subscription { jobUpdates(jobId: "x") { job { inputHash } } }')
    with pytest.raises(NotPlanned):
        plan(executor)(JobUpdate.of(StreamItem(update)))


def test_what_cannot_be_coerced_is_placed_by_graphql_core() -> None:
    """A file of two gigabytes is more than GraphQL's Int can say: an error beside the rest, not the end."""
    asset = an_asset(UPDATES[3].job, size_bytes=2**31)
    delivery = Deliveries(cast("Any", None))
    delivery.item = StreamItem(UPDATES[3].model_copy(update={"asset": asset}))
    executor = built('subscription { jobUpdates(jobId: "x") { seq job { asset { sizeBytes } } } }')
    executor.context_value = Context(cast("Any", None), "", lasting=True)
    executor.context_value.identity = ANONYMOUS
    result = executor.build_per_event_executor(delivery).execute_operation(serially=False)
    assert isinstance(result, SharedResult)
    assert orjson.loads(orjson.dumps(result.data)) == {"jobUpdates": {"seq": 1, "job": {"asset": None}}}
    assert result.errors is not None
    assert result.errors[0].path == ["jobUpdates", "job", "asset", "sizeBytes"]
