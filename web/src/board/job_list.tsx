// The list of jobs: of thousands, those in view are on the page.
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useCallback, useLayoutEffect, useRef } from "react";

import { JobRow } from "./job_row";
import type { Job } from "./world";

/** As in board.css. */
const ROW_PX = 76;
const OVERSCAN = 6;

interface Props {
  jobs: readonly Job[];
  openJob: string | null;
}

export function JobList({ jobs, openJob }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: jobs.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: useCallback((at: number) => jobs[at]?.id ?? at, [jobs]),
    overscan: OVERSCAN,
  });
  useStandingStill(scroller, jobs);

  /** Arrows go from job to job, as in a list of messages. */
  function move(event: KeyboardEvent) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    const row = (event.target as Element).closest("li");
    if (step === undefined || !row || event.metaKey || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    const next = Math.min(Math.max(Number(row.dataset.index) + step, 0), jobs.length - 1);
    rows.scrollToIndex(next);
    requestAnimationFrame(() => {
      scroller.current?.querySelector<HTMLElement>(`li[data-index="${next}"] a`)?.focus({ preventScroll: true });
    });
  }

  return (
    // Focusable, so that the keyboard scrolls it too.
    <div className="scroller" ref={scroller} tabIndex={0} role="region" aria-label="Jobs, newest first" onKeyDown={move}>
      <ol style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ index, key, start }) => {
          const job = jobs[index];
          return (
            job && (
              <li
                key={key}
                data-index={index}
                aria-setsize={jobs.length}
                aria-posinset={index + 1}
                style={{ transform: `translateY(${start}px)` }}
              >
                <JobRow job={job} isOpen={job.id === openJob} />
              </li>
            )
          );
        })}
      </ol>
    </div>
  );
}

/** Keep what a reader looks at where it is when jobs come in above. At the top, they push it down. */
function useStandingStill(scroller: { current: HTMLDivElement | null }, jobs: readonly Job[]): void {
  const before = useRef(jobs);

  useLayoutEffect(() => {
    const view = scroller.current;
    const earlier = before.current;
    before.current = jobs;
    if (!view || view.scrollTop < ROW_PX || earlier[0]?.id === jobs[0]?.id) return;
    const at = Math.floor(view.scrollTop / ROW_PX);
    const now = jobs.findIndex(({ id }) => id === earlier[at]?.id);
    if (now >= 0) view.scrollTop += (now - at) * ROW_PX;
  }, [jobs]);
}
