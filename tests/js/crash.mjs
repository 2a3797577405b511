// Fills a server, kills it with SIGKILL, starts it again in the same folder and compares. Run by tests/crash.sh.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { FrameDecoder, HEARTBEAT } from '../../src/web/viewer/client.js';
import { open } from './websocket.mjs';

const program = process.argv[2];
const SWARMS = Number(process.env.VISIONFLOW_CRASH_SWARMS || 100);
const AGENTS = 50;
const seed = Number(process.env.VISIONFLOW_CRASH_SEED || Math.floor(Math.random() * 2 ** 31));
/** Requests in flight at once. */
const LANES = 24;
/** Between two looks at something that is waited for, ms. */
const LOOK_MS = 25;
/** Swarms whose positions are compared. */
const WATCHED = 8;
/** How far agents may be from where they stood before, as a share of their swarm's extent. */
const TOLERANCE = 0.05;
/** Kills at random moments of a creation. */
const KILLS = 4;
const TOPOLOGIES = ['mesh', 'hierarchical', 'ring', 'star'];
const TYPES = ['coordinator', 'researcher', 'coder', 'analyst', 'architect', 'tester', 'reviewer', 'optimizer'];

let failed = false;
let running = null; // the server's process
const folders = [];

function check(holds, name, detail = '') {
  if (!holds) failed = true;
  console.log(`${holds ? 'ok' : 'not ok'} - ${name}`);
  if (!holds && detail !== '') console.log(`  # ${(typeof detail === 'string' ? detail : JSON.stringify(detail)).slice(0, 1500)}`);
}

/** mulberry32: the same numbers for the same seed. */
function numbers(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until `probe` gives something true, and gives that; undefined when the time is over. */
async function until(ms, probe) {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = await probe().catch(() => undefined);
    if (found) return found;
    if (performance.now() > deadline) return undefined;
    await pause(LOOK_MS);
  }
}

class Server {
  static async prepare() {
    const server = new Server();
    server.dir = mkdtempSync(join(tmpdir(), 'visionflow-crash-'));
    folders.push(server.dir);
    server.env = {
      PATH: process.env.PATH,
      PORT: String(await freePort()),
      MCP_PORT: String(await freePort()),
      MCP_HEALTH_PORT: String(await freePort()),
      MAX_SWARMS_PER_CLIENT: String(Math.max(SWARMS, 100)),
      // the tests' load shares two cores with the server
      CLIENT_POLL_RATE_MS: '2000',
      RUST_LOG: 'warn',
    };
    server.base = `http://127.0.0.1:${server.env.PORT}`;
    server.run = 0;
    return server;
  }

  start() {
    this.run += 1;
    this.agent = new Agent({ keepAlive: true, maxSockets: LANES });
    const log = openSync(join(this.dir, `log-${this.run}`), 'w');
    this.startedAt = performance.now();
    this.child = spawn(program, [], { cwd: this.dir, env: this.env, stdio: ['ignore', log, log] });
    closeSync(log);
    running = this.child;
    this.exited = once(this.child, 'exit');
    this.child.on('exit', (code, signal) => {
      if (signal !== 'SIGKILL') console.log(`# the server ended by itself: code ${code}, signal ${signal}: ${this.log()}`);
    });
  }

  signIn() {
    const args = ['token', '--subject', 'alice', '--role', 'operator', '--ttl', '1h'];
    this.token = execFileSync(program, args, { cwd: this.dir, env: this.env }).toString().trim();
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
    this.agent.destroy();
    running = null;
  }

  log() {
    return readFileSync(join(this.dir, `log-${this.run}`), 'utf8').split('\n').slice(-12).join(' | ');
  }

  /** One request; `status` 0 when no answer came. */
  call(method, path, body) {
    return new Promise((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = { authorization: `Bearer ${this.token}` };
      if (text !== undefined) {
        headers['content-type'] = 'application/json';
        headers['content-length'] = Buffer.byteLength(text);
      }
      const none = () => resolve({ status: 0 });
      const asked = request(this.base + path, { method, headers, agent: this.agent, timeout: 30_000 }, (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk)).on('error', none).on('end', () => {
          const got = Buffer.concat(chunks).toString();
          let json;
          try {
            json = got ? JSON.parse(got) : undefined;
          } catch {
            return none();
          }
          return resolve({ status: answer.statusCode, json });
        });
      });
      asked.on('error', none).on('timeout', () => asked.destroy());
      asked.end(text);
    });
  }

  async list(path) {
    const items = [];
    let cursor = '';
    do {
      const page = await this.call('GET', `${path}?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      if (page.status !== 200) throw new Error(`${path}: ${page.status}`);
      items.push(...page.json.items);
      cursor = page.json.next_cursor ?? '';
    } while (cursor);
    return items;
  }

  up() {
    return until(20_000, async () => (await this.call('GET', '/api/swarms')).status === 200);
  }
}

/** Runs the jobs, at most LANES at once. */
async function inLanes(jobs) {
  const queue = jobs[Symbol.iterator]();
  const lane = async () => {
    for (const job of queue) await job();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

function spawnBody(n) {
  return { type: TYPES[n % TYPES.length], name: `agent ${n}`, capabilities: ['analysis'] };
}

async function fill(server) {
  const swarms = [];
  const refusals = [];
  await inLanes(
    Array.from({ length: SWARMS }, (_, n) => async () => {
      const made = await server.call('POST', '/api/swarms', { name: `swarm ${n}`, topology: TOPOLOGIES[n % 4], max_agents: AGENTS });
      if (made.status === 201) swarms.push(made.json);
      else refusals.push(made);
    }),
  );
  const spawns = [];
  for (let n = 0; n < AGENTS; n += 1) {
    for (const swarm of swarms) {
      spawns.push(async () => {
        const made = await server.call('POST', `/api/swarms/${swarm.id}/agents/spawn`, spawnBody(n));
        if (made.status !== 201 && made.status !== 202) refusals.push(made);
      });
    }
  }
  await inLanes(spawns);
  await inLanes(
    swarms.filter((_, n) => n % 10 === 0).map((swarm) => async () => {
      const made = await server.call('POST', `/api/swarms/${swarm.id}/tasks`, { description: 'survive', priority: 'high' });
      if (made.status !== 201 && made.status !== 202) refusals.push(made);
    }),
  );
  return refusals;
}

/** Everything that must survive, by swarm id. */
async function inventory(server) {
  const found = new Map();
  const swarms = await server.list('/api/swarms');
  await inLanes(
    swarms.map((swarm) => async () => {
      const path = `/api/swarms/${swarm.id}`;
      try {
        const agents = await server.list(`${path}/agents`);
        const tasks = await server.list(`${path}/tasks`);
        found.set(swarm.id, { swarm, agents, tasks });
      } catch (error) {
        // a deletion that the kill cut off is gone on with, and may end between the calls
        if (swarm.status !== 'deleting' || (await server.call('GET', path)).status !== 404) throw error;
      }
    }),
  );
  return found;
}

const lasting = ({ swarm, agents, tasks }) => ({
  swarm: [swarm.id, swarm.name, swarm.owner, swarm.topology, swarm.max_agents, swarm.created_at],
  agents: agents.map((a) => [a.slot, a.id, a.type, a.name, a.capabilities, a.created_at]),
  tasks: tasks.map((t) => [t.id, t.description, t.priority, t.created_at]),
});

/** The first difference between two inventories, in words; empty when there is none. */
function difference(before, after) {
  if (before.size !== after.size) return `${before.size} swarms before, ${after.size} after`;
  for (const [id, was] of before) {
    const is = after.get(id);
    if (!is) return `swarm ${id} is missing`;
    const [a, b] = [lasting(was), lasting(is)];
    for (const part of Object.keys(a)) {
      if (JSON.stringify(a[part]) !== JSON.stringify(b[part])) {
        const n = a[part].findIndex((entry, at) => JSON.stringify(entry) !== JSON.stringify(b[part][at]));
        return `${part} of ${id}: ${a[part].length} → ${b[part].length}, first at ${n}: ${JSON.stringify(a[part][n])} → ${JSON.stringify(b[part][n])}`;
      }
    }
  }
  return '';
}

async function allVerified(server, ids, ms) {
  let worst = '';
  const done = await until(ms, async () => {
    for (const id of ids) {
      const agents = await server.list(`/api/swarms/${id}/agents`);
      const not = agents.find((agent) => agent.stage !== 'verified' || agent.stale);
      if (agents.length === 0 || not) {
        worst = `swarm ${id}: ${agents.length} agents, ${JSON.stringify(not)}`;
        return false;
      }
    }
    return true;
  });
  return done ? '' : worst;
}

/**
 * Positions by slot, as the WebSocket tells them: of the first frame, or (`atRest`) once a heartbeat has said that
 * nothing moves. A swarm that does not come to rest in time is given as it was last seen, with `moving` set.
 */
async function positions(server, ids, atRest, ms) {
  const seen = new Map();
  const streams = new Map();
  const want = new Set(ids);
  let finish;
  const finished = new Promise((resolve) => {
    finish = resolve;
  });
  const keep = (id, decoder, moving) => {
    const at = new Map();
    for (let i = 0; i < decoder.count; i += 1) at.set(decoder.slots[i], [...decoder.positions.subarray(3 * i, 3 * i + 3)]);
    seen.set(id, { at, moving });
  };
  const socket = await open(`${server.base.replace('http', 'ws')}/wss`, { authorization: `Bearer ${server.token}` }, {
    text(text) {
      const message = JSON.parse(text);
      if (message.type === 'subscribed') streams.set(message.stream, { id: message.swarm_id, decoder: new FrameDecoder() });
      if (message.type === 'error') finish(text);
    },
    binary(frame) {
      const stream = streams.get(frame.readUInt32LE(4));
      if (!stream) return;
      let header;
      try {
        header = stream.decoder.apply(frame);
      } catch (error) {
        if (error.needsKeyframe) socket.send(JSON.stringify({ type: 'resync', swarm_id: stream.id }));
        return;
      }
      if (!want.has(stream.id)) return;
      const resting = header.kind === HEARTBEAT;
      keep(stream.id, stream.decoder, !resting);
      if (resting || !atRest) want.delete(stream.id);
      if (want.size === 0) finish('');
    },
    close: (code) => finish(`closed ${code}`),
  });
  for (const swarm_id of ids) socket.send(JSON.stringify({ type: 'subscribe', swarm_id }));
  const timer = new AbortController();
  const trouble = await Promise.race([finished, pause(ms, 'time is over', { signal: timer.signal }).catch(() => '')]);
  timer.abort();
  socket.close();
  return { seen, trouble };
}

/** Largest distance between two sets of positions as a share of the extent of the first; Infinity when slots differ. */
function displacement(before, after) {
  if (before.size !== after.size || before.size === 0) return Infinity;
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  let worst = 0;
  for (const [slot, was] of before) {
    const is = after.get(slot);
    if (!is) return Infinity;
    worst = Math.max(worst, Math.hypot(...was.map((x, axis) => x - is[axis])));
    was.forEach((x, axis) => {
      low[axis] = Math.min(low[axis], x);
      high[axis] = Math.max(high[axis], x);
    });
  }
  return worst / Math.hypot(...low.map((x, axis) => high[axis] - x));
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(2)} s`;

async function everythingComesBack() {
  const server = await Server.prepare();
  server.start();
  await until(20_000, async () => (server.signIn(), true));
  check(await server.up(), 'the server starts', server.log());
  const filling = performance.now();
  const refusals = await fill(server);
  check(refusals.length === 0, `${SWARMS} swarms of ${AGENTS} agents are made (${seconds(filling)})`, refusals[0]);
  let since = performance.now();
  const ids = (await server.list('/api/swarms')).map((swarm) => swarm.id);
  const pending = await allVerified(server, ids, 60_000);
  check(pending === '', `all agents are verified (${seconds(since)})`, pending);

  const watched = ids.filter((_, n) => n % Math.max(1, Math.floor(ids.length / WATCHED)) === 0).slice(0, WATCHED);
  since = performance.now();
  const before = await positions(server, watched, true, 30_000);
  const moving = [...before.seen.values()].filter((swarm) => swarm.moving).length;
  console.log(`# ${moving} of ${watched.length} watched swarms still move after ${seconds(since)}`);
  const inventoryBefore = await inventory(server);
  await server.kill();

  server.start();
  const listed = await until(20_000, async () => {
    const answer = await server.call('GET', '/api/swarms?limit=200');
    return answer.status === 200 && answer.json.items.length === inventoryBefore.size;
  });
  const took = performance.now() - server.startedAt;
  check(listed && took <= 1000, `all ${SWARMS} swarms are listed within 1 s of the start (${took.toFixed(0)} ms)`, server.log());
  const after = await positions(server, watched, false, 10_000);
  const wrong = difference(inventoryBefore, await inventory(server));
  check(wrong === '', 'swarms, agents with ids and slots, and tasks are the same', wrong);
  const moved = watched.map((id) => displacement(before.seen.get(id)?.at ?? new Map(), after.seen.get(id)?.at ?? new Map()));
  check(
    moved.every((share) => share <= TOLERANCE),
    `agents stand where they stood: moved by at most ${(100 * Math.max(...moved)).toFixed(2)} % of the extent`,
    { moved, trouble: after.trouble },
  );
  since = performance.now();
  const unverified = await allVerified(server, ids, 60_000);
  check(unverified === '', `every agent is verified again (${seconds(since)})`, unverified);
  const epochs = (await server.list('/api/swarms')).every((swarm) => swarm.epoch > inventoryBefore.get(swarm.id).swarm.epoch);
  check(epochs, 'every epoch has risen');
  await server.kill();
}

/** Creates, spawns and deletes until the server is gone; keeps what was confirmed. */
async function disturb(server, random, round, known) {
  const lane = async (which) => {
    for (let n = 0; ; n += 1) {
      const body = { name: `round ${round} lane ${which} ${n}`, topology: TOPOLOGIES[n % 4] };
      const made = await server.call('POST', '/api/swarms', body);
      if (made.status === 0) return;
      if (made.status !== 201) continue;
      const { id } = made.json;
      known.agents.set(id, new Map());
      for (let agent = 0; agent < 4; agent += 1) {
        const spawned = await server.call('POST', `/api/swarms/${id}/agents/spawn`, spawnBody(agent));
        if (spawned.status === 0) return;
        if (spawned.status === 201) known.agents.get(id).set(spawned.json.id, spawned.json.slot);
      }
      if (random() < 0.5) {
        known.deleting.add(id);
        const deleted = await server.call('DELETE', `/api/swarms/${id}`);
        if (deleted.status === 204) known.deleted.add(id);
      }
    }
  };
  const lanes = Promise.all([0, 1, 2, 3].map(lane));
  await pause(30 + random() * 700);
  await server.kill();
  await lanes;
}

function inconsistency(found, known) {
  for (const id of known.deleted) if (found.has(id)) return `swarm ${id} was deleted and is back`;
  for (const [id, agents] of known.agents) {
    const is = found.get(id);
    if (known.deleting.has(id)) continue;
    if (!is) return `swarm ${id} was confirmed and is gone`;
    for (const [agent, slot] of agents) {
      if (is.agents.find((a) => a.id === agent)?.slot !== slot) return `agent ${agent} of ${id} was confirmed in slot ${slot} and is not there`;
    }
  }
  for (const [id, { agents }] of found) {
    if (new Set(agents.map((a) => a.slot)).size !== agents.length) return `two agents of ${id} share a slot`;
  }
  return '';
}

async function killedAtRandomMoments() {
  const random = numbers(seed);
  const server = await Server.prepare();
  const known = { agents: new Map(), deleting: new Set(), deleted: new Set() };
  server.start();
  await until(20_000, async () => (server.signIn(), true));
  for (let round = 0; round < KILLS; round += 1) {
    if (!(await server.up())) return check(false, `round ${round}: the server starts`, server.log());
    await disturb(server, random, round, known);
    server.start();
    if (!(await server.up())) return check(false, `round ${round}: the server starts again`, server.log());
    const wrong = inconsistency(await inventory(server), known);
    check(wrong === '', `killed during creation, round ${round + 1} of ${KILLS}: what was confirmed is there, once`, wrong);
  }
  let pending;
  const settled = await until(30_000, async () => {
    const found = [...(await inventory(server)).values()];
    pending = found.find(({ swarm, agents }) => swarm.status !== 'active' || agents.some((agent) => agent.stage !== 'verified'));
    return pending === undefined;
  });
  check(settled, `after ${KILLS} kills every swarm becomes active and every agent verified`, pending);
  const wrong = inconsistency(await inventory(server), known);
  check(wrong === '', 'and still nothing is lost or double', wrong);
  await server.kill();
}

process.on('exit', () => {
  running?.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

console.log(`# seed ${seed}`);
try {
  await everythingComesBack();
  await killedAtRandomMoments();
} catch (error) {
  check(false, 'the test itself', error.stack);
}
process.exit(failed ? 1 : 0);
