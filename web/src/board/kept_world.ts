// What the browser keeps of a world: its jobs and the cursor behind their last update, so that a page that is loaded
// anew goes on where it was.
import { createStore, promisifyRequest, type UseStore } from "idb-keyval";

import type { JobCardFragment as Job } from "./operations";

/** Sorts behind all ids of jobs, which begin with a hexadecimal digit. */
const BOOKMARK = "~bookmark";
/** Beyond this a list is read sooner than what happened meanwhile. */
const USABLE_FOR_MS = 60 * 60 * 1000;
const CLAIM_WITHIN_MS = 500;

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

/**
 * Stored in IndexedDB, each change in one transaction. Where the browser refuses to store, nothing is kept.
 *
 * By one page at a time: of two, each at its own cursor, one would take back what the other has learned.
 */
export class KeptWorld {
  readonly #name: string;
  readonly #store: UseStore;
  #isOurs = false;
  #isClosed = false;
  #release = () => {};

  constructor(worldId: string) {
    this.#name = `lorekeeper/${worldId}`;
    this.#store = createStore(this.#name, "jobs");
  }

  async read(): Promise<Reading | null> {
    await this.#claim();
    if (!this.#isOurs) return null;
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

  /** Keep what has changed; false where that failed, and what was kept before still stands. */
  async write(changed: Iterable<Job>, gone: Iterable<string>, bookmark: Bookmark): Promise<boolean> {
    return this.#write((store) => {
      for (const job of changed) store.put(job, job.id);
      for (const id of gone) store.delete(id);
      store.put({ ...bookmark, keptAt: Date.now() }, BOOKMARK);
    });
  }

  async forget(): Promise<void> {
    await this.#write((store) => store.clear());
  }

  /** Leave it to the next page. */
  close(): void {
    this.#isOurs = false;
    this.#isClosed = true;
    this.#release();
  }

  /** Have the world for this page, unless another has it; one that is being loaded anew lets go in a moment. */
  #claim(): Promise<void> {
    return new Promise((resolve) => {
      const hold = () =>
        new Promise<void>((release) => {
          resolve();
          if (this.#isClosed) return release();
          this.#isOurs = true;
          this.#release = release;
        });
      // Only over https or on this machine there are locks.
      const locks = navigator.locks as LockManager | undefined;
      locks?.request(this.#name, { signal: AbortSignal.timeout(CLAIM_WITHIN_MS) }, hold).catch(() => resolve());
      if (!locks) resolve();
    });
  }

  async #write(change: (store: IDBObjectStore) => void): Promise<boolean> {
    if (!this.#isOurs) return true;
    try {
      await this.#store("readwrite", (store) => {
        change(store);
        return promisifyRequest(store.transaction);
      });
      return true;
    } catch {
      // A private window, or no room: the page works, and begins anew when it is loaded again.
      return false;
    }
  }
}
