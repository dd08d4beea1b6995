// The fetcher: how one operation travels to the server. Queries and mutations by HTTP POST, subscriptions over a
// WebSocket of their own, both with the headers of the headers pane.
import { createGraphiQLFetcher, type Fetcher, type FetcherOpts } from "@graphiql/toolkit";
import { getOperationAST } from "graphql";
import { createClient, type Client } from "graphql-ws";

import { growing } from "./stream";

const ADDRESS = "/graphql";
const FORBIDDEN = 4403;
const RETRY_ATTEMPTS = 60;
const RETRY_WAIT_MAX_MS = 10_000;

type Headers = FetcherOpts["headers"];

const post = createGraphiQLFetcher({ url: ADDRESS, enableIncrementalDelivery: false });

export const fetcher: Fetcher = (operation, opts) => {
  const ast = opts?.documentAST && getOperationAST(opts.documentAST, operation.operationName);
  if (ast?.operation !== "subscription") return post(operation, opts);
  return growing((sink) => socket(opts?.headers).subscribe(operation, sink));
};

/**
 * A client for one subscription: lazy, so its socket lives exactly as long as the subscription.
 *
 * A browser cannot set headers on a WebSocket, so they travel as connection parameters. A reconnect subscribes anew.
 */
function socket(headers: Headers = {}): Client {
  const url = new URL(ADDRESS, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return createClient({
    url: url.href,
    connectionParams: { headers },
    retryAttempts: RETRY_ATTEMPTS,
    retryWait: (retries) => pause(Math.min(500 * 2 ** retries, RETRY_WAIT_MAX_MS) * (0.5 + Math.random() / 2)),
    // Both a lost connection and a server that is not up again yet; the same token would be refused again, though.
    shouldRetry: (cause) => cause instanceof Event && !(cause instanceof CloseEvent && cause.code === FORBIDDEN),
  });
}

function pause(duration_ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration_ms));
}
