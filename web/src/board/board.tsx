// The board: the jobs of a world as they happen, and beside them the page of one, or the form for another.
import { BookOpen, Plus } from "lucide-react";
import {
  type FormEvent,
  useDeferredValue,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { flushSync } from "react-dom";

import { JobsPerMinute, QueueDepth } from "./charts";
import { ConnectionSign } from "./connection_sign";
import { CreateForm } from "./create_form";
import { EVERYTHING, Filters, isEverything, matching } from "./filters";
import { JobList } from "./job_list";
import { JobPage } from "./job_page";
import { go, place } from "./place";
import { Refusal } from "./refusal";
import { useWatched } from "../watched";
import { MOST_JOBS, World } from "./world";

export function Board() {
  const here = useWatched(place);
  const world = useMemo(() => new World(here.world), [here.world]);
  useEffect(() => world.open(), [world]);
  const { jobs, isReading, isCut } = useWatched(world.view);
  const progress = useWatched(world.progress);
  const [filter, setFilter] = useState(EVERYTHING);
  const wanted = useDeferredValue(filter);
  const shown = useMemo(() => matching(jobs, wanted), [jobs, wanted]);
  const search = useRef<HTMLInputElement>(null);
  const aside = useRef<HTMLElement>(null);
  useKeys(search);

  const isRefused = progress.phase === "refused";
  const isEmpty = jobs.length === 0 && progress.phase === "live" && !isReading;
  // Wide windows have the form beside the list where nothing else is.
  const isAside = here.job !== null || here.isCreating;
  const isBelow = useOverlay(aside, isAside);

  return (
    <div className={isAside ? "board aside-open" : "board"}>
      <header className="top" inert={isBelow}>
        <h1>Lorekeeper</h1>
        <WorldField id={here.world} />
        <ConnectionSign world={world} />
        <div className="charts">
          <JobsPerMinute jobs={jobs} />
          <QueueDepth />
        </div>
        <a className="button quiet" href="/graphql">
          <BookOpen aria-hidden /> API
        </a>
        <button type="button" className="main create" onClick={() => go({ job: null, isCreating: true })}>
          <Plus aria-hidden /> New asset
        </button>
      </header>
      <main inert={isBelow}>
        <h2 className="hidden">Jobs of {here.world}</h2>
        <Filters jobs={jobs} filter={filter} onChange={setFilter} search={search} />
        {isRefused && <Refusal code={progress.code} message={progress.message} />}
        {isEmpty && (
          <div className="empty">
            <h2>Nothing was made in {here.world} yet</h2>
            <p>Pictures, maps, music, films and lore sheets that are asked for appear here while they are being made.</p>
            <button type="button" className="main" onClick={() => go({ job: null, isCreating: true })}>
              <Plus aria-hidden /> Make the first one
            </button>
          </div>
        )}
        {!isEmpty && !isRefused && shown.length === 0 && !isEverything(filter) && (
          <div className="empty">
            <p>No job is like that.</p>
            <button type="button" onClick={() => setFilter(EVERYTHING)}>
              Show all
            </button>
          </div>
        )}
        {shown.length > 0 && !isRefused && <JobList jobs={shown} openJob={here.job} />}
        <p className="more" role="status">
          {!isRefused && !isEmpty && isReading && "Reading older jobs …"}
          {isCut && !isReading && `The latest ${MOST_JOBS.toLocaleString()} jobs are shown.`}
        </p>
      </main>
      <aside ref={aside} tabIndex={-1} aria-label="Details">
        {here.job !== null ? (
          <JobPage
            key={here.job}
            world={world}
            id={here.job}
            live={jobs.find(({ id }) => id === here.job)}
            onClose={close}
          />
        ) : (
          <CreateForm world={world} onClose={here.isCreating ? close : null} />
        )}
      </aside>
    </div>
  );
}

function close() {
  go({ job: null, isCreating: false });
}

/** Which world is on the board. */
function WorldField({ id }: { id: string }) {
  const [text, setText] = useState(id);
  useEffect(() => setText(id), [id]);

  function enter(event?: FormEvent) {
    event?.preventDefault();
    const world = text.trim();
    if (world && world !== id) go({ world, job: null, isCreating: false });
    else setText(id);
  }

  return (
    <form className="world" onSubmit={enter}>
      <label>
        World
        <input
          value={text}
          spellCheck={false}
          onChange={({ target }) => setText(target.value)}
          onBlur={() => enter()}
          onKeyDown={({ key }) => key === "Escape" && flushSync(() => setText(id))}
        />
      </label>
    </form>
  );
}

/** As in board.css. */
const NARROW = window.matchMedia("(max-width: 900px)");

/** Where there is room for one thing only, what is open lies above the rest: it has the focus, and gives it back. */
function useOverlay(aside: { current: HTMLElement | null }, isOpen: boolean): boolean {
  const isNarrow = useSyncExternalStore(watchNarrow, () => NARROW.matches);
  const isAbove = isNarrow && isOpen;

  useLayoutEffect(() => {
    if (!isAbove) return;
    const before = document.activeElement;
    aside.current?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, [isAbove]);

  return isAbove;
}

function watchNarrow(watcher: () => void): () => void {
  NARROW.addEventListener("change", watcher);
  return () => NARROW.removeEventListener("change", watcher);
}

/** `/` searches, `n` opens the form, Escape closes what is open. */
function useKeys(search: { current: HTMLInputElement | null }): void {
  useEffect(() => {
    function press(event: KeyboardEvent) {
      if (event.metaKey || event.ctrlKey || event.altKey) return;
      const isTyping = event.target instanceof Element && event.target.closest("input, textarea, select") !== null;
      if (event.key === "Escape") {
        if (isTyping) (event.target as HTMLElement).blur();
        else close();
      } else if (!isTyping && event.key === "/") {
        event.preventDefault();
        search.current?.focus();
      } else if (!isTyping && event.key === "n") {
        event.preventDefault();
        go({ job: null, isCreating: true });
      }
    }
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}
