// The explorer: GraphiQL with our examples, our way to the server and the end of a stream in view.
import { GraphiQL } from "graphiql";
import "graphiql/style.css";

import { EXAMPLES } from "./examples";
import "./explorer.css";
import { fetcher } from "./fetcher";
import { FollowStream } from "./follow_stream";
import { OpeningTab } from "./opening_tab";

// Without this the variables pane marks objects as wrong where the schema says JSON.
const SCALARS = { JSON: {} };

export function Explorer() {
  return (
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={EXAMPLES}
      defaultEditorToolsVisibility="variables"
      customScalarSchemas={SCALARS}
    >
      <GraphiQL.Logo>Lorekeeper</GraphiQL.Logo>
      <OpeningTab />
      <FollowStream />
    </GraphiQL>
  );
}
