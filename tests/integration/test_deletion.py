"""Deleting assets: the row says so at once, and the content goes whatever dies in between."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from services.access import Scope
from services.asset_queries import delete_asset
from services.models import AssetRecord
from services.resources import Resources
from tests.asking import a_caller, ask, code, made
from tests.conftest import Opener
from worker.maintenance import Maintenance

DELETE: Final = "mutation($id: ID!) { deleteAsset(id: $id) { id status job { status asset { id status } } } }"
LINK: Final = "query($id: ID!) { asset(id: $id) { downloadUrl } }"


@pytest.fixture
async def resources(open_services: Opener) -> AsyncIterator[Resources]:
    opened = await open_services()
    yield opened
    await opened.dispatcher.drain()


async def stored(resources: Resources) -> AssetRecord:
    async def content() -> AsyncIterator[bytes]:
        yield b"painting"

    (asset,) = await made(resources.database)
    await resources.storage.put(asset.storage_key, content(), asset.content_type)
    return asset


def file_of(resources: Resources, asset: AssetRecord) -> Path:
    return resources.settings.home / "assets" / asset.storage_key


async def status(resources: Resources, asset: AssetRecord) -> str:
    answer = await ask(resources, "query($id: ID!) { asset(id: $id) { status } }", id=str(asset.id))
    told: str = answer["data"]["asset"]["status"]
    return told


async def delete(resources: Resources, asset: AssetRecord) -> dict[str, Any]:
    answer = await ask(resources, DELETE, id=str(asset.id))
    assert "errors" not in answer, answer
    deleted: dict[str, Any] = answer["data"]["deleteAsset"]
    return deleted


async def left(resources: Resources) -> int:
    async with resources.database.connect() as connection:
        question = text("SELECT count(*) FROM assets WHERE status = 'DELETED' AND content_removed_at IS NULL")
        return int((await connection.execute(question)).scalar_one())


async def test_a_deleted_asset_has_no_content_and_keeps_its_row_and_its_job(resources: Resources) -> None:
    asset = await stored(resources)
    deleted = await delete(resources, asset)
    assert deleted == {
        "id": str(asset.id),
        "status": "DELETED",
        "job": {"status": "SUCCEEDED", "asset": {"id": str(asset.id), "status": "DELETED"}},
    }
    assert not file_of(resources, asset).exists()
    assert await left(resources) == 0
    listed = await ask(resources, "{ assets(filter: {status: DELETED}) { edges { node { id } } } }")
    assert listed["data"]["assets"]["edges"] == [{"node": {"id": str(asset.id)}}]
    history = await ask(
        resources,
        "query($id: ID!) { job(id: $id) { history { edges { node { job { asset { status } } } } } } }",
        id=str(asset.job_id),
    )
    last = history["data"]["job"]["history"]["edges"][-1]
    assert last["node"]["job"]["asset"]["status"] == "DELETED"


async def test_deleting_again_changes_nothing(resources: Resources) -> None:
    asset = await stored(resources)
    assert await delete(resources, asset) == await delete(resources, asset)
    assert await left(resources) == 0


async def test_no_link_is_signed_for_a_deleted_asset_and_earlier_ones_lead_nowhere(resources: Resources) -> None:
    asset = await stored(resources)
    before = await ask(resources, LINK, id=str(asset.id))
    assert before["data"]["asset"]["downloadUrl"].startswith("http://lore.example/assets/")
    await delete(resources, asset)
    after = await ask(resources, LINK, id=str(asset.id))
    assert code(after) == "NOT_FOUND"
    assert "signature" not in str(after)


async def test_an_asset_of_another_world_cannot_be_deleted(resources: Resources) -> None:
    """Falls without `worlds=caller.worlds`."""
    asset = await stored(resources)
    assert code(await ask(resources, DELETE, a_caller("elsewhere"), id=str(asset.id))) == "NOT_FOUND"
    reader = a_caller("eldoria", scopes=frozenset({Scope.READ}))
    assert code(await ask(resources, DELETE, reader, id=str(asset.id))) == "FORBIDDEN"
    assert code(await ask(resources, DELETE, id=str(uuid4()))) == "NOT_FOUND"
    assert await status(resources, asset) == "READY"
    assert file_of(resources, asset).exists()
    answer = await ask(resources, DELETE, a_caller("eldoria"), id=str(asset.id))
    assert answer["data"]["deleteAsset"]["status"] == "DELETED"


async def test_content_that_storage_does_not_let_go_of_is_removed_by_maintenance(resources: Resources) -> None:
    """Falls without noting content as removed only once it is, and without `_remove_content`."""
    stuck, fine = await stored(resources), await stored(resources)
    folder, aside = resources.settings.home / "assets", resources.settings.home / "aside"
    folder.rename(aside)
    folder.write_text("no folder, so nothing in it can be removed")
    assert (await delete(resources, stuck))["status"] == "DELETED"
    assert code(await ask(resources, LINK, id=str(stuck.id))) == "NOT_FOUND"
    await Maintenance(resources).round()
    assert await left(resources) == 1
    folder.unlink()
    aside.rename(folder)
    assert file_of(resources, stuck).exists()
    await Maintenance(resources).round()
    assert not file_of(resources, stuck).exists()
    assert file_of(resources, fine).exists()
    assert await left(resources) == 0


async def test_content_that_cannot_be_removed_does_not_keep_the_rest_from_its_turn(resources: Resources) -> None:
    """Falls without `_swept`: each sweep would begin with the same asset."""
    stuck, fine = [await stored(resources) for _ in range(2)]
    for asset in (stuck, fine):
        async with resources.database.connect() as connection:
            await delete_asset(connection, asset.id, worlds=None)
    file_of(resources, stuck).unlink()
    file_of(resources, stuck).mkdir()
    assert await resources.assets.sweep(most=1) == 0
    assert await resources.assets.sweep(most=1) == 1
    assert not file_of(resources, fine).exists()
    assert await resources.assets.sweep(most=1) == 0
    file_of(resources, stuck).rmdir()
    assert await resources.assets.sweep(most=1) == 1


async def test_content_left_by_a_process_that_died_is_removed_by_maintenance(
    resources: Resources,
) -> None:
    asset = await stored(resources)
    async with resources.database.connect() as connection:
        await delete_asset(connection, asset.id, worlds=None)
    await Maintenance(resources).round()
    assert not file_of(resources, asset).exists()
    assert await left(resources) == 0


async def test_deleting_while_s3_is_away_is_made_good_later(open_services: Opener) -> None:
    bucket = f"assets-{uuid4().hex}"
    well = await open_services(LOREKEEPER_S3_BUCKET=bucket)
    cut_off = await open_services(
        LOREKEEPER_S3_BUCKET=bucket, AWS_ENDPOINT_URL="http://127.0.0.1:1", LOREKEEPER_REQUEST_TIMEOUT_S="1"
    )
    asset = await stored(well)
    url = await well.storage.url(
        asset.storage_key, filename="a.png", expires_in=timedelta(minutes=5), base_url="unused"
    )
    await delete(cut_off, asset)
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"painting"
        assert await well.assets.sweep(most=10) == 1
        assert (await client.get(url)).status_code == 404
    assert await well.assets.sweep(most=10) == 0


async def test_what_was_deleted_is_not_reused(resources: Resources) -> None:
    create = "mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { created job { id } } }"
    asset = await stored(resources)
    same = {
        "worldId": "eldoria",
        "assetType": "IMAGE",
        "provider": "simulator",
        "promptSpec": {},
        "reuseIdentical": True,
    }
    reused = await ask(resources, create, input=same)
    assert reused["data"]["createAssetJob"] == {"created": False, "job": {"id": str(asset.job_id)}}
    await delete(resources, asset)
    anew = await ask(resources, create, input=same)
    assert anew["data"]["createAssetJob"]["created"] is True
