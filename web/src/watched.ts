// A value that components watch.
import { useSyncExternalStore } from "react";

export class Watched<Value> {
  #value: Value;
  readonly #watchers = new Set<() => void>();

  constructor(value: Value) {
    this.#value = value;
  }

  readonly get = (): Value => this.#value;

  readonly watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  };

  set(value: Value): void {
    this.#value = value;
    for (const watcher of this.#watchers) watcher();
  }
}

export function useWatched<Value>(watched: Watched<Value>): Value {
  return useSyncExternalStore(watched.watch, watched.get);
}
