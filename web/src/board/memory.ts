// What the browser remembers for a tab, or for good; where it refuses to, nothing.

type Span = "session" | "local";

function storage(span: Span): Storage {
  return span === "session" ? window.sessionStorage : window.localStorage;
}

export function recall(span: Span, key: string): string | null {
  try {
    return storage(span).getItem(key);
  } catch {
    return null;
  }
}

export function remember(span: Span, key: string, value: string): void {
  try {
    storage(span).setItem(key, value);
  } catch {
    // The page works without.
  }
}
