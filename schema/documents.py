"""Documents as they arrive: parsed, measured and validated once, and kept for whoever sends the same."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types.execution import ParseOptions

from schema.limits import Limits

_RULES: Final = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
_MOST_KEPT: Final = 500
_MOST_TOKENS: Final = 100_000
"""Of all documents that are kept. One of them, with all that the parser makes of it, takes about 600 bytes."""
_MOST_CHARACTERS: Final = 16 * 1024
"""Of a document that is kept: comments and strings may be as long as the request."""
_MOST_ERRORS: Final = 5
"""That one document is told. Whoever has made more mistakes finds the others after these."""


class Document:
    """A document that could be parsed."""

    __slots__ = ("errors", "node")

    def __init__(self, node: DocumentNode) -> None:
        self.node = node
        self.errors: list[GraphQLError] | None = None
        """What is wrong with it; None until it was validated."""


class Documents:
    """The documents of one schema, the latest of them kept.

    Equal documents are one object as long as they are kept, by which equal subscriptions know each other.

    Args:
        limits: what an operation may have.
        introspection: whether clients may ask for the schema; errors suggest names only where they may.
    """

    def __init__(self, limits: Limits, *, introspection: bool) -> None:
        self._limits = limits
        self._introspection = introspection
        self._rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._tokens = 0

    def parse(self, query: str, options: ParseOptions) -> Document:
        """Return a document.

        Raises:
            GraphQLError: it cannot be parsed, or is too long.
        """
        found = self._kept.get(query)
        if found is not None:
            self._kept.move_to_end(query)
            return found
        document = Document(parse(query, **options))
        tokens = _tokens(document)
        if len(query) <= _MOST_CHARACTERS and tokens <= _MOST_TOKENS:
            self._kept[query] = document
            self._tokens += tokens
            while len(self._kept) > _MOST_KEPT or self._tokens > _MOST_TOKENS:
                _, dropped = self._kept.popitem(last=False)
                self._tokens -= _tokens(dropped)
        return document

    def validate(
        self, schema: GraphQLSchema, document: Document, variables: Mapping[str, object]
    ) -> list[GraphQLError]:
        """Return what is wrong with a document, or too much with these variables.

        The limits come first, for the rules may take long beyond them.
        """
        if document.errors is None:
            document.errors = self._limits.check(schema, document.node, {}) or validate(
                schema,
                document.node,
                self._rules,
                max_errors=_MOST_ERRORS,
                hide_suggestions=not self._introspection,
            )
        if not document.errors and any(isinstance(value, list) for value in variables.values()):
            return self._limits.check(schema, document.node, variables)
        return document.errors


class CheckedDocuments(SchemaExtension):
    """Has an operation's document from `Documents`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._document: Document | None = None

    def on_parse(self) -> Iterator[None]:
        """Use the document that is known; one that does not parse is left to Strawberry, which reports it."""
        context = self.execution_context
        with suppress(GraphQLError):
            self._document = self._documents.parse(context.query or "", context.parse_options)
            context.graphql_document = self._document.node
        yield

    def on_validate(self) -> Iterator[None]:
        """Use the answer that is known."""
        context = self.execution_context
        if self._document is not None:
            schema: Any = context.schema
            context.pre_execution_errors = self._documents.validate(
                schema._schema,  # noqa: SLF001 - graphql-core's
                self._document,
                context.variables or {},
            )
        yield


def _tokens(document: Document) -> int:
    return document.node.token_count or 0
