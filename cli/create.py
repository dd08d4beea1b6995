"""`server.py jobs create`."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from cli.api import Api, Misused, run_command
from cli.output import console, print_json
from cli.watching import watch_jobs

_CREATE: Final = """
mutation Create($input: CreateAssetJobInput!) {
  createAssetJob(input: $input) { created job { id worldId status cursor } }
}
"""


def run(chosen: Namespace) -> int:
    """Ask for an asset; returns the exit code."""

    async def create(api: Api) -> int:
        answer = (await api.ask(_CREATE, input=_input_of(chosen)))["createAssetJob"]
        job = answer["job"]
        if chosen.json:
            print_json([{**job, "created": answer["created"]}])
        elif chosen.watch:
            console.print(f"{job['id']} {'created' if answer['created'] else 'was there already'}")
        else:
            # Alone on its line, so that a shell can take it.
            console.print(job["id"])
        return await watch_jobs(api, [job["id"]], as_json=chosen.json) if chosen.watch else 0

    return run_command(chosen, create)


def _input_of(chosen: Namespace) -> dict[str, Any]:
    prompt = _prompt_of(chosen.prompt) if chosen.prompt else {}
    if chosen.description is not None:
        prompt = {"description": chosen.description, **prompt}
    given = {
        "worldId": chosen.world,
        "assetType": chosen.type.upper(),
        "provider": chosen.provider,
        "promptSpec": prompt,
        "modelId": chosen.model,
        "priority": chosen.priority,
        "maxAttempts": chosen.max_attempts,
        "runAt": chosen.run_at and chosen.run_at.isoformat(),
        "idempotencyKey": chosen.key,
    }
    return {name: value for name, value in given.items() if value is not None}


def _prompt_of(text: str) -> dict[str, Any]:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        prompt = json.loads(text)
    except OSError as error:
        raise Misused(f"--prompt: {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise Misused(f"--prompt: this is no JSON: {error}") from error
    if not isinstance(prompt, dict):
        raise Misused("--prompt: it must be a JSON object")
    return prompt
