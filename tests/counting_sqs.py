"""An SQS server seen from outside: it counts the requests it gets, and is away when a test wants it."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientSession, web

DEPTH: Final = "GetQueueAttributes"


class CountingSqs:
    """Stands before a real server and passes requests on.

    Attributes:
        url: where it listens.
        requests: how many came, by action.
        away: whether every request is refused.
    """

    def __init__(self, target: str, session: ClientSession) -> None:
        self.url = ""
        self.requests: Counter[str] = Counter()
        self.away = False
        self._target = target
        self._session = session

    async def answer(self, request: web.Request) -> web.Response:
        self.requests[request.headers["X-Amz-Target"].removeprefix("AmazonSQS.")] += 1
        if self.away:
            return web.json_response({"__type": "com.amazonaws.sqs#ServiceUnavailable"}, status=503)
        async with self._session.post(
            self._target, data=await request.read(), headers=request.headers, skip_auto_headers=["Content-Type"]
        ) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), headers={"Content-Type": answer.content_type}
            )


@asynccontextmanager
async def counting_sqs(target: str) -> AsyncIterator[CountingSqs]:
    """Listen on a free port until the block ends."""
    async with ClientSession() as session:
        sqs = CountingSqs(target, session)
        application = web.Application()
        application.router.add_post("/{any:.*}", sqs.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            sqs.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield sqs
        finally:
            await runner.cleanup()
