// Writes the types of the board's operations and their documents, from the SDL that the server serves.
import { readFile, writeFile } from "node:fs/promises";

import { codegen } from "@graphql-codegen/core";
import * as typedDocumentNode from "@graphql-codegen/typed-document-node";
import * as typescriptOperations from "@graphql-codegen/typescript-operations";
import { parse } from "graphql";

const OPERATIONS = "src/board/operations.graphql";
const TARGET = "src/board/operations.ts";

const [schema, operations] = (await Promise.all([readFile("../schema.graphql", "utf8"), readFile(OPERATIONS, "utf8")])).map(
  (text) => parse(text),
);
const written = await codegen({
  schema,
  documents: [{ location: OPERATIONS, document: operations }],
  filename: TARGET,
  config: {
    enumsAsTypes: true,
    useTypeImports: true,
    avoidOptionals: { field: true },
    scalars: { DateTime: "string", JSON: "unknown" },
  },
  plugins: [{ typescriptOperations: {} }, { typedDocumentNode: {} }],
  pluginMap: { typescriptOperations, typedDocumentNode },
});
await writeFile(TARGET, written);
