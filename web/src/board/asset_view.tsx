// The asset of a job that has succeeded: shown, played or opened, whatever it is.
import { Download, FileText } from "lucide-react";
import { useEffect, useRef, useState } from "react";

import { api } from "./api";
import { AssetLinkDocument } from "./operations";
import { titleOf } from "./wording";
import type { Job } from "./world";

type Asset = NonNullable<Job["asset"]>;

/** A link holds for an hour. */
const RENEW_EVERY_MS = 50 * 60 * 1000;

export function AssetView({ job, asset }: { job: Job; asset: Asset }) {
  const [url, renew] = useAssetLink(job.id, asset);
  useEffect(() => {
    const timer = setInterval(renew, RENEW_EVERY_MS);
    return () => clearInterval(timer);
  }, [url]);
  const kind = asset.contentType.split("/", 1)[0];
  const title = titleOf(job);
  return (
    <figure className="asset">
      {kind === "image" && (
        <a href={url} target="_blank" rel="noreferrer" aria-label="Open the picture by itself">
          <img src={url} alt={title} onError={renew} />
        </a>
      )}
      {kind === "audio" && <audio src={url} controls preload="metadata" aria-label={title} onError={renew} />}
      {kind === "video" && <video src={url} controls loop preload="metadata" aria-label={title} onError={renew} />}
      {asset.contentType === "application/pdf" && <Sheet url={url} title={title} onError={renew} />}
      <a className="button" href={url} target="_blank" rel="noreferrer">
        <Download aria-hidden /> Open the {asset.format.toUpperCase()} file
      </a>
    </figure>
  );
}

/** A small picture of an asset that is one. */
export function Thumbnail({ job, asset }: { job: Job; asset: Asset }) {
  const [url, renew] = useAssetLink(job.id, asset);
  const isThere = useSettled();
  return isThere ? <img src={url} alt="" decoding="async" onError={renew} /> : null;
}

/** The browser's own reader; where it has none, as on phones, the link below is what there is. */
function Sheet({ url, title, onError }: { url: string; title: string; onError: () => void }) {
  const [local, setLocal] = useState<string | null>(null);

  useEffect(() => {
    if (!navigator.pdfViewerEnabled) return;
    let address: string | null = null;
    const reading = new AbortController();
    // The file forbids scripts and frames for itself, readers of PDF included. A copy that is marked as one is safe.
    fetch(url, { signal: reading.signal })
      .then(async (answer) => {
        if (!answer.ok) throw new Error(answer.statusText);
        address = URL.createObjectURL(new Blob([await answer.arrayBuffer()], { type: "application/pdf" }));
        setLocal(address);
      })
      .catch(() => {
        if (!reading.signal.aborted) onError();
      });
    return () => {
      reading.abort();
      if (address) URL.revokeObjectURL(address);
    };
  }, [url]);

  if (local === null) return <FileText className="no-picture" aria-hidden />;
  return <iframe src={`${local}#view=FitH&toolbar=0`} title={title} />;
}

/** An asset's link, and what fetches another where it has expired. */
function useAssetLink(jobId: string, { downloadUrl }: Asset): [string, () => void] {
  const [url, setUrl] = useState(downloadUrl);
  const renewedAt = useRef(-Infinity);

  useEffect(() => {
    setUrl(downloadUrl);
  }, [downloadUrl]);

  function renew() {
    // Not over and over: a file that is gone has no link that works.
    if (performance.now() - renewedAt.current < RENEW_EVERY_MS / 2) return;
    renewedAt.current = performance.now();
    void api
      .query(AssetLinkDocument, { jobId })
      .toPromise()
      .then(({ data }) => {
        if (data?.job?.asset) setUrl(data.job.asset.downloadUrl);
      });
  }

  return [url, renew];
}

const SETTLED_AFTER_MS = 120;

/** Whether a row has been in view for long enough not to be just scrolled past. */
function useSettled(): boolean {
  const [isSettled, setSettled] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), SETTLED_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return isSettled;
}
