// Moves agents smoothly from what is on the screen to the newest frame, however unevenly frames arrive. Pure: the caller
// brings the clock.
//
// Each frame becomes the goal; what was shown at that moment is where the way begins; the way takes as long as frames have
// lately been apart. So nothing ever jumps or runs ahead of what the server said, and the picture is one frame late.

/** Shortest and longest way, ms: a burst must not teleport, a pause must not crawl. */
export const WAY_MS_MIN = 8;
export const WAY_MS_MAX = 250;
/** How much one gap counts in the running mean of gaps. */
const GAP_WEIGHT = 0.2;

export class Interpolator {
  constructor() {
    this.clear();
  }

  /** Forgets everything: another swarm, or a new incarnation of it. */
  clear() {
    this.slots = new Uint32Array(0);
    this.shown = new Float32Array(0);
    this.from = new Float32Array(0);
    this.goal = new Float32Array(0);
    this.startedAt = 0;
    this.gap = 50;
    this.arrivedAt = null;
    this.settled = true;
  }

  /** Agents in the picture. */
  get count() {
    return this.slots.length;
  }

  /**
   * Takes one frame: `slots` ascending, `positions` x, y, z per slot in layout units (both are copied), `now` in ms.
   * Gives true when the set of agents changed.
   */
  push(slots, positions, now) {
    this.sample(now);
    this.measureGap(now);
    const changed = !same(this.slots, slots);
    if (changed) this.takeSlots(slots, positions);
    else this.from.set(this.shown);
    this.goal.set(positions.length === this.goal.length ? positions : positions.subarray(0, this.goal.length));
    this.startedAt = now;
    this.settled = false;
    return changed;
  }

  /** Brings `shown` to the moment `now` and tells whether anything moved. */
  sample(now) {
    if (this.settled) return false;
    const t = Math.min(1, Math.max(0, (now - this.startedAt) / this.gap));
    const { from, goal, shown } = this;
    for (let i = 0; i < shown.length; i++) shown[i] = from[i] + (goal[i] - from[i]) * t;
    this.settled = t >= 1;
    return true;
  }

  measureGap(now) {
    if (this.arrivedAt !== null) {
      const gap = Math.min(WAY_MS_MAX, Math.max(WAY_MS_MIN, now - this.arrivedAt));
      this.gap += (gap - this.gap) * GAP_WEIGHT;
    }
    this.arrivedAt = now;
  }

  /** Who stays goes on from where it is; who is new appears in its place. */
  takeSlots(slots, positions) {
    const before = new Map();
    this.slots.forEach((slot, index) => before.set(slot, index));
    const from = new Float32Array(slots.length * 3);
    slots.forEach((slot, index) => {
      const old = before.get(slot);
      const source = old === undefined ? positions : this.shown;
      const at = (old === undefined ? index : old) * 3;
      for (let axis = 0; axis < 3; axis++) from[index * 3 + axis] = source[at + axis];
    });
    this.slots = Uint32Array.from(slots);
    this.from = from;
    this.shown = Float32Array.from(from);
    this.goal = new Float32Array(from.length);
  }
}

function same(a, b) {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
