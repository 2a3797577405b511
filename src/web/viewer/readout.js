// The small readout under the picture: frames received and drawn and bytes received per second, as counted.

import { byId, setText } from './dom.js';
import { bytesPerSecond, RateMeter } from './meter.js';

export class Readout {
  constructor() {
    this.received = new RateMeter();
    this.drawn = new RateMeter();
    this.bytes = new RateMeter();
    this.counted = 0;
  }

  /** Starts over: another swarm is watched. `bytes`: what was received so far. */
  clear(bytes) {
    for (const meter of [this.received, this.drawn, this.bytes]) meter.clear();
    this.counted = bytes;
  }

  /** Shows the rates; `bytes` received since the page was opened, `note` is a word on why a rate may be zero. */
  show(now, bytes, note) {
    this.bytes.add(now, bytes - this.counted);
    this.counted = bytes;
    const received = this.received.rate(now);
    setText(byId('meter-received'), received.toFixed(0));
    setText(byId('meter-drawn'), this.drawn.rate(now).toFixed(0));
    setText(byId('meter-bytes'), bytesPerSecond(this.bytes.rate(now)));
    setText(byId('meter-note'), note(received));
  }
}
