// Drives VisionFlowClient over a scripted socket: sign-in, subscription, frames, resync, reconnect.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { VisionFlowClient, backoff, mayReconnect } from '../../src/web/viewer/client.js';

const folder = new URL('../fixtures/wire/', import.meta.url);
const frame = (name) => {
  const bytes = readFileSync(new URL(name, folder));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};
const SWARM = '01890a5d-ac96-774b-bcce-b302099a8057';

class FakeSocket {
  static made = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols, readyState: 1, sent: [] });
    FakeSocket.made.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  close(code = 1005, reason = '') {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose({ code, reason });
  }
}

// Waits for a state, with a bound.
async function until(what, holds) {
  for (let tries = 0; tries < 1000; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail(`never: ${what}`);
}

async function connected(options = {}) {
  FakeSocket.made = [];
  const log = [];
  const note = (name) => (...values) => log.push([name, ...values]);
  const client = new VisionFlowClient({
    url: 'http://127.0.0.1:3001/wss', WebSocket: FakeSocket, random: () => 0,
    onState: note('state'), onFrame: note('frame'), onRoster: note('roster'), onClose: note('close'),
    onError: note('error'), onHeartbeat: note('heartbeat'), onEvent: note('event'), ...options,
  });
  client.connect();
  await until('a socket', () => FakeSocket.made.length === 1 && FakeSocket.made[0].onmessage);
  return { client, log, socket: FakeSocket.made[0] };
}

const hello = { type: 'hello', proto: 2, session: 's', server_time_us: 0, max_fps: 60 };
const subscribed = { type: 'subscribed', swarm_id: SWARM, stream: 17, epoch: 3, fps: 60, roster: 12 };

test('signs in by subprotocol or ticket, never by a token in the address', async () => {
  const first = await connected({ token: async () => 'a.b.c' });
  assert.deepEqual(first.socket.protocols, ['visionflow.v2', 'base64url.bearer.visionflow.YS5iLmM']);
  assert.equal(first.socket.url, 'ws://127.0.0.1:3001/wss');
  first.client.close();
  const second = await connected({ ticket: async () => 't1' });
  assert.deepEqual(second.socket.protocols, ['visionflow.v2']);
  assert.equal(second.socket.url, 'ws://127.0.0.1:3001/wss?ticket=t1');
  second.client.close();
});

test('subscribes, keeps the roster, decodes, and asks once for a keyframe', async () => {
  const { client, log, socket } = await connected();
  const swarm = client.subscribe(SWARM, { rate: 30 });
  assert.equal(socket.sent.length, 0, 'nothing before hello');
  socket.say(hello);
  assert.deepEqual(socket.sent.map(({ ref, ...rest }) => rest), [{ type: 'subscribe', swarm_id: SWARM, rate: 30 }]);
  socket.say(subscribed);
  socket.say({ type: 'roster', swarm_id: SWARM, stream: 17, epoch: 3, roster_version: 12, full: true, removed: [],
    agents: [{ slot: 0, id: 'a', name: 'alpha', type: 'coder', state: 'idle' }, { slot: 1, id: 'b', name: 'beta', type: 'coder', state: 'idle' }] });
  socket.say({ type: 'roster', swarm_id: SWARM, stream: 17, epoch: 3, roster_version: 13, full: false, removed: [1], agents: [] });
  assert.deepEqual([...swarm.agents.keys()], [0]);
  socket.onmessage({ data: frame('motion-00.bin') });
  socket.onmessage({ data: frame('motion-01.bin') });
  assert.equal(swarm.decoder.count, 12);
  assert.equal(log.filter(([name]) => name === 'frame').length, 2);
  socket.onmessage({ data: frame('motion-03.bin') });
  socket.onmessage({ data: frame('motion-04.bin') });
  assert.deepEqual(socket.sent.filter(({ type }) => type === 'resync').map(({ swarm_id }) => swarm_id), [SWARM]);
  socket.onmessage({ data: frame('motion-09.bin') });
  socket.onmessage({ data: frame('extremes-00.bin') }); // a stream that was not announced
  assert.equal(log.filter(([name]) => name === 'error').length, 0);
  assert.equal(swarm.decoder.header.seq, 9);
  client.close();
  assert.equal(client.state, 'closed');
});

test('comes back where it may, resuming, and stays away where not', async () => {
  const { client, log, socket } = await connected();
  client.subscribe(SWARM);
  socket.say(hello);
  socket.say(subscribed);
  socket.say({ type: 'event', swarm_id: SWARM, epoch: 3, seq: 41, kind: 'x', at: '', data: {} });
  socket.say({ type: 'goodbye', code: 1012, reason: 'restart', retry_in_ms: 1 });
  socket.close(1012, 'restart');
  assert.deepEqual(log.at(-1), ['close', { code: 1012, reason: 'restart', willRetry: true, retryInMs: 1 }]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await until('a second socket', () => FakeSocket.made.length === 2 && FakeSocket.made[1].onmessage);
  const second = FakeSocket.made[1];
  second.say(hello);
  assert.deepEqual(second.sent[0].resume, { epoch: 3, seq: 41 });
  second.close(4506, 'protocol_version');
  assert.equal(log.at(-1)[1].willRetry, false);
  assert.equal(client.state, 'closed');
});

test('close codes and waits are those of the document', () => {
  const document = readFileSync(new URL('../../src/docs/protocol.md', import.meta.url), 'utf8');
  const rows = [...document.matchAll(/^\| (\d{4}) \| `\w+` \|.*\| ([^|]+) \|$/gm)];
  assert.equal(rows.length, 13);
  for (const [, code, client] of rows) assert.equal(mayReconnect(Number(code)), client.includes('reconnects'), code);
  assert.equal(mayReconnect(1006), true);
  assert.equal(backoff(0, () => 0.999), 199);
  assert.equal(backoff(99, () => 0.5), 10000);
});
