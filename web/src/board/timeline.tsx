// A job's history: each transition, when it was and how long after the one before.
import { duration, clock, STATUS_NAMES } from "./wording";
import type { Step } from "./world";

export function Timeline({ steps, isCut }: { steps: readonly Step[]; isCut: boolean }) {
  return (
    <>
      <h3>History</h3>
      <ol className="timeline">
        {steps.map((step, at) => {
          const before = steps[at - 1];
          return (
            <li key={step.seq} className={step.status.toLowerCase()}>
              <span className="seq" title="Number of the transition">
                {step.seq}
              </span>
              <b>{step.kind === "RESET" ? "History before is gone" : STATUS_NAMES[step.status]}</b>
              {step.attempt > 1 && <span className="attempt">attempt {step.attempt}</span>}
              <time dateTime={step.at}>
                {clock(step.at)}
                {before && <span>+{duration(Date.parse(step.at) - Date.parse(before.at))}</span>}
              </time>
              {step.errorCode && (
                <p>
                  <b>{step.errorCode}</b> {step.errorMessage}
                </p>
              )}
            </li>
          );
        })}
      </ol>
      {isCut && <p className="hint">There are more; the API has them all.</p>}
    </>
  );
}
