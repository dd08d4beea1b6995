// The page of one job: its asset or how far it is, what can be done with it, its history.
import { Ban, RotateCcw, X } from "lucide-react";
import { memo, useEffect } from "react";
import { useMutation } from "urql";

import { explain } from "./api";
import { AssetView } from "./asset_view";
import { Status } from "./job_row";
import { useNow } from "./now";
import { CancelJobDocument, JobDetailsDocument, type JobDetailsQuery, RetryJobDocument } from "./operations";
import { ProgressBar } from "./progress_bar";
import { Timeline } from "./timeline";
import { useAsked } from "./use_asked";
import { bytes, duration, elapsed, titleOf, TYPE_NAMES } from "./wording";
import { isFinal, type Job, type World } from "./world";

type Details = NonNullable<JobDetailsQuery["job"]>;

interface Props {
  world: World;
  id: string;
  /** As the board knows it, which is newer than what was asked for; undefined where it is not on the board. */
  live: Job | undefined;
  onClose: () => void;
}

/** Remembered, as it changes with its own job alone. */
export const JobPage = memo(function JobPage({ world, id, live, onClose }: Props) {
  const [{ data, error, fetching }, ask] = useAsked({ query: JobDetailsDocument, variables: { id } });
  const details = data?.job?.id === id ? data.job : undefined;
  const job = live ?? details;

  // Each transition brings an entry of the history, the last one the asset.
  useEffect(() => {
    if (live && details && live.seq > details.seq) ask();
  }, [live?.seq, details?.seq]);

  return (
    <section className="panel" aria-labelledby="job-title">
      <header>
        <h2 id="job-title">{job ? titleOf(job) : "Job"}</h2>
        <button type="button" className="quiet" onClick={onClose} aria-label="Close">
          <X aria-hidden />
        </button>
      </header>
      {!job && fetching && <p className="hint">Reading …</p>}
      {!job && error && <p className="problem">{explain(error)}</p>}
      {!job && data && !details && !fetching && <p className="problem">There is no such job, or not any more.</p>}
      {job && <Standing job={job} />}
      {job?.asset && <AssetView job={job} asset={job.asset} />}
      {job && <Actions world={world} job={job} />}
      {details && <Timeline steps={details.history.edges.map(({ node }) => node)} isCut={details.history.pageInfo.hasNextPage} />}
      {job && <Facts job={job} details={details} />}
    </section>
  );
});

function Standing({ job }: { job: Job }) {
  const now_ms = useNow();
  return (
    <div className="standing">
      <p>
        <span aria-live="polite">
          <Status job={job} />
        </span>{" "}
        <time>{elapsed(job, now_ms)}</time>
        {job.status === "PROCESSING" && job.progressMessage && <span>{job.progressMessage}</span>}
        {job.status === "RETRYING" && job.nextAttemptAt && (
          <span>next attempt in {duration(Date.parse(job.nextAttemptAt) - now_ms)}</span>
        )}
      </p>
      {!isFinal(job) && <ProgressBar value={job.status === "PROCESSING" ? job.progress : 0} />}
      {job.errorMessage && (
        <p className="problem">
          <b>{job.errorCode}</b> {job.errorMessage}
        </p>
      )}
    </div>
  );
}

function Actions({ world, job }: { world: World; job: Job }) {
  const [cancelling, cancel] = useMutation(CancelJobDocument);
  const [retrying, retry] = useMutation(RetryJobDocument);
  const error = cancelling.error ?? retrying.error;
  const isBusy = cancelling.fetching || retrying.fetching;

  async function send(mutation: typeof cancel | typeof retry) {
    const { data } = await mutation({ id: job.id });
    if (data) world.learn("cancelJob" in data ? data.cancelJob : data.retryJob);
  }

  return (
    <div className="actions">
      {!isFinal(job) && (
        <button type="button" disabled={isBusy} onClick={() => void send(cancel)}>
          <Ban aria-hidden /> Cancel
        </button>
      )}
      {(job.status === "FAILED" || job.status === "CANCELLED") && (
        <button type="button" className="main" disabled={isBusy} onClick={() => void send(retry)}>
          <RotateCcw aria-hidden /> Try again
        </button>
      )}
      {error && (
        <p className="problem" role="alert">
          {explain(error)}
        </p>
      )}
    </div>
  );
}

function Facts({ job, details }: { job: Job; details: Details | undefined }) {
  const facts: [string, string | null | undefined][] = [
    ["Type", TYPE_NAMES[job.assetType]],
    ["Provider", [job.provider, job.modelId].filter(Boolean).join(", ")],
    ["Attempt", `${job.attempt} of ${job.maxAttempts}`],
    ["Priority", details && String(details.priority)],
    ["Created", new Date(job.createdAt).toLocaleString()],
    ["Asked by", details?.requestedBy],
    ["Size", details?.asset && bytes(details.asset.sizeBytes)],
    ["Plays for", details?.asset?.durationSeconds && duration(details.asset.durationSeconds * 1000)],
    ["Webhook", details?.webhookUrl],
    ["Id", job.id],
    ["SHA-256", details?.asset?.checksum],
  ].filter((fact): fact is [string, string] => Boolean(fact[1]));
  return (
    <>
      <h3>Facts</h3>
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <h3 id="prompt-title">Prompt</h3>
      {/* Focusable, because it may be wider than the page. */}
      <pre tabIndex={0} role="region" aria-labelledby="prompt-title">
        {JSON.stringify(job.promptSpec, null, 2)}
      </pre>
    </>
  );
}
