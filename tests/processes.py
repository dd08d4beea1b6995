"""Real server and worker processes, driven from outside."""

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
from gql import Client, GraphQLRequest
from gql.transport.websockets import WebsocketsTransport

ROOT = Path(__file__).resolve().parents[1]

_READY = re.compile(r"lorekeeper is ready: (http://[^/\s]+)/")


class Process:
    """One of our programs, with what it writes to standard error."""

    def __init__(self, *arguments: str, environment: dict[str, str]) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._wrote = threading.Condition()
        assert self.popen.stderr is not None
        threading.Thread(target=self._read, args=(self.popen.stderr,), daemon=True).start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._wrote:
                    self._lines.append(line.decode())
                    self._wrote.notify_all()

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_for(self, pattern: "str | re.Pattern[str]", *, within_s: float = 30) -> "re.Match[str]":
        """Wait until it has written something."""

        def found() -> "re.Match[str] | None":
            return re.search(pattern, self.output)

        with self._wrote:
            assert self._wrote.wait_for(found, within_s), self.output
        match = found()
        assert match is not None
        return match

    @property
    def url(self) -> str:
        return self.wait_for(_READY).group(1)

    def family(self) -> list[psutil.Process]:
        """Return the process and all that descend from it."""
        own = psutil.Process(self.popen.pid)
        return [own, *own.children(recursive=True)]

    def stop(self, number: int = signal.SIGTERM, *, within_s: float = 30) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(within_s)

    def end(self) -> None:
        """Stop it if it runs, kill it with all that it started if it does not stop."""
        if self.popen.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(within_s=20)
        if self.popen.poll() is None:
            self.kill_all()

    def kill_all(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in self.family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.popen.wait(10)


def ask(url: str, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send an operation over HTTP; returns the whole answer."""
    response = httpx.post(f"{url}/graphql", json={"query": query, "variables": variables or {}}, timeout=10)
    answer: dict[str, Any] = response.json()
    return answer


async def watch(url: str, query: str, variables: dict[str, Any], *, within_s: float = 30) -> list[dict[str, Any]]:
    """Follow a subscription over WebSocket to its end."""
    transport = WebsocketsTransport(
        url=url.replace("http", "ws", 1) + "/graphql", subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    )
    async with asyncio.timeout(within_s), Client(transport=transport) as session:
        request = GraphQLRequest(query, variable_values=variables)
        return [item async for item in session.subscribe(request)]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
