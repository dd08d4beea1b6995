// How far a job is; without a number while nobody knows.

export function ProgressBar({ value }: { value: number | null }) {
  return (
    <span
      className={value === null ? "progress unknown" : "progress"}
      role="progressbar"
      aria-label="Progress"
      aria-valuemin={0}
      aria-valuemax={100}
      {...(value !== null && { "aria-valuenow": Math.round(value * 100) })}
    >
      <span style={{ transform: `scaleX(${value ?? 1})` }} />
    </span>
  );
}
