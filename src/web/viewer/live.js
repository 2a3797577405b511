// The live socket for the page: one VisionFlowClient, one watched swarm, and the state of both in words.

import { VisionFlowClient } from './client.js';

export class Live {
  /**
   * `hooks`: `words(kind, text)` with kind `good`, `busy` or `bad`; `roster(map of slot → agent)`; `frame(slots, positions)`
   * (views that the next frame overwrites); `metadata(message)`; `gone(reason)` when the watched swarm ended;
   * `notice(level, text)`; `refused(text)` when the token is no longer taken; `happened()` after each event.
   */
  constructor(api, hooks) {
    this.hooks = hooks;
    this.watched = null;
    this.degraded = new Map();
    this.socketError = null;
    this.client = new VisionFlowClient({
      url: '/wss',
      ticket: () => api.ticket(),
      onState: (state) => this.#state(state),
      onHello: () => {
        this.socketError = null;
        this.degraded.clear();
        this.#state('open');
      },
      onRoster: (swarm) => {
        if (swarm.swarmId === this.watched) hooks.roster(swarm.agents);
      },
      onSwarm: (message) => {
        if (message.swarm_id === this.watched) hooks.metadata(message);
      },
      onFrame: (swarm) => this.#frame(swarm),
      onEvent: (message) => {
        if (message.swarm_id === this.watched) hooks.happened();
      },
      onMessage: (message) => this.#message(message),
      onError: (error) => this.#error(error),
      onClose: (close) => this.#closed(close),
    });
    addEventListener('online', () => this.wake());
    document.addEventListener('visibilitychange', () => this.client.pause(document.hidden));
  }

  /** Bytes of binary frames since the page was opened. */
  get bytes() {
    return this.client.bytesReceived;
  }

  /** Milliseconds between polls that the server asks for; null before it said so. */
  get pollMs() {
    return this.client.hello?.poll_rate_ms ?? null;
  }

  start() {
    this.client.connect();
  }

  stop() {
    this.client.close();
  }

  /** Tries again at once instead of waiting. */
  wake() {
    if (this.client.state === 'waiting') this.client.connect();
  }

  /** Streams this swarm and no other; null for none. */
  watch(swarmId) {
    if (swarmId === this.watched) return;
    if (this.watched !== null) this.client.unsubscribe(this.watched);
    this.watched = swarmId;
    if (swarmId !== null) this.client.subscribe(swarmId);
  }

  #frame(swarm) {
    if (swarm.swarmId !== this.watched) return;
    const { decoder } = swarm;
    this.hooks.frame(decoder.slots.subarray(0, decoder.count), decoder.positions.subarray(0, decoder.count * 3));
  }

  #state(state) {
    const trouble = [...this.degraded.values()][0];
    if (state === 'open') this.hooks.words(trouble ? 'busy' : 'good', trouble ?? 'Live');
    else if (state === 'connecting') this.hooks.words('busy', 'Connecting…');
    else if (state === 'closed') this.hooks.words('bad', 'Not connected');
  }

  #closed({ code, reason, willRetry, retryInMs }) {
    if (willRetry) {
      const wait = retryInMs < 1500 ? 'now' : `within ${Math.ceil(retryInMs / 1000)} s`;
      this.hooks.words('busy', `${whyClosed(code, reason)}; trying again ${wait}`);
      return;
    }
    if (code === 4501 || code === 4503)
      this.hooks.refused(`The server refused the live connection: ${this.socketError ?? reason}.`);
    else this.hooks.words('bad', `${whyClosed(code, reason)}${this.socketError ? `: ${this.socketError}` : ''}`);
  }

  #message(message) {
    if (message.type === 'unsubscribed' && message.swarm_id === this.watched && message.reason !== 'requested') {
      this.watched = null;
      this.hooks.gone(message.reason);
    } else if (message.type === 'notice') {
      this.hooks.notice(message.level, message.text);
    } else if (message.type === 'degraded' && (!message.swarm_id || message.swarm_id === this.watched)) {
      if (message.active) this.degraded.set(message.part, message.text);
      else this.degraded.delete(message.part);
      this.#state(this.client.state);
    }
  }

  #error(error) {
    if (error.code === 'swarm_not_found') {
      this.hooks.happened(); // the next reading of the list says what became of it
      return;
    }
    this.socketError = error.message.replace(/\.$/, '');
    // a refused request leaves the session open; everything else shows up as a close
    if (this.client.state === 'open' && error.code) this.hooks.notice('error', error.message);
  }
}

function whyClosed(code, reason) {
  const known = {
    1001: 'The server is shutting down',
    1011: 'The server had a failure',
    1012: 'The server restarts',
    4401: 'The sign-in ran out',
    4408: 'This browser reads too slowly',
    4410: 'The stream broke off',
    4429: 'Too many connections',
    4504: 'Too many swarms are watched at once',
    4506: 'This page is of another version than the server: reload it',
  };
  return (
    known[code] ??
    (code === 1006 || code === 1005 ? 'The connection is lost' : `The server closed the connection (${reason || code})`)
  );
}
