"""Every input of the contract, with every value that it may not have."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Bad = Mapping[str, object]
MISSING: Final = object()
DEEP: Final = json.loads("[" * 33 + "1" + "]" * 33)
UUID: Final = "01890a5d-ac96-774b-bcce-b302099a8057"

# What no input of a kind may be, by a name for the failing test to show.
NOT_TEXT: Final = {"number": 7, "fraction": 1.5, "boolean": True, "list": ["a"], "object": {"a": 1}}
NOT_ID: Final = {name: value for name, value in NOT_TEXT.items() if name != "number"}
NOT_OBJECT: Final = {"text": "x", "empty text": "", "number": 7, "boolean": True, "unknown": {"unknown": 1}}
NAME: Final = {
    "empty": "",
    "blank": " \t",
    "too long": "x" * 201,
    "far too long": "龍" * 50_000,
    "newline": "a\nb",
    "NUL": "a\x00b",
    "escape": "\x1b[31m",
    "C1 control": "a\x85",
    "non-character": "a\uffff",
}
A_NAME: Final = NAME | NOT_TEXT
A_NAME_ID: Final = NAME | NOT_ID
AN_ID: Final = (
    NAME
    | NOT_ID
    | {
        "text": "x",
        "number": 7,
        "braces": f"{{{UUID}}}",
        "no hyphens": UUID.replace("-", ""),
        "cut": UUID[:-1],
        "other digits": UUID.replace("0", "\u0660"),
    }
)
A_CURSOR: Final = (
    NOT_TEXT | {name: value for name, value in NAME.items() if name != "blank"} | {"text": "x", "id": UUID}
)
AN_INSTANT: Final = {
    "empty": "",
    "text": "soon",
    "NUL": "2026-01-01T00:00:00Z\x00",
    "no zone": "2026-01-01T00:00:00",
    "no time": "2026-01-01",
    "no such day": "2026-02-30T00:00:00Z",
    "beyond the calendar": "10000-01-01T00:00:00Z",
    "before the calendar in UTC": "0001-01-01T00:00:00+14:00",
    "behind the calendar in UTC": "9999-12-31T23:59:59-14:00",
    "number": 1_767_225_600,
    "boolean": True,
    "list": ["2026-01-01T00:00:00Z"],
    "object": {},
}
A_RUN_AT: Final = AN_INSTANT | {"far future": "9999-01-01T00:00:00Z", "in two years": "2100-01-01T00:00:00Z"}
AN_ENUM: Final = {
    "unknown": "WOBBLE",
    "other case": "image",
    "empty": "",
    "NUL": "\x00",
    "number": 1,
    "boolean": True,
    "object": {},
}
ENUMS: Final = {f"{name} in a list": [value] for name, value in AN_ENUM.items()} | {"null in a list": [None]}
A_NUMBER: Final = {"text": "5", "boolean": True, "list": [5], "object": {}, "huge": 1e300}
AN_INT: Final = A_NUMBER | {
    "fraction": 1.5,
    "beyond 32 bits": 2**31,
    "beyond 64 bits": 2**64,
    "negative": -(2**31),
}
A_BOOLEAN: Final = {"text": "true", "number": 1, "list": [True], "object": {}}
IDS: Final = {f"{name} in a list": ["a", value] for name, value in A_NAME_ID.items()} | {
    "null in a list": [None],
    "object": {},
    "1,001": ["x"] * 1001,
    "10,000": ["x"] * 10_000,
}
SOME_JSON: Final = {
    "NUL": {"a": ["\x00"]},
    "NUL in a name": {"a\x00": 1},
    "integer beyond 2^53": {"a": 2**53 + 1},
    "integer below -2^53": {"a": -(2**53) - 1},
    "too deep": DEEP,
}
A_PROMPT: Final = SOME_JSON | {
    "text": "a lake",
    "list": [],
    "missing description": {},
    "description of another kind": {"description": 7},
    "something more": {"description": "x", "more": 1},
    "out of bounds": {"description": "x", "width": 1},
    "too large": {"description": "x" * 70_000},
}
A_SNAPSHOT: Final = SOME_JSON | {"too large": "x" * 300_000}
A_URL: Final = NOT_TEXT | {
    "empty": "",
    "no scheme": "hooks.example",
    "other scheme": "ftp://hooks.example/",
    "credentials": "https://ada:secret@hooks.example/",
    "fragment": "https://hooks.example/#x",
    "NUL": "https://hooks.example/\x00",
    "too long": "https://hooks.example/" + "x" * 2000,
}
REQUIRED: Final = {"missing": MISSING, "null": None}


@dataclass(frozen=True)
class Operation:
    """An operation of the contract, all of its inputs being variables.

    Attributes:
        query: the document.
        valid: variables that it takes.
        inputs: for each input, as its path in the variables, what it may not be.
        called: how its errors call an input that is a variable of another name, or an argument of a field.
    """

    query: str
    valid: Mapping[str, Any]
    inputs: Mapping[str, Bad]
    called: Mapping[str, str] = field(default_factory=dict)


def between(least: float, most: float) -> dict[str, object]:
    """Return the numbers that lie just outside."""
    return {"below": least - 1, "above": most + 1}


CREATION: Final[dict[str, Bad]] = {
    "worldId": REQUIRED | A_NAME_ID,
    "assetType": REQUIRED | AN_ENUM | {"list": ["IMAGE"]},
    "provider": REQUIRED | A_NAME | {"unknown": "nobody"},
    "modelId": A_NAME | {"unknown": "unheard-of"},
    "promptSpec": REQUIRED | A_PROMPT,
    "references": NOT_OBJECT,
    "references.claimIds": IDS,
    "references.entityIds": IDS,
    "references.sourceChunkIds": IDS,
    "references.sourceId": A_NAME_ID,
    "loreSnapshot": A_SNAPSHOT,
    "priority": AN_INT | between(0, 9),
    "runAt": A_RUN_AT,
    "maxAttempts": AN_INT | between(1, 100),
    "timeoutSeconds": AN_INT | between(1, 43_200),
    "idempotencyKey": A_NAME,
    "reuseIdentical": A_BOOLEAN,
    "webhookUrl": A_URL,
}
"""CreateAssetJobInput."""
VALID: Final = {
    "worldId": "eldoria",
    "assetType": "IMAGE",
    "provider": "local",
    "promptSpec": {"description": "A lake"},
    "references": {},
}
PAGE: Final[dict[str, Bad]] = {
    "first": AN_INT | between(0, 100),
    "after": A_CURSOR,
    "last": AN_INT | between(0, 100),
    "before": A_CURSOR,
}
ID: Final[dict[str, Bad]] = {"id": REQUIRED | AN_ID}
QUEUE: Final = REQUIRED | A_NAME
OPERATIONS: Final = {
    "Mutation.createAssetJob": Operation(
        "mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { created } }",
        {"input": VALID},
        {"input": REQUIRED | NOT_OBJECT} | {f"input.{name}": bad for name, bad in CREATION.items()},
    ),
    "Mutation.createAssetJobs": Operation(
        "mutation($inputs: [CreateAssetJobInput!]!) { createAssetJobs(inputs: $inputs) { created } }",
        {"inputs": [VALID, json.loads(json.dumps(VALID))]},
        {"inputs": REQUIRED | NOT_OBJECT | {"null in the list": [VALID, None], "too many": [VALID] * 1001}}
        | {f"inputs.1.{name}": bad for name, bad in CREATION.items()},
    ),
    "Mutation.deleteAsset": Operation("mutation($id: ID!) { deleteAsset(id: $id) { id } }", {"id": UUID}, ID),
    "Mutation.createUpload": Operation(
        "mutation($input: CreateUploadInput!) { createUpload(input: $input) { method } }",
        {
            "input": {
                "worldId": "eldoria",
                "assetType": "IMAGE",
                "filename": "lake.png",
                "contentType": "image/png",
            }
        },
        {
            "input": REQUIRED | NOT_OBJECT,
            "input.worldId": REQUIRED | A_NAME_ID,
            "input.assetType": REQUIRED | AN_ENUM,
            "input.filename": REQUIRED | A_NAME,
            "input.contentType": REQUIRED | A_NAME,
        },
    ),
    "Query.assets": Operation(
        """query($filter: AssetFilter, $first: Int, $after: String, $last: Int, $before: String) {
            assets(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
                totalCount } }""",
        {"filter": {}},
        PAGE
        | {
            "filter": NOT_OBJECT,
            "filter.worldId": A_NAME_ID,
            "filter.assetType": ENUMS,
            "filter.status": AN_ENUM,
            "filter.createdBy": A_NAME,
            "filter.claimId": A_NAME_ID,
            "filter.entityId": A_NAME_ID,
            "filter.sourceChunkId": A_NAME_ID,
            "filter.sourceId": A_NAME_ID,
        },
    ),
    "Mutation.cancelJob": Operation("mutation($id: ID!) { cancelJob(id: $id) { id } }", {"id": UUID}, ID),
    "Mutation.retryJob": Operation("mutation($id: ID!) { retryJob(id: $id) { id } }", {"id": UUID}, ID),
    "Mutation.redriveDeadLetters": Operation(
        "mutation($queue: String!, $max: Int) { redriveDeadLetters(queue: $queue, max: $max) }",
        {"queue": "q"},
        {"queue": QUEUE, "max": AN_INT | between(1, 1000)},
    ),
    "Mutation.purgeQueue": Operation(
        "mutation($queue: String!) { purgeQueue(queue: $queue) }", {"queue": "q"}, {"queue": QUEUE}
    ),
    "Query.node": Operation("query($id: ID!) { node(id: $id) { id } }", {"id": UUID}, ID),
    "Query.job": Operation("query($id: ID!) { job(id: $id) { id } }", {"id": UUID}, ID),
    "Query.asset": Operation("query($id: ID!) { asset(id: $id) { id } }", {"id": UUID}, ID),
    "Query.jobs": Operation(
        """query($filter: JobFilter, $first: Int, $after: String, $last: Int, $before: String) {
            jobs(filter: $filter, first: $first, after: $after, last: $last, before: $before) { totalCount } }""",
        {"filter": {}},
        PAGE
        | {
            "filter": NOT_OBJECT,
            "filter.worldId": A_NAME_ID,
            "filter.status": ENUMS,
            "filter.assetType": ENUMS,
            "filter.provider": A_NAME,
            "filter.requestedBy": A_NAME,
            "filter.createdAfter": AN_INSTANT,
            "filter.createdBefore": AN_INSTANT,
        },
    ),
    "AssetJob.history": Operation(
        """query($job: ID!, $first: Int, $after: String) {
            job(id: $job) { history(first: $first, after: $after) { edges { cursor } } } }""",
        {"job": "JOB"},
        {"first": AN_INT | between(1, 500), "after": A_CURSOR},
    ),
    "Asset.downloadUrl": Operation(
        "query($asset: ID!, $seconds: Int) { asset(id: $asset) { downloadUrl(expiresInSeconds: $seconds) } }",
        {"asset": "ASSET"},
        {"seconds": AN_INT | between(1, 7 * 24 * 3600)},
        {"seconds": "expiresInSeconds"},
    ),
    "Query.providers": Operation(
        "query($assetType: AssetType) { providers(assetType: $assetType) { name } }",
        {},
        {"assetType": AN_ENUM | {"list": ["IMAGE", "MAP"]}},
    ),
    "Provider.promptSchema": Operation(
        "query($type: AssetType!) { providers { promptSchema(assetType: $type) } }",
        {"type": "IMAGE"},
        {"type": REQUIRED | AN_ENUM | {"list": ["IMAGE"]}},
        {"type": "assetType"},
    ),
    "Subscription.jobUpdates": Operation(
        "subscription($jobId: ID!, $after: String) { jobUpdates(jobId: $jobId, after: $after) { seq } }",
        {"jobId": "JOB"},
        {"jobId": REQUIRED | AN_ID, "after": A_CURSOR},
    ),
    "Subscription.worldUpdates": Operation(
        """subscription($worldId: ID!, $filter: WorldUpdateFilter, $after: String) {
            worldUpdates(worldId: $worldId, filter: $filter, after: $after) { seq } }""",
        {"worldId": "eldoria", "filter": {}},
        {
            "worldId": REQUIRED | A_NAME_ID,
            "filter": NOT_OBJECT,
            "filter.status": ENUMS,
            "filter.assetType": ENUMS,
            "filter.requestedBy": A_NAME,
            "filter.includeProgress": A_BOOLEAN,
            "after": A_CURSOR,
        },
    ),
    "Subscription.queueStats": Operation(
        "subscription($every: Float) { queueStats(intervalSeconds: $every) { name } }",
        {},
        {"every": A_NUMBER | between(1, 3600) | {"nearly": 0.999, "negative": -5}},
        {"every": "intervalSeconds"},
    ),
}
