// The sign that says whether what is on the board is what is.
import { useEffect, useState } from "react";

import { useWatched } from "../watched";
import type { Progress, World } from "./world";

const TOLD_FOR_MS = 6000;

export function ConnectionSign({ world }: { world: World }) {
  const progress = useWatched(world.progress);
  const isNews = useIsNews(progress);
  const [kind, text] = say(progress, isNews);
  return (
    <p className={`connection ${kind}`} role="status">
      <span className="dot" aria-hidden />
      {text}
    </p>
  );
}

function say(progress: Progress, isNews: boolean): [kind: string, text: string] {
  switch (progress.phase) {
    case "opening":
      return ["waiting", "Connecting …"];
    case "lost":
      return ["lost", progress.attempt > 1 ? `Connection lost, attempt ${progress.attempt} …` : "Connection lost …"];
    case "catching up":
      return ["waiting", progress.missed ? `Catching up, ${updates(progress.missed)} …` : "Catching up …"];
    case "refused":
      return ["lost", "Refused"];
    case "live":
      return ["live", progress.missed !== null && isNews ? `Caught up, ${updates(progress.missed)}` : "Live"];
  }
}

function updates(count: number): string {
  return count === 1 ? "1 update" : `${count.toLocaleString()} updates`;
}

/** Whether this has been so for a few seconds only. */
function useIsNews(progress: Progress): boolean {
  const [old, setOld] = useState<Progress | null>(null);
  useEffect(() => {
    const timer = setTimeout(() => setOld(progress), TOLD_FOR_MS);
    return () => clearTimeout(timer);
  }, [progress]);
  return old !== progress;
}
