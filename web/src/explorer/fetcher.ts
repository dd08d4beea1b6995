// The fetcher: how one operation travels to the server. Queries and mutations by HTTP POST, subscriptions over a
// WebSocket of their own, both with the headers of the headers pane.
import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { getOperationAST } from "graphql";

import { ADDRESS, connect, IDLE, type Link } from "../socket";
import { Watched } from "../watched";
import { growing } from "./stream";

const RETRY_ATTEMPTS = 60;

/** How the connection of the latest subscription is doing. */
export const link = new Watched<Link>(IDLE);

let latest: object | undefined;

const post = createGraphiQLFetcher({ url: ADDRESS, enableIncrementalDelivery: false });

export const fetcher: Fetcher = (operation, opts) => {
  const ast = opts?.documentAST && getOperationAST(opts.documentAST, operation.operationName);
  if (ast?.operation !== "subscription") return post(operation, opts);
  return growing((sink) => {
    latest = sink;
    // Lazy: its socket lives exactly as long as the subscription. A browser cannot set headers on a WebSocket, so
    // they travel as connection parameters. A reconnect subscribes anew.
    const socket = connect({
      connectionParams: opts?.headers ?? {},
      retryAttempts: RETRY_ATTEMPTS,
      onLink: (now) => {
        if (latest === sink) link.set(now);
      },
    });
    return socket.subscribe(operation, sink);
  });
};
