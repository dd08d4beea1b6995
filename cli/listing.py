"""`server.py jobs list`."""

from argparse import Namespace
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from cli.api import Api, Item, run_command
from cli.output import coloured, print_json, print_table, title_of

_LIST: Final = """
query List($filter: JobFilter, $first: Int, $after: String) {
  jobs(filter: $filter, first: $first, after: $after) {
    edges {
      node {
        id worldId assetType provider modelId status progress progressMessage priority attempt maxAttempts
        errorCode errorMessage createdAt startedAt finishedAt seq cursor promptSpec
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
_PAGE: Final = 100


def run(chosen: Namespace) -> int:
    """List jobs; returns the exit code."""

    async def list_jobs(api: Api) -> int:
        found = await _find(api, _filter_of(chosen), chosen.first)
        if chosen.json:
            print_json(found)
        else:
            print_table(
                ["ID", "STATUS", "TYPE", "PROVIDER", "ATTEMPT", "CREATED", "WHAT"], [_row(job) for job in found]
            )
        return 0

    return run_command(chosen, list_jobs)


async def _find(api: Api, wanted: dict[str, Any], most: int) -> list[Item]:
    found: list[Item] = []
    after = None
    while len(found) < most:
        page = await api.ask(_LIST, filter=wanted, first=min(most - len(found), _PAGE), after=after)
        found += [edge["node"] for edge in page["jobs"]["edges"]]
        if not page["jobs"]["pageInfo"]["hasNextPage"]:
            break
        after = page["jobs"]["pageInfo"]["endCursor"]
    return found


def _filter_of(chosen: Namespace) -> dict[str, Any]:
    wanted = {
        "worldId": chosen.world,
        "status": chosen.status,
        "assetType": chosen.type and [each.upper() for each in chosen.type],
        "provider": chosen.provider,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _row(job: Item) -> list[str | Text]:
    what = title_of(job["promptSpec"])
    if job["errorCode"]:
        what = f"{job['errorCode']}: {job['errorMessage']}"
    elif job["status"] == "PROCESSING" and job["progress"] is not None:
        what = f"{job['progress']:.0%} {job['progressMessage'] or ''}"
    return [
        job["id"],
        coloured(job["status"]),
        job["assetType"],
        job["provider"],
        f"{job['attempt']}/{job['maxAttempts']}",
        datetime.fromisoformat(job["createdAt"]).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        Text(what),
    ]
