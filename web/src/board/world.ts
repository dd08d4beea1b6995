// The jobs of one world as they are: a list read once, and every update since, merged by `seq`.
//
// The first page of the list gives the cursor that updates are read from; older pages follow while updates come, so a
// page may be older than what is known of a job and then gives way.
import type { CombinedError } from "@urql/core";

import { api, codeOf, explain, link } from "./api";
import { type Bookmark, KeptWorld } from "./kept_world";
import {
  IsThereDocument,
  type JobCardFragment as Job,
  JobsDocument,
  type StepFragment as Step,
  type WorldUpdatesSubscription,
  WorldUpdatesDocument,
} from "./operations";
import { pauseOrWake } from "../socket";
import { Watched } from "../watched";

export type { Job, Step };

/** Jobs on the board at the most: beyond, the oldest that are final make room. */
export const MOST_JOBS = 10_000;
const PAGE = 100;
const KEEP_EVERY_MS = 1000;
const QUIET_MS = 500;
const RETRY_MS = 2000;

export type Progress =
  /** Nothing was read yet. */
  | { phase: "opening" }
  /** Each update comes as it happens; `missed` counts those that came late, after the connection or page was lost. */
  | { phase: "live"; missed: number | null }
  /** The server is not reached; `attempt` counts the reconnections begun. */
  | { phase: "lost"; attempt: number }
  /** It is there again, and what happened meanwhile is coming. A page that was loaded anew was not lost. */
  | { phase: "catching up"; missed: number; wasLost: boolean; since_ms: number }
  /** The server refuses. */
  | { phase: "refused"; code: string; message: string };

export interface View {
  /** Newest first. */
  jobs: readonly Job[];
  /** Whether older jobs are still being read. */
  isReading: boolean;
  /** Whether there are older jobs that the board leaves out. */
  isCut: boolean;
}

type Update = WorldUpdatesSubscription["worldUpdates"];

const NOTHING: View = { jobs: [], isReading: true, isCut: false };

export class World {
  readonly view = new Watched<View>(NOTHING);
  readonly progress = new Watched<Progress>({ phase: "opening" });

  readonly #kept: KeptWorld;
  readonly #jobs = new Map<string, Job>();
  /** Newest first; made anew from `#jobs` when jobs have come or gone. */
  #ids: string[] = [];
  #isOrdered = true;
  #cursor = "";
  #older: string | null = null;
  #isReading = true;
  #readings = 0;
  #isCut = false;

  readonly #changed = new Set<string>();
  readonly #gone = new Set<string>();
  #frame = 0;
  #keeping: ReturnType<typeof setTimeout> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #unsubscribe = () => {};
  #isClosed = false;
  #isFollowing = false;
  /** Jobs of a page; null for as many as the server gives by itself, where it allows no more. */
  #pageSize: number | null = PAGE;

  constructor(readonly id: string) {
    this.#kept = new KeptWorld(id);
  }

  /** Read and follow the world, once; the function ends it. */
  open(): () => void {
    void this.#begin();
    const unwatch = link.watch(() => this.#linkChanged());
    const keep = () => void this.#keep();
    window.addEventListener("pagehide", keep);
    document.addEventListener("visibilitychange", keep);
    return () => {
      this.#isClosed = true;
      unwatch();
      window.removeEventListener("pagehide", keep);
      document.removeEventListener("visibilitychange", keep);
      this.#unsubscribe();
      cancelAnimationFrame(this.#frame);
      clearTimeout(this.#settling);
      void this.#keep().then(() => this.#kept.close());
    };
  }

  /** Take in what was learned of a job otherwise, such as the answer to a mutation. */
  learn(job: Job): void {
    // An address can name a job of another world.
    if (job.worldId !== this.id) return;
    this.#merge(job);
    this.#paintSoon();
  }

  async #begin(): Promise<void> {
    const isResumed = await this.#resume();
    if (this.#isClosed || this.progress.get().phase === "refused") return;
    if (!isResumed) return this.#startOver();
    this.#subscribe();
    await this.#readOlder();
  }

  async #startOver(): Promise<void> {
    await this.#kept.forget();
    this.#jobs.clear();
    this.#changed.clear();
    this.#isOrdered = false;
    this.#isReading = true;
    const page = await this.#page(null);
    if (!page) return;
    this.#cursor = page.updatesCursor;
    this.#subscribe();
    await this.#readOlder();
  }

  /** Go on where the browser was; false where it was nowhere, or the server knows nothing of that. */
  async #resume(): Promise<boolean> {
    const reading = await this.#kept.read();
    const newest = reading?.jobs.at(-1);
    if (!reading || !newest) return false;
    // A database that was made anew knows none of the jobs, and nobody sees what a token does not cover.
    const there = await this.#persist(() => api.query(IsThereDocument, { id: newest.id }).toPromise());
    if (!there?.job || this.#isClosed) return false;
    for (const job of reading.jobs) this.#jobs.set(job.id, job);
    this.#isOrdered = false;
    this.#cursor = reading.cursor;
    this.#older = reading.older;
    this.progress.set({ phase: "catching up", missed: 0, wasLost: false, since_ms: Date.now() });
    this.#paintSoon();
    return true;
  }

  async #readOlder(): Promise<void> {
    const reading = ++this.#readings;
    while (this.#older !== null && this.#jobs.size < MOST_JOBS) {
      if (!(await this.#page(this.#older)) || reading !== this.#readings) return;
    }
    this.#isReading = false;
    this.#paintSoon();
  }

  async #page(after: string | null) {
    const ask = () => api.query(JobsDocument, { worldId: this.id, first: this.#pageSize, after }).toPromise();
    const data = await this.#persist(async () => {
      const answer = await ask();
      if (!answer.error || codeOf(answer.error) !== "BAD_USER_INPUT" || this.#pageSize === null) return answer;
      this.#pageSize = null;
      return ask();
    });
    if (!data || this.#isClosed) return null;
    const { edges, pageInfo } = data.jobs;
    for (const { node } of edges) {
      const known = this.#jobs.get(node.id);
      // Of the same seq, an update may tell of more progress than the list did.
      if (known === undefined || known.seq < node.seq) this.#merge(node);
    }
    this.#older = pageInfo.hasNextPage ? pageInfo.endCursor : null;
    this.#paintSoon();
    return data.jobs;
  }

  /** Ask until there is an answer; null where the server refuses, or the world was closed meanwhile. */
  async #persist<Data>(ask: () => Promise<{ data?: Data | undefined; error?: CombinedError | undefined }>) {
    for (let attempt = 1; !this.#isClosed; attempt++) {
      const { data, error } = await ask();
      if (!error) {
        if (attempt > 1 && this.#isFollowing) this.#catchUp();
        return data ?? null;
      }
      const code = codeOf(error);
      if (!["OFFLINE", "UNAVAILABLE", "RATE_LIMITED", "INTERNAL"].includes(code)) {
        this.#refused(error);
        return null;
      }
      this.progress.set({ phase: "lost", attempt });
      await pauseOrWake(RETRY_MS);
    }
    return null;
  }

  #refused(error: CombinedError): void {
    this.progress.set({ phase: "refused", code: codeOf(error), message: explain(error) });
  }

  #subscribe(): void {
    if (this.progress.get().phase === "refused") return;
    const { unsubscribe } = api
      .subscription(WorldUpdatesDocument, { worldId: this.id, after: this.#cursor })
      .subscribe(({ data, error }) => {
        if (data) this.#take(data.worldUpdates);
        if (error) void this.#broken(error);
      });
    this.#unsubscribe = unsubscribe;
    this.#isFollowing = true;
    if (this.progress.get().phase === "lost") this.#catchUp();
    else this.#settleSoon();
  }

  /** The server has ended the stream: it may be had again, but for a cursor that it does not take any more. */
  async #broken(error: CombinedError): Promise<void> {
    const code = codeOf(error);
    // The client takes an error for a result like any other, and the subscription for one that goes on.
    this.#unsubscribe();
    this.#isFollowing = false;
    if (["UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND"].includes(code)) return this.#refused(error);
    this.progress.set({ phase: "lost", attempt: 1 });
    await pauseOrWake(RETRY_MS);
    if (this.#isClosed) return;
    if (code === "BAD_USER_INPUT") await this.#startOver();
    else this.#subscribe();
  }

  #take(update: Update): void {
    this.#cursor = update.cursor;
    this.#merge(update.job);
    const progress = this.progress.get();
    if (progress.phase === "catching up") {
      if (Date.parse(update.at) > progress.since_ms) this.#settle();
      else {
        this.progress.set({ ...progress, missed: progress.missed + 1 });
        this.#settleSoon();
      }
    }
    this.#paintSoon();
  }

  /** Keep what is newer: of the same `seq`, what came later. */
  #merge(job: Job): void {
    const known = this.#jobs.get(job.id);
    if (known && known.seq > job.seq) return;
    if (!known) this.#isOrdered = false;
    this.#jobs.set(job.id, job);
    this.#changed.add(job.id);
    this.#gone.delete(job.id);
  }

  #linkChanged(): void {
    const { phase, attempt } = link.get();
    const progress = this.progress.get();
    if (progress.phase === "refused") return;
    if (phase === "lost") this.progress.set({ phase: "lost", attempt });
    if (phase !== "open" || !this.#isFollowing) return;
    if (progress.phase === "lost") this.#catchUp();
    else this.#settleSoon();
  }

  #catchUp(): void {
    this.progress.set({ phase: "catching up", missed: 0, wasLost: true, since_ms: Date.now() });
    this.#settleSoon();
  }

  /** Nothing in the protocol tells that all of the past has come: a while of silence does, or what is new. */
  #settleSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#settle(), QUIET_MS);
  }

  #settle(): void {
    // While it is not, there is silence too.
    if (link.get().phase !== "open") return;
    const progress = this.progress.get();
    if (progress.phase === "catching up") {
      const isNews = progress.wasLost || progress.missed > 0;
      this.progress.set({ phase: "live", missed: isNews ? progress.missed : null });
    }
    if (progress.phase === "opening") this.progress.set({ phase: "live", missed: null });
  }

  /** Show what has changed, once a frame however much comes; keep it, once a second. */
  #paintSoon(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
    this.#keeping ??= setTimeout(() => void this.#keep(), KEEP_EVERY_MS);
  }

  #paint(): void {
    this.#order();
    const jobs: Job[] = [];
    for (const id of this.#ids) {
      const job = this.#jobs.get(id);
      if (job) jobs.push(job);
    }
    const isCut = this.#isCut || (!this.#isReading && this.#older !== null);
    this.view.set({ jobs, isReading: this.#isReading, isCut });
  }

  #order(): void {
    if (this.#isOrdered) return;
    // UUIDv7: the greatest was created last.
    this.#ids = [...this.#jobs.keys()].sort().reverse();
    this.#makeRoom();
    this.#isOrdered = true;
  }

  #makeRoom(): void {
    for (let at = this.#ids.length - 1; at >= 0 && this.#jobs.size > MOST_JOBS; at--) {
      const id = this.#ids[at];
      if (id === undefined || !isFinal(this.#jobs.get(id))) continue;
      this.#jobs.delete(id);
      this.#changed.delete(id);
      this.#gone.add(id);
      this.#isCut = true;
    }
    this.#ids = this.#ids.filter((id) => this.#jobs.has(id));
  }

  async #keep(): Promise<void> {
    clearTimeout(this.#keeping);
    this.#keeping = undefined;
    // Here too, as nothing is painted while nobody looks.
    this.#order();
    if (this.#cursor === "") return;
    const changed = [...this.#changed].flatMap((id) => this.#jobs.get(id) ?? []);
    const gone = [...this.#gone];
    this.#changed.clear();
    this.#gone.clear();
    const bookmark: Bookmark = { cursor: this.#cursor, older: this.#older };
    if (await this.#kept.write(changed, gone, bookmark)) return;
    for (const { id } of changed) this.#changed.add(id);
    for (const id of gone) this.#gone.add(id);
  }
}

/** Whether nothing more happens to a job by itself. */
export function isFinal(job: Job | undefined): boolean {
  return job !== undefined && ["SUCCEEDED", "FAILED", "CANCELLED"].includes(job.status);
}
