// VisionFlow's JavaScript client: decodes the binary frames of protocol v2 and keeps a WebSocket session alive.
// A plain ES module without dependencies, for browsers and Node; the protocol is described in src/docs/protocol.md.
// Nothing here evaluates text as code or touches the page, so it runs under a strict Content-Security-Policy.

export const MAGIC = 0x4656;
export const VERSION = 2;
export const KEYFRAME = 1;
export const DELTA = 2;
export const HEARTBEAT = 3;
export const HEADER_BYTES = 40;
export const MAX_AGENTS = 131072;
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;
export const SUBPROTOCOL = 'visionflow.v2';

const FRACTION_BITS = 6;
const HALF = 1 << (FRACTION_BITS - 1);
const RICE_ESCAPE = 20;
const RICE_K_MAX = 24;
const NO_RUNS = 255;

/** A frame that was not applied. `code` is one of the names in the constructor calls below. */
export class FrameError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'FrameError';
    this.code = code;
  }

  /** Whether the answer is a `resync`. */
  get needsKeyframe() {
    return this.code === 'need_keyframe' || this.code === 'bad_body' || this.code === 'unknown';
  }
}

/** Reads the fixed header of a frame (a DataView, or any buffer). `serverTimeUs` is exact up to the year 2255. */
export function decodeHeader(frame) {
  const view = frame instanceof DataView ? frame : viewOf(frame);
  if (view.byteLength > MAX_FRAME_BYTES) throw new FrameError('too_large', 'the frame is over the limit');
  if (view.byteLength < 4) throw new FrameError('bad_header', 'shorter than four bytes');
  if (view.getUint16(0, true) !== MAGIC) throw new FrameError('bad_header', 'the magic number is not VF');
  if (view.getUint8(2) !== VERSION) throw new FrameError('bad_header', 'the version is not 2');
  const kind = view.getUint8(3);
  if (kind < KEYFRAME || kind > HEARTBEAT) throw new FrameError('unknown', `frame kind ${kind}`);
  if (view.byteLength < HEADER_BYTES) throw new FrameError('bad_header', 'shorter than the header');
  const header = {
    kind,
    stream: view.getUint32(4, true),
    epoch: view.getUint32(8, true),
    seq: view.getUint32(12, true),
    baseSeq: view.getUint32(16, true),
    rosterVersion: view.getUint32(20, true),
    serverTimeUs: view.getUint32(24, true) + view.getUint32(28, true) * 4294967296,
    tick: view.getUint32(32, true),
    count: view.getUint32(36, true),
  };
  if (header.count > MAX_AGENTS) throw new FrameError('too_large', 'more agents than a frame may have');
  if (kind !== DELTA && header.baseSeq !== header.seq) {
    throw new FrameError('bad_header', 'base_seq differs from seq outside a delta');
  }
  return header;
}

/** Tells whether sequence number `a` is newer than `b`, across the wrap. */
export function newer(a, b) {
  const distance = (a - b) >>> 0;
  return distance !== 0 && distance < 0x80000000;
}

function viewOf(frame) {
  if (ArrayBuffer.isView(frame)) return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return new DataView(frame);
}

const unzigzag = (u) => (u >>> 1) ^ -(u & 1);

/** Reads varints; throws FrameError when they are cut short or too long. */
class Varints {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  next() {
    let value = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.at >= this.bytes.length) throw new FrameError('bad_body', 'a number is cut short');
      const byte = this.bytes[this.at++];
      if (shift === 28 && byte > 0x0f) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new FrameError('bad_body', 'a number is over 32 bits');
  }
}

/** Reads bits, highest of each byte first; behind the end zeros, which `missing` remembers. */
class Bits {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
    this.held = 0; // next bits, left-aligned in 32
    this.count = 0;
    this.missing = false;
  }

  // Holds at least 25 bits afterwards, unless the bytes end.
  fill() {
    while (this.count <= 24 && this.at < this.bytes.length) {
      this.held |= this.bytes[this.at++] << (24 - this.count);
      this.count += 8;
    }
  }

  skip(n) {
    if (n > this.count) {
      this.missing = true;
      this.count = n;
    }
    this.held <<= n;
    this.count -= n;
  }

  // n is 0 to 24.
  take(n) {
    if (n === 0) return 0;
    if (this.count < n) this.fill();
    const value = this.held >>> (32 - n);
    this.skip(n);
    return value;
  }

  rice(k) {
    if (this.count < 25) this.fill();
    const ones = Math.clz32(~this.held);
    if (ones >= RICE_ESCAPE) {
      this.skip(RICE_ESCAPE);
      const high = this.take(16);
      return ((high << 16) | this.take(16)) >>> 0;
    }
    this.skip(ones + 1);
    return ((ones << k) | this.take(k)) >>> 0;
  }

  endedWell() {
    return !this.missing && this.at === this.bytes.length && this.count < 8 && this.held === 0;
  }
}

/** Buffers of one state. They grow and are reused. */
class State {
  constructor() {
    this.capacity = 0;
    this.reserve(64);
  }

  reserve(count) {
    if (count <= this.capacity) return;
    const capacity = Math.max(count, this.capacity * 2);
    this.slots = new Uint32Array(capacity);
    this.q = new Int32Array(capacity * 3);
    this.estimate = new Int32Array(capacity * 3);
    this.velocity = new Int32Array(capacity * 3);
    this.capacity = capacity;
  }
}

/**
 * Decodes the frames of one stream.
 *
 * After `apply`, `count` agents are held: `slots[i]` ascending, and their places in `positions[3*i .. 3*i+2]` as x, y, z in
 * layout units. The arrays may be longer than `count`, are reused by the next frame, and are replaced when they must grow.
 */
export class FrameDecoder {
  constructor() {
    this.header = null; // of the last frame that changed the state
    this.step = 1;
    this.origin = new Int32Array(3);
    this.count = 0;
    this.positions = new Float32Array(0);
    this.state = new State();
    this.spare = new State();
    this.residual = new Uint32Array(0);
    this.indexBySlot = null;
  }

  get slots() {
    return this.state.slots;
  }

  /** Quantised coordinates, x y z per agent, in steps from the origin. */
  get q() {
    return this.state.q;
  }

  /** Applies a frame and gives its header. Throws a FrameError, and keeps the state, when it cannot. */
  apply(frame) {
    const view = viewOf(frame);
    const header = decodeHeader(view);
    if (this.header && this.header.stream !== header.stream) {
      throw new FrameError('other_stream', `frame of stream ${header.stream}`);
    }
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (header.kind === KEYFRAME) this.#keyframe(header, view, bytes);
    else if (header.kind === DELTA) this.#delta(header, bytes);
    else this.#heartbeat(header, bytes);
    return header;
  }

  /** Forgets the state. */
  reset() {
    this.header = null;
    this.count = 0;
    this.indexBySlot = null;
  }

  /** Index of a slot in `slots`, or -1. */
  indexOf(slot) {
    if (!this.indexBySlot) {
      this.indexBySlot = new Map();
      for (let i = 0; i < this.count; i++) this.indexBySlot.set(this.state.slots[i], i);
    }
    return this.indexBySlot.get(slot) ?? -1;
  }

  #keyframe(header, view, bytes) {
    const held = this.header;
    if (held && held.epoch === header.epoch && newer(held.seq, header.seq)) {
      throw new FrameError('stale', `frame ${header.seq} is older than ${held.seq}`);
    }
    if (bytes.length < HEADER_BYTES + 20) throw new FrameError('bad_body', 'shorter than its prefix');
    const coding = bytes[HEADER_BYTES];
    if (coding !== 1) throw new FrameError('unknown', `keyframe coding ${coding}`);
    const stepBits = view.getUint32(HEADER_BYTES + 4, true);
    const exponent = (stepBits >>> 23) - 127;
    if (stepBits & 0x007fffff || exponent < -40 || exponent > 40) {
      throw new FrameError('bad_body', 'the step is no power of two in range');
    }
    if (bytes.length - HEADER_BYTES - 20 < header.count * 10) {
      throw new FrameError('bad_body', 'fewer bytes than its count needs');
    }
    readAgents(bytes, header.count, this.spare);
    [this.state, this.spare] = [this.spare, this.state];
    this.step = view.getFloat32(HEADER_BYTES + 4, true);
    for (let axis = 0; axis < 3; axis++) this.origin[axis] = view.getInt32(HEADER_BYTES + 8 + axis * 4, true);
    this.indexBySlot = null;
    this.#settle(header);
  }

  #delta(header, bytes) {
    const held = this.header;
    const missing = () => new FrameError('need_keyframe', `frame ${header.seq} builds on ${header.baseSeq}`);
    if (!held || held.epoch !== header.epoch) throw missing();
    if (!newer(header.seq, held.seq)) throw new FrameError('stale', `frame ${header.seq} is not newer than ${held.seq}`);
    if (held.seq !== header.baseSeq) throw missing();
    if (header.count !== this.count) throw new FrameError('bad_body', "its count differs from its base's");
    if (this.residual.length < this.count * 3) this.residual = new Uint32Array(this.state.capacity * 3);
    readResiduals(bytes, this.count, this.residual);
    follow(this.state, this.residual, this.count * 3);
    this.#settle(header);
  }

  #heartbeat(header, bytes) {
    if (bytes.length !== HEADER_BYTES) throw new FrameError('bad_body', 'bytes behind the header');
    const held = this.header;
    if (!held || held.epoch !== header.epoch) throw new FrameError('need_keyframe', 'nothing of this epoch is held');
    if (newer(held.seq, header.seq)) throw new FrameError('stale', `heartbeat of ${header.seq}`);
    if (held.seq !== header.seq) throw new FrameError('need_keyframe', `frame ${header.seq} was missed`);
  }

  #settle(header) {
    this.header = header;
    this.count = header.count;
    const length = this.count * 3;
    if (this.positions.length < length) this.positions = new Float32Array(this.state.capacity * 3);
    const { positions, step } = this;
    const { q } = this.state;
    const [ox, oy, oz] = this.origin;
    for (let i = 0; i < length; i += 3) {
      positions[i] = (ox + q[i]) * step;
      positions[i + 1] = (oy + q[i + 1]) * step;
      positions[i + 2] = (oz + q[i + 2]) * step;
    }
  }
}

function readAgents(bytes, count, into) {
  into.reserve(count);
  const { slots, q, estimate, velocity } = into;
  const varints = new Varints(bytes, HEADER_BYTES + 20);
  let expected = 0;
  for (let agent = 0; agent < count; agent++) {
    const slot = expected + varints.next();
    if (slot > 0xffffffff) throw new FrameError('bad_body', 'a slot is over 32 bits');
    slots[agent] = slot;
    expected = slot + 1;
    for (let i = agent * 3; i < agent * 3 + 3; i++) {
      q[i] = unzigzag(varints.next());
      estimate[i] = (q[i] << FRACTION_BITS) + unzigzag(varints.next());
      velocity[i] = unzigzag(varints.next());
    }
  }
  if (varints.at !== bytes.length) throw new FrameError('bad_body', 'bytes behind the last agent');
}

function readResiduals(bytes, count, residual) {
  if (bytes.length < HEADER_BYTES + 4) throw new FrameError('bad_body', 'shorter than its prefix');
  const coding = bytes[HEADER_BYTES];
  const k = bytes[HEADER_BYTES + 1];
  const runK = bytes[HEADER_BYTES + 2];
  if (coding !== 1) throw new FrameError('unknown', `delta coding ${coding}`);
  const runs = runK !== NO_RUNS;
  if (k > RICE_K_MAX || (runs && runK > RICE_K_MAX)) throw new FrameError('bad_body', 'a rice parameter is out of range');
  const bits = new Bits(bytes, HEADER_BYTES + 4);
  let agent = 0;
  while (agent < count) {
    if (runs) {
      const gap = bits.rice(runK);
      if (gap > count - agent) throw new FrameError('bad_body', 'a run leads behind the last agent');
      residual.fill(0, agent * 3, (agent + gap) * 3);
      agent += gap;
      if (agent === count) break;
    }
    const i = agent * 3;
    residual[i] = bits.rice(k);
    residual[i + 1] = bits.rice(k);
    residual[i + 2] = bits.rice(k);
    agent++;
    if (bits.missing) throw new FrameError('bad_body', 'the codes are cut short');
  }
  bits.fill();
  if (!bits.endedWell()) throw new FrameError('bad_body', 'the codes do not end in the last byte');
}

// The alpha-beta predictor, in wrapping 32-bit integers: the Int32Array and `| 0` do the wrapping.
function follow(state, residual, length) {
  const { q, estimate, velocity } = state;
  for (let i = 0; i < length; i++) {
    const ahead = (estimate[i] + velocity[i]) | 0;
    const next = (((ahead + HALF) >> FRACTION_BITS) + unzigzag(residual[i])) | 0;
    const error = ((next << FRACTION_BITS) - ahead) | 0;
    q[i] = next;
    estimate[i] = ahead + error - (error >> 3) - (error >> 4);
    velocity[i] = velocity[i] + (error >> 1) - (error >> 4);
  }
}

/** Whether a client may come back by itself after this close code. */
export function mayReconnect(code) {
  if (code >= 4500 && code <= 4599) return false;
  return code !== 1000 && code !== 1002;
}

/** A random wait in ms before reconnect number `attempt` (from 0): full jitter under min(20 s, 0.2 s · 2^attempt). */
export function backoff(attempt, random = Math.random) {
  return Math.floor(random() * Math.min(20000, 200 * 2 ** Math.min(attempt, 16)));
}

function base64url(text) {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * One session that stays connected.
 *
 * options: `url`; how to sign in, one of `token` (string or async function, called on each connect) or `ticket` (async
 * function that gives a fresh single-use ticket); `WebSocket` and `random` for tests. Callbacks, each optional:
 *
 *   onHello(message)  onState(state)  onRoster(swarm)  onFrame(swarm, header)  onHeartbeat(swarm, header)
 *   onSwarm(message)  onEvent(message)  onMessage(message)  onError(error)  onClose({code, reason, willRetry, retryInMs})
 *
 * A `swarm` is { swarmId, stream, epoch, fps, rosterVersion, agents: Map(slot → agent), decoder: FrameDecoder, … }.
 * States: `connecting`, `open`, `waiting`, `closed`.
 */
export class VisionFlowClient {
  constructor(options) {
    this.options = options;
    this.state = 'closed';
    this.swarms = new Map(); // by swarm id
    this.byStream = new Map(); // by stream number
    this.hello = null;
    this.bytesReceived = 0;
    this.framesReceived = 0;
    this.framesRefused = 0;
    this.socket = null;
    this.attempt = 0;
    this.timer = null;
    this.watchdog = null;
    this.retryInMs = null;
    this.paused = false;
    this.wanted = false;
    this.refs = 0;
  }

  /** Connects, and reconnects until `close` or a terminal close code. */
  connect() {
    this.wanted = true;
    if (this.state === 'closed' || this.state === 'waiting') this.#open();
  }

  /** Ends the session for good. */
  close() {
    this.wanted = false;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    const socket = this.socket;
    this.socket = null;
    this.#enter('closed');
    if (socket) socket.close(1000, 'normal');
  }

  /** Streams a swarm, also after reconnects. Gives its entry; `rate` is frames per second at most. */
  subscribe(swarmId, { rate } = {}) {
    let swarm = this.swarms.get(swarmId);
    if (!swarm) {
      swarm = {
        swarmId, rate, stream: null, epoch: null, fps: null, rosterVersion: null, agents: new Map(),
        decoder: new FrameDecoder(), event: null, resyncing: false, metadata: null,
      };
      this.swarms.set(swarmId, swarm);
    }
    swarm.rate = rate;
    if (this.hello) this.#sendSubscribe(swarm);
    return swarm;
  }

  /** Stops streaming a swarm. */
  unsubscribe(swarmId) {
    const swarm = this.swarms.get(swarmId);
    if (!swarm) return;
    this.#forget(swarm);
    this.send({ type: 'unsubscribe', swarm_id: swarmId });
  }

  /** Asks for no positions while true, as when the tab is hidden. */
  pause(paused) {
    this.paused = paused;
    this.send({ type: 'pause', paused });
  }

  /** Extends the session with a fresh token. */
  authenticate(token) {
    this.send({ type: 'auth', token });
  }

  /** Sends a control message and gives its `ref`; false when not connected. */
  send(message) {
    if (!this.socket || this.socket.readyState !== 1) return false;
    const ref = message.ref ?? `c${++this.refs}`;
    this.socket.send(JSON.stringify({ ...message, ref }));
    return ref;
  }

  #call(name, ...values) {
    this.options[name]?.(...values);
  }

  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.#call('onState', state);
  }

  async #open() {
    clearTimeout(this.timer);
    this.#enter('connecting');
    let socket;
    try {
      const protocols = [SUBPROTOCOL];
      const url = new URL(this.options.url, globalThis.location?.href);
      url.protocol = url.protocol.replace('http', 'ws');
      const { token, ticket } = this.options;
      if (ticket) {
        url.searchParams.set('ticket', await ticket());
      } else if (token) {
        const text = typeof token === 'function' ? await token() : token;
        protocols.push(`base64url.bearer.visionflow.${base64url(text)}`);
      }
      if (!this.wanted || this.state !== 'connecting') return;
      socket = new (this.options.WebSocket ?? WebSocket)(url.href, protocols);
    } catch (error) {
      this.#call('onError', error);
      this.#retry(1006, 'not connected');
      return;
    }
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onmessage = (event) => {
      if (this.socket !== socket) return;
      this.#alive();
      if (typeof event.data === 'string') this.#text(event.data);
      else this.#frame(event.data);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.hello = null;
      clearTimeout(this.watchdog);
      this.#retry(event.code, event.reason);
    };
    socket.onerror = () => {}; // a close with the details follows
  }

  #retry(code, reason) {
    const willRetry = this.wanted && mayReconnect(code);
    const retryInMs = willRetry ? this.retryInMs ?? backoff(this.attempt++, this.options.random) : null;
    this.retryInMs = null;
    this.#enter(willRetry ? 'waiting' : 'closed');
    if (willRetry) this.timer = setTimeout(() => this.#open(), retryInMs);
    else this.wanted = false;
    this.#call('onClose', { code, reason, willRetry, retryInMs });
  }

  // A connection that is silent for two ping periods is dead, whatever TCP says.
  #alive() {
    clearTimeout(this.watchdog);
    const seconds = this.hello?.ping_s;
    if (!seconds) return;
    this.watchdog = setTimeout(() => {
      this.send({ type: 'ping' });
      this.watchdog = setTimeout(() => this.#dead(), seconds * 1000);
    }, seconds * 1000);
  }

  #dead() {
    const socket = this.socket;
    if (!socket) return;
    this.socket = null;
    this.hello = null;
    socket.close();
    this.#retry(1006, 'silent');
  }

  #text(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch (error) {
      this.#call('onError', error);
      return;
    }
    this.#call('onMessage', message);
    const swarm = this.swarms.get(message.swarm_id);
    switch (message.type) {
      case 'hello':
        this.#hello(message);
        break;
      case 'subscribed':
        if (swarm) this.#subscribed(swarm, message);
        break;
      case 'unsubscribed':
        if (swarm && message.reason !== 'requested') this.#forget(swarm);
        break;
      case 'roster':
        if (swarm) this.#roster(swarm, message);
        break;
      case 'swarm':
        if (swarm) swarm.metadata = message;
        this.#call('onSwarm', message);
        break;
      case 'event':
        if (swarm) swarm.event = { epoch: message.epoch, seq: message.seq };
        this.#call('onEvent', message);
        break;
      case 'recovered':
        if (swarm) swarm.event = { epoch: message.epoch, seq: message.seq };
        break;
      case 'goodbye':
        this.retryInMs = message.retry_in_ms;
        break;
      case 'error':
        this.#call('onError', Object.assign(new Error(message.message), message));
        break;
      default: // unknown types are of a later server
    }
  }

  #hello(message) {
    const again = this.hello !== null;
    this.hello = message;
    this.attempt = 0;
    this.#alive();
    this.#enter('open');
    this.#call('onHello', message);
    if (again) return;
    this.byStream.clear();
    if (this.paused) this.send({ type: 'pause', paused: true });
    for (const swarm of this.swarms.values()) this.#sendSubscribe(swarm);
  }

  #sendSubscribe(swarm) {
    const message = { type: 'subscribe', swarm_id: swarm.swarmId };
    if (swarm.rate) message.rate = swarm.rate;
    if (swarm.event) message.resume = swarm.event;
    this.send(message);
  }

  #subscribed(swarm, message) {
    if (this.byStream.get(swarm.stream) === swarm) this.byStream.delete(swarm.stream);
    swarm.stream = message.stream;
    swarm.epoch = message.epoch;
    swarm.fps = message.fps;
    swarm.resyncing = false;
    swarm.decoder.reset();
    this.byStream.set(message.stream, swarm);
  }

  #roster(swarm, message) {
    if (message.full) swarm.agents.clear();
    for (const slot of message.removed) swarm.agents.delete(slot);
    for (const agent of message.agents) swarm.agents.set(agent.slot, agent);
    swarm.rosterVersion = message.roster_version;
    this.#call('onRoster', swarm);
  }

  #forget(swarm) {
    this.swarms.delete(swarm.swarmId);
    if (this.byStream.get(swarm.stream) === swarm) this.byStream.delete(swarm.stream);
  }

  #frame(data) {
    this.bytesReceived += data.byteLength;
    this.framesReceived++;
    let swarm = null;
    try {
      swarm = this.byStream.get(decodeHeader(data).stream);
      if (!swarm) return; // the last frames of a subscription that ended
      const header = swarm.decoder.apply(data);
      if (header.kind === HEARTBEAT) {
        this.#call('onHeartbeat', swarm, header);
        return;
      }
      swarm.resyncing = false;
      this.#call('onFrame', swarm, header);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.framesRefused++;
      if (swarm && error.needsKeyframe) {
        // One request is enough: deltas go on coming until the keyframe does.
        if (!swarm.resyncing) swarm.resyncing = this.send({ type: 'resync', swarm_id: swarm.swarmId }) !== false;
      } else if (error.code !== 'stale') {
        this.#call('onError', error);
      }
    }
  }
}
