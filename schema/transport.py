"""What HTTP adds to Strawberry's view: media types and statuses as specified, our explorer, our bounds."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from json import JSONDecodeError
from math import ceil
from typing import Any, Final, cast

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLError, OperationType, get_operation_ast, parse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.streaming import MultipartSubscriptionTransport
from strawberry.schema import BaseSchema
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types import ExecutionResult, SubscriptionExecutionResult
from strawberry.types.unset import UnsetType

from schema.authentication import HEADER, authenticate, credentials_of
from schema.clients import Clients
from schema.context import Context
from schema.pages import answer_explorer
from schema.sharing import SharedResult
from schema.sockets import ADMISSION, INIT_WAIT, RECEIVE, SEND, Handler, MessageTooLarge, Socket
from schema.streaming import LAST_EVENT_ID, EventPayload, EventStream, HttpStream
from services.access import ANONYMOUS, Caller
from services.errors import KeysUnavailable, TooManyConnections, Unauthenticated
from services.resources import Resources
from services.settings import Settings

_JSON: Final = "application/json"
_GRAPHQL_RESPONSE: Final = "application/graphql-response+json"
_UNREAD: Final = (408, 413)
"""Refusals of a request whose rest nobody reads: the connection is of no use any more."""
_STREAMS: Final = (
    "Subscriptions are served over WebSocket (graphql-transport-ws), as server-sent events "
    "(Accept: text/event-stream) and as multipart/mixed;subscriptionSpec=1.0"
)


class GraphQLView(GraphQL[Context, None]):
    """GraphQL over HTTP, server-sent events, multipart and WebSocket; for a browser, the explorer."""

    graphql_transport_ws_handler_class = Handler
    websocket_adapter_class = Socket
    stream_transport_classes_by_protocol = {  # noqa: RUF012 - as Strawberry declares it
        MULTIPART_SUBSCRIPTION_PROTOCOL: MultipartSubscriptionTransport,
        GRAPHQL_SSE_PROTOCOL: EventStream,
    }

    def __init__(self, schema: BaseSchema, settings: Settings) -> None:
        super().__init__(
            schema,
            subscription_protocols=[
                GRAPHQL_TRANSPORT_WS_PROTOCOL,
                GRAPHQL_SSE_PROTOCOL,
                MULTIPART_SUBSCRIPTION_PROTOCOL,
            ],
            connection_init_wait_timeout=INIT_WAIT,
            max_subscriptions_per_connection=None,  # the handler's own, which answers with a code
            graphql_ide="graphiql" if settings.explorer else None,
            allowed_origins=[*settings.allowed_origins],
        )
        self.max_operations = settings.max_operations
        self.clients = Clients(most_a_caller=settings.max_connections, idle=settings.stream_idle)
        self.background: set[asyncio.Task[None]] = set()
        self._public_url = None if settings.public_url is None else str(settings.public_url)
        self._max_body_bytes = settings.max_body_bytes
        self._max_tokens = settings.max_tokens
        self._patience = settings.stream_idle

    def decode_json(self, data: str | bytes) -> object:
        """Decode a request or a message: each is one JSON object.

        Raises:
            JSONDecodeError: it is not.
            MessageTooLarge: it has more bytes than we read. Requests were counted as they came; of WebSockets the
                server knows a bound only where it was started with one.
        """
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        if size > self._max_body_bytes:
            raise MessageTooLarge
        decoded = orjson.loads(data)
        if not isinstance(decoded, dict):
            raise JSONDecodeError("it must be an object, and a request holds one operation", "", 0)
        return decoded

    def parse_json(self, data: str | bytes) -> object:
        """Decode a part of a request, or tell what is wrong with it.

        Raises:
            HTTPException: it is not an object of JSON.
        """
        try:
            return self.decode_json(data)
        except JSONDecodeError as error:
            raise HTTPException(400, f"The request is not the JSON that is expected: {error}") from error

    def encode_json(self, data: object) -> str:
        """Encode a response or a message; what is shared in it was encoded before."""
        return orjson.dumps(data).decode()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Answer; a request that is not GraphQL is refused in the form that GraphQL clients read."""
        scope[RECEIVE], scope[SEND] = receive, send
        answer = self._answer_socket if scope["type"] == "websocket" else self._answer_request
        return answer(scope, receive, send)

    async def _answer_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.clients.admitted(_address(scope)) as scope[ADMISSION]:
                await self.run(WebSocket(scope, receive, send))
        except TooManyConnections as error:
            await WebSocket(scope, receive, send).send_denial_response(PlainTextResponse(str(error), 429))

    async def _answer_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, self._bounded(receive))
        try:
            response = await self.run(request)
        except ClientDisconnect:
            return
        except HTTPException as error:
            reason = _STREAMS if "subscriptions are not allowed" in error.reason else error.reason
            response = _refusal(request, reason, error.status_code, "BAD_USER_INPUT")
            if error.status_code in _UNREAD:
                response.headers["connection"] = "close"
        except Unauthenticated as error:
            response = _refusal(request, str(error), 401, "UNAUTHENTICATED")
            response.headers["www-authenticate"] = "Bearer"
        except KeysUnavailable as error:
            response = _refusal(request, str(error), 503, "UNAVAILABLE")
        if not isinstance(response, StreamingResponse):
            await response(scope, receive, send)
            return
        try:
            caller: Caller = request.state.caller
            with self.clients.admitted(_name(caller) or _address(scope)):
                await HttpStream(receive, send).serve(response, scope, self.clients, until=caller.expires_at)
        except TooManyConnections as error:
            response = _refusal(request, str(error), 429, "RATE_LIMITED")
            await response(scope, receive, send)

    def _bounded(self, receive: Receive) -> Receive:
        """Receive a request's body: within its size, and within the time that a silent client has."""
        read = 0
        until = asyncio.get_running_loop().time() + self._patience.total_seconds()

        async def receive_bounded() -> Message:
            nonlocal read
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The request has not come to its end in time") from None
            read += len(message.get("body", b""))
            if read > self._max_body_bytes:
                raise HTTPException(413, f"The request is larger than {self._max_body_bytes} bytes")
            return message

        return receive_bounded

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Return the response that the operation may change, with the media type that the client wants."""
        response = await super().get_sub_response(request)
        response.media_type = _media_type(request)
        return response

    async def parse_http_body(
        self, request: AsyncHTTPRequestAdapter
    ) -> GraphQLRequestData | list[GraphQLRequestData]:
        """Return the operation of a request.

        What a page of any origin can make a browser send without asking first is no operation, so that nobody can
        forge one: a POST has the media type of JSON and nothing that merely contains its name.
        """
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        if request.method == "POST" and media_type != _JSON:
            raise HTTPException(400, f"Unsupported content type: an operation is sent as {_JSON}")
        data = await super().parse_http_body(request)
        # Where a name is no text, graphql-core would tell of an operation that is missing.
        if isinstance(data, GraphQLRequestData) and not isinstance(data.operation_name, str | None):
            raise HTTPException(
                400, "The GraphQL operation's `operationName` must be a string or null, if provided."
            )
        # Some clients, urql among them, name with every operation all that they understand.
        if (
            isinstance(data, GraphQLRequestData)
            and data.protocol != "http"
            and any(_wanted(request.headers.get("accept", "")).values())
            and not self._subscribes(data)
        ):
            return replace(data, protocol="http")
        return data

    def _subscribes(self, data: GraphQLRequestData) -> bool:
        try:
            document = parse(data.query or "", max_tokens=self._max_tokens)
        except (GraphQLError, RecursionError):
            return False
        operation = get_operation_ast(document, data.operation_name)
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    async def execute_operation(  # noqa: PLR0913, PLR0917 - Strawberry's signature
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> ExecutionResult | list[ExecutionResult] | SubscriptionExecutionResult:
        """Execute for a caller who says who it is; a request that was not executed is a bad one."""
        context.identity = await authenticate(context.resources.tokens, context.credentials)
        request.state.caller = context.identity
        result = await super().execute_operation(
            request, request_adapter, request_data, context, root_value, sub_response
        )
        if _is_request_error(result):
            _tell_status(result, sub_response)
        return result

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Return a result as it is encoded: no data where nothing was executed, the cursor with an event."""
        response = await super().process_result(request, result)
        if isinstance(result, SharedResult):
            payload = EventPayload(response)
            payload.cursor = result.cursor
            return cast("GraphQLHTTPResponse", payload)
        if _is_request_error(result):
            del response["data"]
        return response

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """Return the response, in the media type that was negotiated."""
        response = super().create_response(response_data, sub_response)
        response.headers["content-type"] = f"{sub_response.media_type}; charset=utf-8"
        return response

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002 - Strawberry's signature
    ) -> Context:
        """Make the context of a request or a connection."""
        resources: Resources = request.app.state.resources
        transport = self._get_stream_transport_from_headers(request.headers)
        return Context(
            resources,
            self._public_url or _base_url(request),
            credentials=request.headers.get(HEADER),
            admission=request.scope.get(ADMISSION),
            lasting=transport is not None or isinstance(request, WebSocket),
            resume_after=request.headers.get(LAST_EVENT_ID) if isinstance(transport, EventStream) else None,
        )

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        """Begin a connection for a caller who says who it is, in its first message or in the handshake.

        Raises:
            ConnectionRejectionError: it does not, or not credibly.
            KeysUnavailable: that cannot be known now.
            TooManyConnections: the caller has as many as it may.
        """
        credentials = credentials_of(context.connection_params or {}) or context.credentials
        try:
            context.identity = await authenticate(context.resources.tokens, credentials)
        except Unauthenticated as error:
            raise ConnectionRejectionError from error
        name = _name(context.identity)
        if name is not None and context.admission is not None:
            context.admission.give(name)
        context.credentials = context.connection_params = None
        return await super().on_ws_connect(context)

    async def render_graphql_ide(self, request: Request) -> Response:  # noqa: ARG002 - Strawberry's signature
        """Answer a browser with the explorer."""
        return answer_explorer()


def _media_type(request: Request | WebSocket) -> str:
    """Choose between the two media types of GraphQL over HTTP; who does not ask for the newer gets the older."""
    wanted = _wanted(request.headers.get("accept", ""))
    newer, older = wanted[_GRAPHQL_RESPONSE], wanted[_JSON]
    return _GRAPHQL_RESPONSE if newer > 0 and newer >= older else _JSON


def _wanted(accept: str) -> Mapping[str, float]:
    """Return how much a client wants each of the two media types, from 0 to 1."""
    wanted = {_JSON: 0.0, _GRAPHQL_RESPONSE: 0.0}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name in wanted:
            quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
            wanted[name] = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
    return wanted


def _is_request_error(result: Any) -> bool:  # noqa: ANN401 - whatever an execution can return
    """Whether nothing was executed: the document or its variables do not fit, so no error has a path."""
    return (
        isinstance(result, ExecutionResult)
        and result.data is None
        and bool(result.errors)
        and all(error.path is None for error in result.errors or ())
    )


def _tell_status(result: Any, response: Response) -> None:  # noqa: ANN401 - as above
    """Give a request error its status, which only the newer media type has, and tell when to come again."""
    waits = [
        error.extensions["retryAfterSeconds"] for error in result.errors if "retryAfterSeconds" in error.extensions
    ]
    if waits:
        response.headers["Retry-After"] = str(ceil(max(waits)))
    if response.media_type == _GRAPHQL_RESPONSE:
        response.status_code = 429 if waits else 400


def _refusal(request: Request, reason: str, status: int, code: str) -> Response:
    body = {"errors": [{"message": reason, "extensions": {"code": code}}]}
    return JSONResponse(body, status_code=status, media_type=_media_type(request))


def _name(caller: Caller) -> str | None:
    """Return for whom a connection counts; where nobody says who they are, it is the address they come from."""
    return None if caller is ANONYMOUS else f"caller {caller.subject}"


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _base_url(request: Request | WebSocket) -> str:
    url = request.base_url
    return str(url.replace(scheme={"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)))
