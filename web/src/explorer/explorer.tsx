// The explorer: GraphiQL with our examples, our way to the server and the end of a stream in view.
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { explorerPlugin } from "@graphiql/plugin-explorer";
import "@graphiql/plugin-explorer/style.css";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";

import { ConnectionSign } from "./connection_sign";
import { EXAMPLES } from "./examples";
import "./explorer.css";
import { fetcher } from "./fetcher";
import { FollowStream } from "./follow_stream";
import { OpeningTab } from "./opening_tab";

const PLUGINS = [HISTORY_PLUGIN, explorerPlugin()];
// Without this the variables pane marks objects as wrong where the schema says JSON.
const SCALARS = { JSON: {} };

export function Explorer() {
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={PLUGINS}
      defaultTabs={EXAMPLES}
      defaultEditorToolsVisibility="variables"
      customScalarSchemas={SCALARS}
    >
      <GraphiQL.Logo>
        <a href="/">Lorekeeper</a>
      </GraphiQL.Logo>
      <GraphiQL.Footer>
        <ConnectionSign />
      </GraphiQL.Footer>
      <OpeningTab />
      <FollowStream />
    </GraphiQL>
  );
}
