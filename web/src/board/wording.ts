// How the board says things: what a job is about, its status, times and sizes.
import type { AssetType, JobStatus } from "./operations";
import type { Job } from "./world";

export const TYPES: readonly AssetType[] = ["IMAGE", "MAP", "AUDIO", "VIDEO", "PDF"];

export const TYPE_NAMES: Record<AssetType, string> = {
  IMAGE: "Picture",
  MAP: "Map",
  AUDIO: "Audio",
  VIDEO: "Video",
  PDF: "PDF",
};

export const STATUS_NAMES: Record<JobStatus, string> = {
  QUEUED: "Queued",
  PROCESSING: "Processing",
  RETRYING: "Retrying",
  SUCCEEDED: "Succeeded",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
};

export const STATUSES = Object.keys(STATUS_NAMES) as JobStatus[];

/** What a prompt says first of all: its title, description or text; else all of it. */
export function titleOf({ promptSpec, provider }: Job): string {
  return spoken(promptSpec) ?? (listed(promptSpec) || `A job for ${provider}`);
}

function listed(prompt: unknown): string {
  const fields = Object.entries(prompt ?? {});
  return fields.map(([name, value]) => `${name.replaceAll("_", " ")} ${JSON.stringify(value)}`).join(", ");
}

function spoken(prompt: unknown): string | null {
  if (typeof prompt !== "object" || prompt === null) return null;
  const fields = prompt as Record<string, unknown>;
  for (const name of ["title", "description", "text", "prompt"]) {
    const value = fields[name];
    if (typeof value === "string" && value.trim()) return value.trim();
  }
  return spoken(fields.input);
}

/** A length of time, in the two largest units that matter. */
export function duration(length_ms: number): string {
  const s = Math.max(length_ms, 0) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(s % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** How long ago an instant was. */
export function ago(at: string, now_ms: number): string {
  const s = (now_ms - Date.parse(at)) / 1000;
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return s < 86_400 ? `${Math.floor(s / 3600)} h ago` : new Date(at).toLocaleDateString();
}

/** When something will be: the time, and the day where it is another. */
export function moment(at: string): string {
  const then = new Date(at);
  const isToday = then.toDateString() === new Date().toDateString();
  return isToday ? then.toLocaleTimeString() : then.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export function clock(at: string): string {
  return new Date(at).toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
  });
}

export function bytes(size: number): string {
  if (size < 1000) return `${size} bytes`;
  return size < 1_000_000 ? `${(size / 1000).toFixed(0)} kB` : `${(size / 1_000_000).toFixed(1)} MB`;
}

/** How long a job has been at work, waits or took. */
export function elapsed(job: Job, now_ms: number): string {
  const from = Date.parse(job.startedAt ?? job.createdAt);
  return duration((job.finishedAt ? Date.parse(job.finishedAt) : now_ms) - from);
}
