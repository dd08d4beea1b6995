// A connection to the server's subscriptions, and how it is doing: kept up by pings, made anew with pauses that grow,
// at once when the machine is online again or the reader is back.
import { type Client, type ConnectionInitMessage, createClient, TerminatedCloseEvent } from "graphql-ws";

export const ADDRESS = "/graphql";
const FORBIDDEN = 4403;
const PING_EVERY_MS = 10_000;
const PONG_WITHIN_MS = 5_000;
const RETRY_WAIT_MIN_MS = 500;
const RETRY_WAIT_MAX_MS = 10_000;

export type Phase = "idle" | "connecting" | "open" | "lost";

/** How a connection is doing. */
export interface Link {
  phase: Phase;
  /** Reconnections begun since it was lost. */
  attempt: number;
}

export const IDLE: Link = { phase: "idle", attempt: 0 };

interface Options {
  connectionParams?: ConnectionInitMessage["payload"];
  retryAttempts?: number;
  onLink?: (link: Link) => void;
}

/** A client whose socket lives as long as there is something subscribed. */
export function connect({ connectionParams, retryAttempts = Infinity, onLink }: Options): Client {
  const url = new URL(ADDRESS, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let attempt = 0;
  let silence: ReturnType<typeof setTimeout> | undefined;
  const client = createClient({
    url: url.href,
    ...(connectionParams && { connectionParams }),
    retryAttempts,
    retryWait: (retries) =>
      pauseOrWake(Math.min(RETRY_WAIT_MIN_MS * 2 ** retries, RETRY_WAIT_MAX_MS) * (0.5 + Math.random() / 2)),
    // Both a lost connection and a server that is not up again yet; the same token would be refused again, though.
    shouldRetry: (cause) => (cause instanceof Event || cause instanceof TerminatedCloseEvent) && !isForbidden(cause),
    keepAlive: PING_EVERY_MS,
    on: {
      connecting: (retrying) => {
        attempt = retrying ? attempt + 1 : 0;
        onLink?.({ phase: retrying ? "lost" : "connecting", attempt });
      },
      connected: () => {
        attempt = 0;
        onLink?.({ phase: "open", attempt });
      },
      // A connection that died without a word: TCP alone would tell after many minutes.
      ping: (received) => {
        if (!received) silence = setTimeout(() => client.terminate(), PONG_WITHIN_MS);
      },
      pong: () => clearTimeout(silence),
      closed: (cause) => {
        clearTimeout(silence);
        const ours = cause instanceof CloseEvent && cause.code === 1000;
        onLink?.(ours ? IDLE : { phase: "lost", attempt });
      },
    },
  });
  return client;
}

/** Whether a connection was refused, or ended, for its token. */
export function isForbidden(cause: unknown): boolean {
  return cause instanceof CloseEvent && cause.code === FORBIDDEN;
}

/** Wait for a while, or until there is a reason to try at once. */
export function pauseOrWake(duration_ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(wake, duration_ms);
    function wake(reason?: Event) {
      if (reason?.type === "visibilitychange" && document.hidden) return;
      clearTimeout(timer);
      window.removeEventListener("online", wake);
      document.removeEventListener("visibilitychange", wake);
      resolve();
    }
    window.addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
  });
}
