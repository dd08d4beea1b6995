"""The rate of mutations: a bucket for each caller that all processes share, and that never stands in the way."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from services.errors import TooManyMutations
from services.events import open_redis
from services.mutation_rate import MutationRate
from services.settings import load_settings
from tests.conftest import until
from tests.relay import Relay
from tests.remote import ask, code_of, errors_of, over_websocket, post, serving_with
from tests.serving import begun
from tests.tokens import JWT, a_token, bearer

CREATE: Final = """createAssetJob(input: {worldId: "eldoria", assetType: IMAGE, provider: "simulator",
    promptSpec: {}}) { job { id } }"""
MUTATION: Final = f"mutation {{ {CREATE} }}"
COUNT: Final = "{ jobs { totalCount } }"
SLOW: Final = {"LOREKEEPER_MAX_MUTATIONS_PER_S": "0.01", "LOREKEEPER_MAX_MUTATION_BURST": "3"}
SECOND: Final = timedelta(seconds=1)


def unchecked() -> float:
    return REGISTRY.get_sample_value("lorekeeper_mutations_unchecked_total") or 0


@pytest.fixture
async def redis(environment: dict[str, str]) -> AsyncIterator[Redis]:
    """Give the test buckets of its own: everybody is called anonymous here."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = urlsplit(environment["REDIS_URL"])._replace(path=f"/{int(worker) % 14 + 1}").geturl()
    environment["REDIS_URL"] = url
    async with open_redis(url, timeout=SECOND) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def address(environment: dict[str, str], redis: Redis) -> AsyncIterator[str]:
    await redis.ping()
    async with serving_with(environment | SLOW) as (address, _):
        yield address


async def jobs(address: str) -> int:
    return int((await ask(address, COUNT))["data"]["jobs"]["totalCount"])


async def test_a_caller_makes_as_many_mutations_as_the_burst_and_no_more(address: str) -> None:
    for _ in range(3):
        assert code_of(await ask(address, MUTATION)) is None
    answer = await post(address, MUTATION)
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert 90 < error["extensions"]["retryAfterSeconds"] <= 100
    assert answer.status_code == 200
    assert 90 < int(answer.headers["retry-after"]) <= 100
    assert await jobs(address) == 3, "queries are free, and what is refused is not executed"


async def test_by_the_newer_media_type_it_is_too_many_requests(address: str) -> None:
    newer = {"accept": "application/graphql-response+json"}
    answers = [(await post(address, MUTATION, newer)).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]


async def test_a_websocket_draws_on_the_same_bucket(address: str) -> None:
    connection = await begun(address)
    assert code_of(await ask(address, MUTATION)) is None
    found = [code_of(await over_websocket(connection, MUTATION)) for _ in range(3)]
    assert found == [None, None, "RATE_LIMITED"]
    assert await jobs(address) == 3
    await connection.close()


@pytest.mark.parametrize(
    "document",
    [
        f"mutation {{ a: {CREATE} b: {CREATE} }}",
        f"mutation {{ ...f a: {CREATE} ...f }} fragment f on Mutation {{ b: {CREATE} ... {{ __typename }} }}",
    ],
)
async def test_each_field_is_a_mutation_and_all_or_none_are_made(address: str, document: str) -> None:
    assert code_of(await ask(address, document)) is None
    assert code_of(await ask(address, document)) == "RATE_LIMITED"
    assert await jobs(address) == 2
    assert code_of(await ask(address, MUTATION)) is None


async def test_no_mutation_of_the_schema_is_free(address: str, redis: Redis) -> None:
    answer = await ask(address, "{ __schema { mutationType { fields { name args { name type { kind } } } } } }")
    fields = answer["data"]["__schema"]["mutationType"]["fields"]
    for field in fields:
        await redis.flushdb()
        arguments = {
            argument["name"]: argument["type"]["kind"]
            for argument in field["args"]
            if argument["type"]["kind"] == "NON_NULL"
        }
        await spend(address)
        way = WAYS.get((field["name"],)) or WAYS[tuple(arguments)]
        query = f"mutation {{ {field['name']}{way} }}"
        assert code_of(await ask(address, query)) == "RATE_LIMITED", field["name"]
    assert fields


INPUT: Final = '{worldId: "w", assetType: IMAGE, provider: "local", promptSpec: {}}'
UPLOAD: Final = '{worldId: "w", assetType: IMAGE, filename: "a.png", contentType: "image/png"}'
WAYS: Final[dict[tuple[str, ...], str]] = {
    ("id",): '(id: "01890a5d-ac96-774b-bcce-b302099a8057") { id }',
    ("input",): f"(input: {INPUT}) {{ __typename }}",
    ("inputs",): f"(inputs: [{INPUT}]) {{ __typename }}",
    ("queue",): '(queue: "q")',
    ("createUpload",): f"(input: {UPLOAD}) {{ __typename }}",
}
"""How to ask for a mutation, by the arguments that it needs or by its name."""


async def spend(address: str) -> None:
    for _ in range(3):
        await ask(address, 'mutation { cancelJob(id: "x") { id } }')


async def test_a_bucket_fills_again_and_is_forgotten_when_it_is_full(redis: Redis) -> None:
    rate, subject = MutationRate(redis, per_s=20, burst=2), uuid4().hex
    await rate.take(subject, 2)
    with pytest.raises(TooManyMutations) as refusal:
        await rate.take(subject, 2)
    assert timedelta() < refusal.value.retry_after <= timedelta(milliseconds=100)
    assert 0 < await redis.pttl(f"lorekeeper:{{mutations}}:{subject}") <= 1100
    await asyncio.sleep(refusal.value.retry_after.total_seconds())  # what the caller was told to do
    await rate.take(subject, 2)
    await until(lambda: not_there(redis, subject))


async def not_there(redis: Redis, subject: str) -> bool:
    return await redis.exists(f"lorekeeper:{{mutations}}:{subject}") == 0


async def test_who_wants_more_than_a_bucket_holds_gets_it_when_it_is_full(redis: Redis) -> None:
    """And owes it then: on average nobody makes more than the rate."""
    rate, subject = MutationRate(redis, per_s=0.01, burst=3), uuid4().hex
    await rate.take(subject, 15)
    with pytest.raises(TooManyMutations) as refused:
        await rate.take(subject, 1)
    assert refused.value.retry_after.total_seconds() == pytest.approx((15 - 3 + 1) / 0.01, rel=0.01)
    with pytest.raises(TooManyMutations) as refused:
        await rate.take(subject, 15)
    assert refused.value.retry_after.total_seconds() == pytest.approx(15 / 0.01, rel=0.01)


@pytest.mark.parametrize("told", ["in variables", "in the document"])
async def test_each_job_that_a_mutation_asks_for_counts(address: str, told: str) -> None:
    job = {"worldId": "eldoria", "assetType": "IMAGE", "provider": "simulator", "promptSpec": {}}
    if told == "in variables":
        create = "mutation($inputs: [CreateAssetJobInput!]!) { createAssetJobs(inputs: $inputs) { created } }"
    else:
        literal = '{worldId: "eldoria", assetType: IMAGE, provider: "simulator", promptSpec: {}}'
        create = f"mutation {{ createAssetJobs(inputs: [{literal}, {literal}]) {{ created }} }}"
    assert code_of(await ask(address, create, inputs=[job] * 2)) is None
    assert code_of(await ask(address, create, inputs=[job] * 2)) == "RATE_LIMITED"
    assert code_of(await ask(address, MUTATION)) is None
    assert await jobs(address) == 3


async def test_processes_share_the_buckets_and_callers_do_not(environment: dict[str, str], redis: Redis) -> None:
    subject, other = uuid4().hex, uuid4().hex
    async with open_redis(environment["REDIS_URL"], timeout=SECOND) as another:
        rates = [MutationRate(client, per_s=0.01, burst=10) for client in (redis, another)]
        taken = await asyncio.gather(
            *(rate.take(subject, 1) for rate in rates for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(answer, TooManyMutations) for answer in taken) == 30
        await rates[0].take(other, 10)


async def test_a_script_that_redis_has_forgotten_is_loaded_again(redis: Redis) -> None:
    rate, subject = MutationRate(redis, per_s=0.01, burst=2), uuid4().hex
    await rate.take(subject, 1)
    await redis.script_flush()
    await rate.take(subject, 1)
    with pytest.raises(TooManyMutations):
        await rate.take(subject, 1)


async def test_while_redis_is_gone_everything_is_let_through_and_counted(
    environment: dict[str, str], redis: Redis
) -> None:
    await redis.ping()
    url = urlsplit(environment["REDIS_URL"])
    async with Relay(url.port or 0) as relay:
        environment["REDIS_URL"] = url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@{relay.address}").geturl()
        async with serving_with(environment | SLOW) as (address, _):
            await spend(address)
            assert code_of(await ask(address, MUTATION)) == "RATE_LIMITED"
            relay.target = ("127.0.0.1", 1)
            relay.cut()
            before = unchecked()
            for _ in range(5):
                assert code_of(await ask(address, MUTATION)) is None
            assert unchecked() == before + 5
            relay.target = ("127.0.0.1", url.port or 0)

            async def is_checked() -> bool:
                return code_of(await ask(address, MUTATION)) == "RATE_LIMITED"

            await until(is_checked)


async def test_a_redis_that_hangs_delays_one_mutation_and_not_all() -> None:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_redis(url, timeout=timedelta(seconds=10)) as redis:
        rate = MutationRate(redis, per_s=0.01, burst=1)
        before, began = unchecked(), monotonic()
        for _ in range(50):
            await rate.take("somebody", 1)
        assert monotonic() - began < 1
        assert unchecked() == before + 50


@pytest.mark.parametrize(
    ("variables", "per_s"),
    [
        ({}, 0),
        (JWT, 50),
        (JWT | {"LOREKEEPER_MAX_MUTATIONS_PER_S": "0"}, 0),
        ({"LOREKEEPER_MAX_MUTATIONS_PER_S": "7.5"}, 7.5),
        ({"LOREKEEPER_MAX_MUTATIONS_PER_S": "0"}, 0),
    ],
)
def test_where_nobody_is_known_there_is_no_rate_unless_it_is_set(
    variables: dict[str, Any], per_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings().mutations_per_s == per_s


async def test_without_a_rate_redis_is_not_asked(environment: dict[str, str], redis: Redis) -> None:
    async with serving_with(environment) as (address, _):
        assert errors_of(await ask(address, MUTATION)) == []
        assert await redis.dbsize() == 0


async def test_each_caller_that_shows_a_token_has_its_own_bucket(
    environment: dict[str, str], redis: Redis
) -> None:
    await redis.ping()
    async with serving_with(environment | SLOW | JWT) as (address, _):
        mira, tom = (bearer(a_token(sub=name)) for name in ("mira", "tom"))
        found = [code_of((await post(address, MUTATION, mira)).json()) for _ in range(4)]
        assert found == [None, None, None, "RATE_LIMITED"]
        assert code_of((await post(address, MUTATION, tom)).json()) is None
