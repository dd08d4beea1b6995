"""The command line's way to a server: GraphQL over HTTP, and subscriptions that resume by themselves."""

import asyncio
import os
import random
import sys
from argparse import Namespace
from collections.abc import AsyncGenerator, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportError, TransportQueryError, TransportServerError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from services.errors import ConfigurationError
from services.settings import load_settings

_PATIENCE_S: Final = 30
_PING_EVERY_S: Final = 10
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 10
_FORBIDDEN: Final = 4403
"""The close code of a connection whose token is refused, or has expired."""
_PASSING: Final = frozenset({"UNAVAILABLE", "RATE_LIMITED"})
"""Refusals that a subscription outlasts."""

Item = dict[str, Any]


class CommandFailed(Exception):
    """A command came to no good end.

    Attributes:
        exit_code: that of the program.
    """

    exit_code = 1


class Misused(CommandFailed):
    """What was said on the command line makes no sense."""

    exit_code = 2


class Unreachable(CommandFailed):
    """The server cannot be reached."""

    exit_code = 3


class Api:
    """A server.

    Args:
        url: its address, such as `http://127.0.0.1:8000`.
        token: who asks; None where nobody needs to say.
        on_loss: hears that a connection was lost, and how often in a row.

    Raises:
        ConfigurationError: the address is none.
    """

    def __init__(self, url: str, token: str | None, *, on_loss: Callable[[int], None] = lambda _: None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"the server's address must begin with http:// or https://, not {url!r}")
        self._url = url.rstrip("/").removesuffix("/graphql") + "/graphql"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.on_loss = on_loss

    async def ask(self, query: str, **variables: object) -> Item:
        """Execute a query or a mutation; returns its data.

        Raises:
            CommandFailed: the server refuses.
            Unreachable: it does not answer.
        """
        transport = AIOHTTPTransport(self._url, headers=self._headers, timeout=_PATIENCE_S)
        try:
            async with Client(transport=transport, execute_timeout=_PATIENCE_S) as session:
                data: Item = await session.execute(GraphQLRequest(query, variable_values=variables))
                return data
        except TransportQueryError as error:
            raise CommandFailed(_worded(error)) from error
        except TransportServerError as error:
            raise _refusal(error) from error
        except (TransportError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._unreachable() from error

    async def follow(self, query: str, **variables: object) -> AsyncGenerator[Item, None]:
        """Yield the updates of a subscription to its end: each once, through lost connections.

        Args:
            query: selects the `cursor` of each update, and has a variable `after`.
            variables: of the query.

        Raises:
            CommandFailed: the server refuses.
            Unreachable: it did not answer at the first try. Later ones are repeated for ever.
        """
        losses = 0
        was_there = False
        while True:
            try:
                async with Client(transport=self._socket()) as session:
                    was_there = True
                    async for data in session.subscribe(GraphQLRequest(query, variable_values=variables)):
                        losses = 0
                        (item,) = data.values()
                        variables["after"] = item["cursor"]
                        yield item
                    return
            except TransportQueryError as error:
                if _code(error) not in _PASSING:
                    raise CommandFailed(_worded(error)) from error
            except (TransportError, TimeoutError, OSError) as error:
                if _is_forbidden(error):
                    raise CommandFailed("UNAUTHENTICATED: the token is refused, or has expired.") from error
                if not was_there:
                    raise self._unreachable() from error
            losses += 1
            self.on_loss(losses)
            pause_s = min(_FIRST_PAUSE_S * 2**losses, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads clients, guards nothing

    def _socket(self) -> WebsocketsTransport:
        scheme, rest = self._url.split("://", 1)
        return WebsocketsTransport(
            url=f"{'wss' if scheme == 'https' else 'ws'}://{rest}",
            init_payload=self._headers,
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            ping_interval=_PING_EVERY_S,
        )

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"nothing answers at {self._url}. Is the server running (`python server.py`)?")


def run_command(chosen: Namespace, command: Callable[[Api], Coroutine[Any, Any, int]]) -> int:
    """Run a command against the server that was chosen; returns the exit code."""
    try:
        api = Api(
            chosen.url or os.environ.get("LOREKEEPER_URL") or _local_url(),
            chosen.token or os.environ.get("LOREKEEPER_TOKEN"),
        )
        return asyncio.run(command(api))
    except CommandFailed as error:
        sys.stderr.write(f"server.py: {error}\n")
        return error.exit_code
    except ConfigurationError as error:
        sys.stderr.write(f"server.py: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. Python would complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _local_url() -> str:
    settings = load_settings()
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared only
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _code(error: TransportQueryError) -> str:
    return str((error.errors or [{}])[0].get("extensions", {}).get("code", "INTERNAL"))


def _worded(error: TransportQueryError) -> str:
    messages = [str(each.get("message")) for each in error.errors or []]
    return f"{_code(error)}: {' '.join(messages)}"


def _refusal(error: TransportServerError) -> CommandFailed:
    if error.code == HTTPStatus.UNAUTHORIZED:
        return CommandFailed(
            "UNAUTHENTICATED: the token is missing, refused or expired; --token or LOREKEEPER_TOKEN gives one."
        )
    return CommandFailed(f"the server answers with HTTP status {error.code}.")


def _is_forbidden(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == _FORBIDDEN:
            return True
        error = error.__cause__ or error.__context__
    return False
