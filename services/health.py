"""Whether the services that a process needs answer now."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final

from services import events
from services.errors import Unavailable
from services.resources import Resources

OK: Final = "ok"
_WAIT_S: Final = 3


async def check_services(resources: Resources) -> Mapping[str, str]:
    """Ask each service; returns by name `ok`, or what is wrong."""
    questions = {
        "postgres": resources.database.ping(),
        "redis": events.ping(resources.redis),
        "sqs": resources.queues.ping(),
    }
    return dict(zip(questions, await asyncio.gather(*map(_answer, questions.values())), strict=True))


async def _answer(question: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(_WAIT_S):
            await question
    except Unavailable as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {_WAIT_S} s"
    return OK
