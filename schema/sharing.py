"""An update is executed and encoded once for all who ask for the same of it.

Many subscribers of a process receive the same item, often by the same document. What distinguishes them is the
key: the operation, the variables that its selection uses, the caller's rights, and the address that links begin
with. The arguments of the subscription itself say only which items arrive.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Hashable, Iterator
from contextlib import suppress
from typing import Any, ClassVar, Final, Self, cast
from weakref import WeakValueDictionary

import orjson
from graphql import ExecutionResult as CoreResult
from graphql import FieldNode, GraphQLError, VariableNode, Visitor, visit
from graphql.execution import Executor
from strawberry.extensions import SchemaExtension
from strawberry.extensions.context import OperationContextManager, StreamResultContextManager
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import StreamExecutionResult

from schema.context import Context
from schema.errors import coded
from schema.plans import NotPlanned, plan
from schema.types import JobUpdate
from services.updates import StreamItem


class Deliveries:
    """The items of a stream, as graphql-core takes them: for one subscriber it is the same object each time.

    Whatever maps the events of a subscription holds on to the last one until the next: thousands of idle
    subscribers would keep as many updates, of kilobytes each.
    """

    __slots__ = ("_stream", "item")

    item: StreamItem

    def __init__(self, stream: AsyncGenerator[StreamItem, None]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        if hasattr(self, "item"):
            del self.item
        self.item = await anext(self._stream)
        return self

    async def aclose(self) -> None:
        """End the stream here and now: left to the garbage collector, its channel would linger."""
        await self._stream.aclose()


class SharedResult(ExecutionResult):
    """What an item became: encoded, the same object for all who share it.

    Attributes:
        cursor: the item's.
    """

    def __init__(self, data: Any, errors: list[GraphQLError] | None, cursor: str) -> None:  # noqa: ANN401 - JSON
        # As text, because the bytes come in a buffer of kilobytes.
        encoded = None if data is None else orjson.Fragment(orjson.dumps(data).decode())
        super().__init__(cast("dict[str, Any] | None", encoded), coded(errors) if errors else None)
        self.cursor = cursor


class SharedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes the events of a subscription, each once for all who ask for the same."""

    _selection: "_Selection | None" = None

    def build_per_event_executor(self, payload: Any) -> Executor[Context]:  # noqa: ANN401 - graphql-core's signature
        """Return what executes one event."""
        if not isinstance(payload, Deliveries):
            return super().build_per_event_executor(payload)
        if self._selection is None:
            self._selection = _Selection.of(self)
            self.__dict__ = dict(self.__dict__)  # as large as it must be, where growing it has doubled it
        return cast("Executor[Context]", _Event(self, payload.item, self._selection))

    def build_own_executor(self, item: StreamItem) -> Executor[Context]:
        """Return what executes one event for nobody else."""
        return super().build_per_event_executor(JobUpdate.of(item))


class _Event:
    """One event for one subscriber: executed, unless another one has had it."""

    __slots__ = ("_executor", "_item", "_selection")

    def __init__(self, executor: SharedExecutor, item: StreamItem, selection: "_Selection") -> None:
        self._executor = executor
        self._item = item
        self._selection = selection

    def execute_operation(self, serially: bool | None = None) -> "SharedResult | Awaitable[SharedResult]":  # noqa: FBT001
        """Return the result, as graphql-core's executor does."""
        made = self._item.made
        found = made.get(self._selection)
        if found is None:
            found = made[self._selection] = self._execute(serially)
        if isinstance(found, asyncio.Future):
            # Whoever began it may leave before it is done; the others stay.
            return asyncio.shield(found)
        return cast("SharedResult", found)

    def _execute(self, serially: bool | None) -> "SharedResult | asyncio.Future[SharedResult]":  # noqa: FBT001
        with suppress(NotPlanned, GraphQLError):  # an error is graphql-core's to place
            return SharedResult(self._selection.plan(JobUpdate.of(self._item)), None, self._item.cursor)
        result = self._executor.build_own_executor(self._item).execute_operation(serially)
        if isinstance(result, CoreResult):
            return self._shared(result)
        return asyncio.ensure_future(self._later(cast("Awaitable[CoreResult]", result)))

    async def _later(self, result: Awaitable[CoreResult]) -> SharedResult:
        return self._shared(await result)

    def _shared(self, result: CoreResult) -> SharedResult:
        return SharedResult(result.data, result.errors, self._item.cursor)


class _Selection:
    """What some subscribers ask for alike. It equals itself alone."""

    _known: ClassVar[WeakValueDictionary[Hashable, "_Selection"]] = WeakValueDictionary()

    def __init__(self, executor: SharedExecutor) -> None:
        self.plan = plan(executor)
        self._operation = executor.operation  # while it is here, no other operation has its address

    @classmethod
    def of(cls, executor: SharedExecutor) -> "_Selection":
        """Return the selection of an operation, the same for all that are alike."""
        key = _key(executor)
        selection = cls._known.get(key)
        if selection is None:
            selection = cls._known[key] = cls(executor)
        return selection


class SharedResultsRunner(SchemaExtensionsRunner):
    """Runs the extensions, but not anew for each subscriber of a result that has been through them."""

    def operation(self) -> OperationContextManager:
        """Return what surrounds an operation."""
        return cast("OperationContextManager", _Around(self.extensions))

    def on_stream_result(self, result: StreamExecutionResult) -> StreamResultContextManager:
        """Return what surrounds the delivery of one result."""
        return _NOTHING if isinstance(result, SharedResult) else super().on_stream_result(result)

    async def get_extensions_results(self, ctx: ExecutionContext) -> dict[str, Any]:
        """Return what extensions add to a result: ours add nothing."""
        return ctx.extensions_results


class _Around:
    """Surrounds an operation with the hooks of its extensions.

    As Strawberry does, but with no more than that: a subscription lasts, and its stack takes 2 KiB.
    """

    __slots__ = ("_hooks",)

    def __init__(self, extensions: list[SchemaExtension]) -> None:
        default = SchemaExtension.on_operation
        self._hooks = [
            cast("Iterator[None]", each.on_operation())
            for each in extensions
            if type(each).on_operation is not default
        ]

    async def __aenter__(self) -> None:
        for hook in self._hooks:
            next(hook)

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for hook in reversed(self._hooks):
                next(hook, None)


class _Nothing:
    """Surrounds the delivery of a result with nothing."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


_NOTHING: Final = cast("StreamResultContextManager", _Nothing())


class _Variables(Visitor):
    """Collects the names of variables."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.names.add(node.name.value)


def _key(executor: SharedExecutor) -> Hashable:
    context = cast("Context", executor.context_value)
    variables = _Variables()
    for selection in executor.operation.selection_set.selections:
        if isinstance(selection, FieldNode):
            for directive in selection.directives or ():
                visit(directive, variables)
            if selection.selection_set is not None:
                visit(selection.selection_set, variables)
        else:
            visit(selection, variables)
    for fragment in executor.fragment_definitions.values():
        visit(fragment, variables)
    values = executor.variable_values.coerced
    return (
        # Equal documents are one object, by the parser's cache.
        id(executor.operation),
        tuple((name, repr(values[name])) for name in sorted(variables.names) if name in values),
        context.caller.rights,
        context.base_url,
    )
