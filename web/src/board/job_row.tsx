// One job in the list.
import { FileText, Film, Image, Map as MapIcon, Music, type LucideIcon } from "lucide-react";
import { memo, type MouseEvent } from "react";

import { Thumbnail } from "./asset_view";
import { useNow } from "./now";
import type { AssetType } from "./operations";
import { addressOf, go } from "./place";
import { ProgressBar } from "./progress_bar";
import { ago, elapsed, moment, STATUS_NAMES, titleOf, TYPE_NAMES } from "./wording";
import { isFinal, type Job } from "./world";

export const TYPE_ICONS: Record<AssetType, LucideIcon> = {
  IMAGE: Image,
  MAP: MapIcon,
  AUDIO: Music,
  VIDEO: Film,
  PDF: FileText,
};

interface Props {
  job: Job;
  isOpen: boolean;
}

export const JobRow = memo(function JobRow({ job, isOpen }: Props) {
  const Icon = TYPE_ICONS[job.assetType];

  function open(event: MouseEvent) {
    // A click that asks for another tab is the browser's.
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go({ job: job.id, isCreating: false });
  }

  return (
    <a className="row" href={addressOf({ job: job.id, isCreating: false })} onClick={open} aria-current={isOpen}>
      <span className="thumbnail">
        {job.asset?.contentType.startsWith("image/") ? (
          <Thumbnail job={job} asset={job.asset} />
        ) : (
          <Icon aria-hidden />
        )}
      </span>
      <span className="what">
        <span className="title">{titleOf(job)}</span>
        <span className="about">
          {TYPE_NAMES[job.assetType]} by {job.provider}
          {(job.attempt > 1 || job.status === "RETRYING") && (
            <span className="attempt">
              attempt {job.attempt} of {job.maxAttempts}
            </span>
          )}
          {job.errorCode && <span className="error">{job.errorCode}</span>}
          {job.status === "PROCESSING" && job.progressMessage && <span>{job.progressMessage}</span>}
        </span>
      </span>
      <span className="state">
        <Status job={job} />
        {isFinal(job) ? <Finished job={job} /> : <Running job={job} />}
      </span>
      {job.status === "PROCESSING" && <ProgressBar value={job.progress} />}
    </a>
  );
});

export function Status({ job }: { job: Job }) {
  return <span className={`status ${job.status.toLowerCase()}`}>{STATUS_NAMES[job.status]}</span>;
}

function Running({ job }: { job: Job }) {
  const now_ms = useNow();
  if (job.status === "QUEUED" && job.runAt && Date.parse(job.runAt) > now_ms) {
    return <time dateTime={job.runAt}>at {moment(job.runAt)}</time>;
  }
  return <time>{elapsed(job, now_ms)}</time>;
}

function Finished({ job }: { job: Job }) {
  const now_ms = useNow();
  return (
    <time dateTime={job.finishedAt ?? undefined}>
      {job.finishedAt && ago(job.finishedAt, now_ms)}
      {job.startedAt && <span className="took">took {elapsed(job, now_ms)}</span>}
    </time>
  );
}
