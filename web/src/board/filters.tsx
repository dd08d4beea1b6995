// Which jobs the list shows: by status, type and text.
import { Search } from "lucide-react";
import { type RefObject, useMemo } from "react";

import { TYPE_ICONS } from "./job_row";
import type { AssetType, JobStatus } from "./operations";
import { STATUS_NAMES, STATUSES, TYPE_NAMES, TYPES } from "./wording";
import type { Job } from "./world";

/** Of statuses and types, an empty set stands for all. */
export interface Filter {
  statuses: ReadonlySet<JobStatus>;
  types: ReadonlySet<AssetType>;
  text: string;
}

export const EVERYTHING: Filter = { statuses: new Set(), types: new Set(), text: "" };

export function isEverything({ statuses, types, text }: Filter): boolean {
  return statuses.size === 0 && types.size === 0 && text.trim() === "";
}

export function matching(jobs: readonly Job[], filter: Filter): readonly Job[] {
  if (isEverything(filter)) return jobs;
  const { statuses, types } = filter;
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return jobs.filter(
    (job) =>
      (statuses.size === 0 || statuses.has(job.status)) &&
      (types.size === 0 || types.has(job.assetType)) &&
      words.every((word) => textOf(job).includes(word)),
  );
}

const texts = new WeakMap<Job, string>();

/** All that a search looks at. */
function textOf(job: Job): string {
  let text = texts.get(job);
  if (text === undefined) {
    const said = [job.id, job.provider, job.modelId, job.errorCode, job.errorMessage, JSON.stringify(job.promptSpec)];
    text = said.filter(Boolean).join(" ").toLowerCase();
    texts.set(job, text);
  }
  return text;
}

interface Props {
  jobs: readonly Job[];
  filter: Filter;
  onChange: (filter: Filter) => void;
  search: RefObject<HTMLInputElement | null>;
}

export function Filters({ jobs, filter, onChange, search }: Props) {
  const counts = useMemo(() => {
    const each = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<JobStatus, number>;
    for (const { status } of jobs) each[status] += 1;
    return each;
  }, [jobs]);

  return (
    <div className="filters">
      <div className="statuses" role="group" aria-label="Status">
        <button
          type="button"
          aria-pressed={filter.statuses.size === 0}
          onClick={() => onChange({ ...filter, statuses: new Set() })}
        >
          All <b>{jobs.length.toLocaleString()}</b>
        </button>
        {STATUSES.map((status) => (
          <button
            key={status}
            type="button"
            className={`status ${status.toLowerCase()}`}
            aria-pressed={filter.statuses.has(status)}
            onClick={() => onChange({ ...filter, statuses: toggled(filter.statuses, status) })}
          >
            {STATUS_NAMES[status]} <b>{counts[status].toLocaleString()}</b>
          </button>
        ))}
      </div>
      <div className="types" role="group" aria-label="Type">
        {TYPES.map((type) => {
          const Icon = TYPE_ICONS[type];
          return (
            <button
              key={type}
              type="button"
              title={TYPE_NAMES[type]}
              aria-label={TYPE_NAMES[type]}
              aria-pressed={filter.types.has(type)}
              onClick={() => onChange({ ...filter, types: toggled(filter.types, type) })}
            >
              <Icon aria-hidden />
            </button>
          );
        })}
      </div>
      <label className="search">
        <Search aria-hidden />
        <input
          ref={search}
          type="search"
          placeholder="Search prompts, providers, errors"
          aria-label="Search jobs"
          value={filter.text}
          onChange={({ target }) => onChange({ ...filter, text: target.value })}
        />
        <kbd aria-hidden>/</kbd>
      </label>
    </div>
  );
}

function toggled<Value>(set: ReadonlySet<Value>, value: Value): ReadonlySet<Value> {
  const others = [...set].filter((each) => each !== value);
  return new Set(set.has(value) ? others : [...others, value]);
}
