// The board's way to the server: queries and mutations by HTTP, subscriptions over one WebSocket, which go on behind
// the last update that came when the connection was lost.
import {
  Client,
  CombinedError,
  type ExecutionResult,
  fetchExchange,
  subscriptionExchange,
  type SubscriptionForwarder,
} from "@urql/core";

import { ADDRESS, connect, IDLE, isForbidden, type Link } from "../socket";
import { Watched } from "../watched";
import { recall, remember } from "./memory";

const TOKEN_KEY = "lorekeeper.token";

/** How the connection is doing. */
export const link = new Watched<Link>(IDLE);

export const token = {
  /** The bearer token, for as long as the browser's tab lives. */
  read: (): string | null => recall("session", TOKEN_KEY),
  /** Keep another, and begin anew with it. */
  replace(value: string): void {
    remember("session", TOKEN_KEY, value.trim().replace(/^bearer\s+/i, ""));
    window.location.reload();
  },
};

function authorization(): Record<string, string> {
  const value = token.read();
  return value === null ? {} : { Authorization: `Bearer ${value}` };
}

const socket = connect({
  connectionParams: authorization(),
  onLink: (now) => link.set(now),
});

type FetchBody = Parameters<SubscriptionForwarder>[0];
type Sink = Parameters<ReturnType<SubscriptionForwarder>["subscribe"]>[0];
type Data = Record<string, { cursor?: unknown } | null>;

export const api = new Client({
  url: ADDRESS,
  preferGetMethod: false,
  requestPolicy: "network-only",
  fetchOptions: () => ({ headers: authorization() }),
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({ subscribe: (sink) => ({ unsubscribe: resuming(request, sink) }) }),
    }),
  ],
});

/** Subscribe; when the connection is made anew, graphql-ws sends the same payload, whose `after` has moved on by then. */
function resuming({ query = "", variables, operationName }: FetchBody, sink: Sink): () => void {
  const moving: Record<string, unknown> = { ...variables };
  return socket.subscribe<Data>(
    { query, variables: moving, ...(operationName && { operationName }) },
    {
      next(result) {
        for (const update of Object.values(result.data ?? {})) {
          if (typeof update?.cursor === "string") moving.after = update.cursor;
        }
        sink.next(result as ExecutionResult);
      },
      error: (cause) => sink.error(cause),
      complete: () => sink.complete(),
    },
  );
}

/** What went wrong, as the server names it; `OFFLINE` where it was not reached. */
export function codeOf(error: CombinedError): string {
  const [first] = error.graphQLErrors;
  if (first) return String(first.extensions.code ?? "INTERNAL");
  // Of an answer that is no GraphQL; of a WebSocket that was refused for its token.
  if (error.response?.status === 401 || isForbidden(error.networkError)) return "UNAUTHENTICATED";
  return "OFFLINE";
}

/** What went wrong, for a reader. */
export function explain(error: CombinedError): string {
  const said = error.graphQLErrors.map(({ message }) => message).join(" ");
  if (said) return said;
  return codeOf(error) === "UNAUTHENTICATED" ? "The token is refused, or has expired." : "The server cannot be reached.";
}
