"""Operations on the schema in this process, by any caller; and what they find there."""

from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from strawberry import Schema

from schema import build_schema
from schema.context import Context
from services.access import ANONYMOUS, Caller, Scope
from services.database import Database
from services.job_store import advance, claim, create
from services.lifecycle import Event
from services.models import AssetRecord
from services.moves import Move
from services.resources import Resources
from tests.factories import a_new_job, an_asset

_schema = cache(build_schema)
_LEASE = timedelta(seconds=30)


def a_caller(*worlds: str, scopes: frozenset[Scope] = frozenset(Scope)) -> Caller:
    """Return somebody who may do these things, in these worlds alone."""
    return Caller("visitor", scopes, frozenset(worlds))


async def ask(resources: Resources, query: str, caller: Caller = ANONYMOUS, **variables: Any) -> dict[str, Any]:
    """Execute an operation; returns the answer as a client reads it."""
    schema: Schema = _schema()
    context = Context(resources, "http://lore.example/", lasting=False)
    context.identity = caller
    result = await schema.execute(query, variable_values=variables, context_value=context)
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [error.formatted for error in result.errors]
    return answer


def code(answer: dict[str, Any]) -> str:
    """Return the code of the one error that an answer tells of."""
    (error,) = answer["errors"]
    told: str = error["extensions"]["code"]
    return told


async def made(database: Database, number: int = 1, **changes: object) -> list[AssetRecord]:
    """Create jobs and let them succeed; returns their assets, the oldest first."""
    async with database.connect() as connection:
        created = await create(connection, [a_new_job(**changes) for _ in range(number)])
        ids: list[UUID] = [moved.job.id for moved in created]
        claimed = await claim(connection, ids, _LEASE)
        done = await advance(
            connection,
            [
                Move(key, Event.SUCCEED, held_token=moved.job.fencing_token, asset=an_asset(moved.job))
                for key, moved in sorted(claimed.items())
            ],
        )
    return sorted((moved.asset for moved in done.values() if moved.asset), key=lambda asset: asset.id)
