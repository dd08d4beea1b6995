// The stream: the events of one subscription as one response that grows, so that the reader sees the progression
// where GraphiQL by itself would show the last event only.
import type { Observable } from "@graphiql/toolkit";
import type { FormattedExecutionResult } from "graphql";
import type { ExecutionResult, Sink } from "graphql-ws";

const EVENTS_SHOWN = 100;

interface StreamView {
  /** Events so far; once there are more than fit, `events` holds the latest. */
  received: number;
  events: FormattedExecutionResult[];
  /** Why the stream broke off. */
  errors?: readonly object[];
}

type Subscribe = (sink: Sink<FormattedExecutionResult>) => () => void;

/** Show a subscription as a growing response, painted at most once a frame however fast events come. */
export function growing(subscribe: Subscribe): Observable<ExecutionResult> {
  const observable = {
    subscribe(reader: Sink<StreamView>) {
      const view: StreamView = { received: 0, events: [] };
      let frame = 0;
      // A reader who left may be reading something else in the same pane by the time the socket lets go.
      let left = false;

      function paint() {
        cancelAnimationFrame(frame);
        frame = 0;
        if (!left && view.received > 0) reader.next(view);
      }

      const unsubscribe = subscribe({
        next(event) {
          view.received += 1;
          view.events = [...view.events, event].slice(-EVENTS_SHOWN);
          frame ||= requestAnimationFrame(paint);
        },
        error(cause) {
          if (left) return;
          const errors = explain(cause);
          if (view.received === 0) return reader.error(errors);
          view.errors = errors;
          paint();
          reader.complete();
        },
        complete() {
          if (left) return;
          paint();
          reader.complete();
        },
      });

      return {
        unsubscribe() {
          left = true;
          unsubscribe();
        },
      };
    },
  };
  // GraphiQL prints whatever object comes and calls only this form of subscribe; its types ask for more.
  return observable as unknown as Observable<ExecutionResult>;
}

function explain(cause: unknown): readonly object[] {
  if (Array.isArray(cause)) return cause;
  if (cause instanceof CloseEvent) {
    return [{ message: `The connection was closed: ${cause.code} ${cause.reason}`.trim() }];
  }
  if (cause instanceof Error) return [{ message: cause.message }];
  return [{ message: "The server cannot be reached." }];
}
