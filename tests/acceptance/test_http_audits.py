"""GraphQL over HTTP, as npm graphql-http audits it."""

import asyncio
import json

from tests.acceptance.conftest import Api
from tests.followers import CLIENTS


async def test_every_audit_of_graphql_over_http_passes(node: str, api: Api) -> None:
    process = await asyncio.create_subprocess_exec(
        node, CLIENTS / "audits.mjs", f"{api.url}/graphql", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    results = json.loads(output)
    failed = [f"{result['name']}: {result['reason']}" for result in results if result["status"] != "ok"]
    assert not failed, "\n".join(failed)
    assert len(results) == 61
