"""The embedded SQS and S3 server: ministack, with queues that survive its sudden death.

    python -m services.local_sqs FOLDER PORT

Ministack keeps queues in memory and writes them at an orderly end only. Here they are written a second after
a change, so a SIGKILL takes back about a second of sends, receives and deletes. Only its SQS and S3 handlers
are used: its own start-up also runs scripts from fixed system folders and removes Docker containers. It is
served by uvicorn, which is a third to three quarters faster here than the server it comes with.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import orjson
import uvicorn

_log = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Answer = tuple[int, Mapping[str, str], bytes]
_Handler = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, Any]], Awaitable[_Answer]]

LOCAL_CREDENTIAL: Final = "lorekeeper"
"""Both halves of the credentials: any are taken, but the signatures of links are checked with these."""

_INTERVAL_S: Final = 1.0
# A snapshot may cost a twentieth of the time, however long the queues are.
_SHARE: Final = 20
# Messages that are encoded at a stretch, about 1 ms, before requests get their turn.
_STRETCH: Final = 500
_RECEIVE: Final = "AmazonSQS.ReceiveMessage"
_READS: Final = frozenset(
    f"AmazonSQS.{action}" for action in ("GetQueueUrl", "GetQueueAttributes", "ListQueues", "ListQueueTags")
)
_GRACE_S: Final = 1


class QueueSnapshots:
    """The queues on disk.

    Args:
        sqs: ministack's module `services.sqs`, which holds the queues.
        file: where they are kept.
    """

    def __init__(self, sqs: ModuleType, file: Path) -> None:
        self._sqs = sqs
        self._file = file
        self._changed = False
        self._handle: _Handler = sqs.handle_request
        # Ministack looks the handler up in the module at every request.
        vars(sqs)["handle_request"] = self._noted

    def restore(self) -> None:
        """Read the queues back, under the addresses of the port that is used now.

        A file that cannot be read, after a power cut for one, is put aside: jobs whose message is gone are sent
        again, but nothing is sent by a server that does not start.
        """
        try:
            kept = orjson.loads(self._file.read_bytes())
            queues = kept["queues"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            _log.exception("the queues cannot be read back; their file is put aside")
            self._file.replace(self._file.with_suffix(".unreadable"))
            return
        for account, region, queue in queues:
            url = self._sqs._queue_url_for_account(account, queue["name"])  # noqa: SLF001 - has no public name
            queue["url"] = url
            self._sqs._queues.set_scoped(account, region, url, queue)  # noqa: SLF001 - likewise
            self._sqs._queue_name_to_url.set_scoped(account, region, queue["name"], url)  # noqa: SLF001 - likewise

    async def save(self) -> float:
        """Write the queues if they have changed; the seconds that requests were held up by it."""
        if not self._changed:
            return 0.0
        self._changed = False
        held_up = 0.0
        # Which messages there are is taken at one instant. What is said of a message may be newer: its
        # receive count and visibility, as any later receive would have made them.
        queues = [
            (scope, queue, list(queue["messages"]))
            for scope, queue in self._sqs._queues.all_items()  # noqa: SLF001 - likewise
        ]
        pieces: list[bytes] = []
        for (account, region, _), queue, messages in queues:
            settings = {name: value for name, value in queue.items() if name != "messages"}
            pieces += [
                b"," if pieces else b"",
                orjson.dumps([account, region, settings]).removesuffix(b"}]"),
                b',"messages":[',
            ]
            for start in range(0, len(messages), _STRETCH):
                began = time.perf_counter()
                pieces += [b"," if start else b"", orjson.dumps(messages[start : start + _STRETCH])[1:-1]]
                held_up += time.perf_counter() - began
                await asyncio.sleep(0)
            pieces.append(b"]}]")
        try:
            await asyncio.to_thread(self._write, pieces)
        except BaseException:
            self._changed = True
            raise
        return held_up

    def _write(self, pieces: list[bytes]) -> None:
        new = self._file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(b'{"queues":[')
            file.writelines(pieces)
            file.write(b"]}")
        new.replace(self._file)

    async def _noted(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> _Answer:
        answer: _Answer = await self._handle(method, path, headers, body, query)
        action = headers.get("x-amz-target", "")
        if action not in _READS and not (action == _RECEIVE and answer[2] == b"{}"):
            self._changed = True
        return answer


class LocalSqs:
    """The ASGI application: ministack's, with its state kept in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        # Ministack reads its configuration while it is imported.
        os.environ.update(_configuration(folder, port))
        from ministack import app  # noqa: PLC0415 - see above
        from ministack.core import persistence  # noqa: PLC0415 - likewise
        from ministack.services import s3, sqs  # noqa: PLC0415 - likewise

        self._serve = app.app
        self._persistence = persistence
        self._s3 = s3
        self._s3_changed = False
        self._snapshots = QueueSnapshots(sqs, folder / "queues.json")
        self._snapshots.restore()
        self._parent = os.getppid()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request, or run from start to end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "http" and dict(scope["headers"]).get(b"x-amz-target") == _RECEIVE.encode():
            await self._serve_while_connected(scope, receive, send)
            return
        await self._serve(scope, receive, send)
        # Objects are written by ministack at once, what it knows of their buckets is not.
        if scope["type"] == "http" and scope["method"] in {"PUT", "DELETE"}:
            self._s3_changed = True

    async def _serve_while_connected(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a long poll only while its client is there.

        The poll of a client that was killed would go on here, take the next message and give it to nobody: its
        job would wait for another lease.
        """
        bodies = [await receive()]
        while bodies[-1].get("more_body"):
            bodies.append(await receive())
        left = asyncio.ensure_future(receive())  # behind the body only the disconnection can come

        async def replay() -> MutableMapping[str, Any]:
            return bodies.pop(0) if bodies else await asyncio.shield(left)

        serving = asyncio.ensure_future(self._serve(scope, replay, send))
        await asyncio.wait((serving, left), return_when=asyncio.FIRST_COMPLETED)
        for waiting in (serving, left):
            waiting.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    async def _live(self, receive: _Receive, send: _Send) -> None:
        await receive()
        stopping = asyncio.Event()
        keeping = asyncio.create_task(self._keep(stopping))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        stopping.set()
        await keeping
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep(self, stopping: asyncio.Event) -> None:
        held_up = 0.0
        while not stopping.is_set():  # and once more when it is: the last changes
            with suppress(TimeoutError):
                async with asyncio.timeout(max(_INTERVAL_S, _SHARE * held_up)):
                    await stopping.wait()
            if os.getppid() != self._parent:
                # Where the kernel does not tell that the parent has died.
                os.kill(os.getpid(), signal.SIGTERM)
            try:
                held_up = await self._save()
            except Exception:  # noqa: BLE001 - a full disk, for one: the server goes on, and so do the attempts
                _log.exception("the queues could not be written")

    async def _save(self) -> float:
        if self._s3_changed:
            self._s3_changed = False
            self._persistence.save_state("s3", self._s3.get_state())
        return await self._snapshots.save()


def _configuration(folder: Path, port: int) -> dict[str, str]:
    return {
        "SERVICES": "sqs,s3",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",  # the host in queue URLs
        "AWS_SECRET_ACCESS_KEY": LOCAL_CREDENTIAL,  # checks the signatures of presigned links
        "LOG_LEVEL": "WARNING",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        # For the buckets: there is no sqs.json in it, queues are kept by the snapshots.
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
    }


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(
        LocalSqs(folder, port),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        # Longer than clients keep an idle connection, so that they close it and none is closed under a
        # request.
        timeout_keep_alive=75,
        # Long polls are still waiting then.
        timeout_graceful_shutdown=_GRACE_S,
    )


if __name__ == "__main__":
    main()
