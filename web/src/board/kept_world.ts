// What the browser keeps of a world: its jobs and the cursor behind their last update, so that a page that is loaded
// anew goes on where it was.
import { createStore, promisifyRequest, type UseStore } from "idb-keyval";

import type { JobCardFragment as Job } from "./operations";

/** Sorts behind all ids of jobs, which begin with a hexadecimal digit. */
const BOOKMARK = "~bookmark";
/** Beyond this a list is read sooner than what happened meanwhile. */
const USABLE_FOR_MS = 60 * 60 * 1000;

/** Where a reading of a world stands. */
export interface Bookmark {
  /** Behind the last update. */
  cursor: string;
  /** The end of the list so far; null when all of it was read. */
  older: string | null;
}

export interface Reading extends Bookmark {
  jobs: Job[];
}

/** Stored in IndexedDB, each change in one transaction. Where the browser refuses to store, nothing is kept. */
export class KeptWorld {
  readonly #store: UseStore;

  constructor(worldId: string) {
    this.#store = createStore(`lorekeeper/${worldId}`, "jobs");
  }

  async read(): Promise<Reading | null> {
    try {
      return await this.#store("readonly", async (store) => {
        const [bookmark, jobs] = await Promise.all([
          promisifyRequest(store.get(BOOKMARK) as IDBRequest<(Bookmark & { keptAt: number }) | undefined>),
          promisifyRequest(store.getAll(IDBKeyRange.upperBound(BOOKMARK, true)) as IDBRequest<Job[]>),
        ]);
        return bookmark && Date.now() - bookmark.keptAt < USABLE_FOR_MS ? { ...bookmark, jobs } : null;
      });
    } catch {
      return null;
    }
  }

  /** Keep what has changed. */
  async write(changed: Iterable<Job>, gone: Iterable<string>, bookmark: Bookmark): Promise<void> {
    await this.#write((store) => {
      for (const job of changed) store.put(job, job.id);
      for (const id of gone) store.delete(id);
      store.put({ ...bookmark, keptAt: Date.now() }, BOOKMARK);
    });
  }

  async forget(): Promise<void> {
    await this.#write((store) => store.clear());
  }

  async #write(change: (store: IDBObjectStore) => void): Promise<void> {
    try {
      await this.#store("readwrite", (store) => {
        change(store);
        return promisifyRequest(store.transaction);
      });
    } catch {
      // A private window, or no room: the page works, and begins anew when it is loaded again.
    }
  }
}
