// Rates over a sliding window: frames and bytes per second as they really were. Pure: the caller brings the clock.

const BUCKETS = 20;

export class RateMeter {
  /** `windowMs`: how far back the rate looks. */
  constructor(windowMs = 2000) {
    this.bucketMs = windowMs / BUCKETS;
    this.sums = new Float64Array(BUCKETS);
    this.numbers = new Float64Array(BUCKETS).fill(-1);
    this.firstAt = null;
  }

  /** Counts `amount` at `now` ms. */
  add(now, amount = 1) {
    this.firstAt ??= now;
    const number = Math.floor(now / this.bucketMs);
    const at = number % BUCKETS;
    if (this.numbers[at] !== number) {
      this.numbers[at] = number;
      this.sums[at] = 0;
    }
    this.sums[at] += amount;
  }

  /** The amount per second over the window before `now`; while younger than the window, over its age (at least 250 ms). */
  rate(now) {
    if (this.firstAt === null) return 0;
    const oldest = Math.floor(now / this.bucketMs) - BUCKETS;
    let sum = 0;
    for (let at = 0; at < BUCKETS; at++) if (this.numbers[at] > oldest) sum += this.sums[at];
    const covered = now - (oldest + 1) * this.bucketMs;
    return (sum * 1000) / Math.min(covered, Math.max(250, now - this.firstAt));
  }

  /** Forgets everything. */
  clear() {
    this.numbers.fill(-1);
    this.firstAt = null;
  }
}

/** Bytes per second in words of three digits at most. */
export function bytesPerSecond(rate) {
  if (rate < 1000) return `${Math.round(rate)} B/s`;
  if (rate < 1e6) return `${(rate / 1000).toFixed(rate < 1e4 ? 1 : 0)} kB/s`;
  return `${(rate / 1e6).toFixed(rate < 1e7 ? 1 : 0)} MB/s`;
}
