// Small live charts: jobs a minute, and how much the queues hold.
import { useEffect, useMemo, useState } from "react";

import { api, codeOf } from "./api";
import { useNow } from "./now";
import { QueueDepthsDocument } from "./operations";
import type { Job } from "./world";

const MINUTE_MS = 60_000;
const MINUTES = 30;
/** Each reading asks SQS, which costs: as seldom as still looks alive. */
const READ_EVERY_S = 5;
const READINGS = 60;
const WIDTH = 120;
const HEIGHT = 28;

/** Finished jobs in each of the last minutes. */
export function JobsPerMinute({ jobs }: { jobs: readonly Job[] }) {
  const now_ms = useNow();
  // Once a second, not with every update: it looks at all jobs.
  const counts = useMemo(() => {
    const minute = Math.floor(now_ms / MINUTE_MS);
    const each = new Array<number>(MINUTES).fill(0);
    for (const { finishedAt } of jobs) {
      if (!finishedAt) continue;
      const at = MINUTES - 1 - (minute - Math.floor(Date.parse(finishedAt) / MINUTE_MS));
      if (at >= 0) each[Math.min(at, MINUTES - 1)]! += 1;
    }
    return each;
  }, [now_ms]);
  const latest = counts.at(-1) ?? 0;
  const most = Math.max(...counts, 1);
  const step = WIDTH / MINUTES;
  return (
    <Chart value={latest} unit="finished this minute" summary={`Jobs finished in each of the last ${MINUTES} minutes`}>
      {counts.map((count, at) => {
        const height = count && Math.max((count / most) * HEIGHT, 1.5);
        return <rect key={at} x={at * step} y={HEIGHT - height} width={step - 1} height={height} rx={1} />;
      })}
    </Chart>
  );
}

interface Depth {
  waiting: number;
  dead: number;
}

/** Messages in all queues, for those who may know. */
export function QueueDepth() {
  const readings = useQueueDepths();
  const latest = readings?.at(-1);
  if (!readings || !latest) return null;
  const most = Math.max(...readings.map(({ waiting }) => waiting), 1);
  const points = readings.map(({ waiting }, at) => {
    const x = WIDTH - (readings.length - 1 - at) * (WIDTH / (READINGS - 1));
    return `${x.toFixed(1)},${(HEIGHT - 1 - (waiting / most) * (HEIGHT - 2)).toFixed(1)}`;
  });
  const minutes = Math.round((READ_EVERY_S * READINGS) / 60);
  return (
    <Chart
      value={latest.waiting}
      unit={latest.dead > 0 ? `queued, ${latest.dead} dead letters` : "messages queued"}
      summary={`Messages in the queues over the last ${minutes} minutes`}
    >
      <polyline points={points.join(" ")} />
    </Chart>
  );
}

function useQueueDepths(): Depth[] | null {
  const [readings, setReadings] = useState<Depth[]>([]);
  const [isAllowed, setAllowed] = useState(true);
  const [attempt, setAttempt] = useState(0);
  const isSeen = useIsSeen();

  useEffect(() => {
    if (!isAllowed || !isSeen) return;
    let retry: ReturnType<typeof setTimeout> | undefined;
    const { unsubscribe } = api
      .subscription(QueueDepthsDocument, { intervalSeconds: READ_EVERY_S })
      .subscribe(({ data, error }) => {
        if (error && ["FORBIDDEN", "UNAUTHENTICATED"].includes(codeOf(error))) setAllowed(false);
        else if (error) retry = setTimeout(() => setAttempt(attempt + 1), READ_EVERY_S * 1000);
        if (!data) return;
        const reading = { waiting: 0, dead: 0 };
        for (const queue of data.queueStats) {
          reading.waiting += queue.messagesAvailable + queue.messagesDelayed + queue.messagesInFlight;
          reading.dead += queue.deadLetters;
        }
        setReadings((earlier) => [...earlier, reading].slice(-READINGS));
      });
    return () => {
      unsubscribe();
      clearTimeout(retry);
    };
  }, [isAllowed, isSeen, attempt]);

  return isAllowed ? readings : null;
}

/** As in board.css. */
const WIDE = window.matchMedia("(min-width: 1181px)");

function useIsSeen(): boolean {
  const [isSeen, setSeen] = useState(!document.hidden && WIDE.matches);
  useEffect(() => {
    const look = () => setSeen(!document.hidden && WIDE.matches);
    document.addEventListener("visibilitychange", look);
    WIDE.addEventListener("change", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      WIDE.removeEventListener("change", look);
    };
  }, []);
  return isSeen;
}

interface ChartProps {
  value: number;
  unit: string;
  summary: string;
  children: React.ReactNode;
}

function Chart({ value, unit, summary, children }: ChartProps) {
  return (
    <figure className="chart">
      <figcaption>
        <b>{value.toLocaleString()}</b> {unit}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={summary}>
        {children}
      </svg>
    </figure>
  );
}
