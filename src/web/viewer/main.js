// Wires the page: signs in, keeps what is known of the swarms, and hands it to the scene and the panels. Holds no drawing and
// no protocol of its own.

import { createAgentPanel } from './agents.js';
import { Api } from './api.js';
import { byId, setData, setText } from './dom.js';
import { permit, say } from './forms.js';
import { fillLegend } from './legend.js';
import { Live } from './live.js';
import { confirmed, notice } from './notices.js';
import { emptyWords, showEmpty, showTitle } from './overlay.js';
import { Readout } from './readout.js';
import { mergeAgents } from './roster.js';
import { Scene } from './scene.js';
import * as session from './session.js';
import { createSwarmPanel } from './swarms.js';
import { createTaskPanel } from './tasks.js';

/** Pace of the polls until the server names its own, and its bounds, ms. */
const POLL_MS = 1000;
const POLL_MS_MIN = 500;
const POLL_MS_MAX = 10_000;
/** Every so many polls the slower lists are read: swarms, and links of a roster that did not change. */
const SWARMS_EVERY = 3;
const LINKS_EVERY = 10;

const state = {
  me: null,
  swarms: null, // null: not known yet
  selectedId: null,
  metadata: null,
  roster: null, // { entries: Map(slot → entry), at }
  listed: null, // { agents: [], at }
  agents: [],
  tasks: [],
  slot: null,
  linksStale: true,
  framed: false,
  deleting: new Set(), // ids of swarms that this page asked to delete
};

const readout = new Readout();

const api = new Api({
  token: session.token,
  refused: (words) => leave(state.me ? `You were signed out: ${words}` : `The token was refused: ${words}`),
});

const live = new Live(api, {
  words: (kind, text) => {
    setText(byId('connection-text'), text);
    setData(byId('connection'), 'kind', kind);
  },
  roster: (entries) => {
    state.roster = { entries: new Map(entries), at: performance.now() };
    state.linksStale = true;
    showAgents();
    pollSoon();
  },
  frame: (slots, positions) => {
    const now = performance.now();
    readout.received.add(now);
    scene.push(slots, positions, now);
    if (!state.framed) {
      state.framed = true;
      showStage();
    }
  },
  metadata: (message) => {
    state.metadata = message;
    showStage();
  },
  gone: (reason) => {
    // a deletion from this page says so itself
    if (reason !== 'deleted') notice('warning', 'The swarm may no longer be watched.');
    else if (!state.deleting.has(state.selectedId)) notice('info', `“${chosen()?.name ?? 'The swarm'}” was deleted.`);
    choose(null);
    pollSoon();
  },
  notice,
  refused: (words) => leave(words),
  happened: () => pollSoon(),
});

const scene = new Scene(byId('canvas'), byId('labels'), {
  select: (slot) => select(slot, true),
  drawn: (now) => readout.drawn.add(now),
});

const swarmPanel = createSwarmPanel({
  choose: (id) => {
    choose(id);
    showTab('agents');
  },
  create: async (body) => {
    const made = await api.createSwarm(body);
    await readSwarms();
    if (made?.id) choose(made.id);
    showTab('agents');
  },
});

const agentPanel = createAgentPanel({
  taskOf: (id) => state.tasks.find((task) => task.id === id || task.runtime_id === id)?.description ?? id,
  select: (slot) => select(slot, false),
  spawn: async (body) => {
    await api.spawn(state.selectedId, body);
    pollSoon();
  },
  end: async (agent) => {
    if (!(await confirmed(`End ${agent.name}?`, 'The agent stops working and leaves the swarm.', 'End agent'))) return;
    await attempt(() => api.endAgent(state.selectedId, agent.id));
  },
});

const taskPanel = createTaskPanel({
  give: async (body) => {
    await api.giveTask(state.selectedId, body);
    pollSoon();
  },
  nameOf: (id) => state.agents.find((agent) => agent.id === id)?.name ?? id,
});

// ---- signing in and out

async function enter() {
  document.body.dataset.view = 'starting';
  live.hooks.words('busy', 'Signing in…');
  try {
    state.me = await api.me();
  } catch (error) {
    if (error.status === 401) return; // `refused` has shown the form
    if (error.status !== 0) return leave(error.message);
    live.hooks.words('bad', `${error.message} Trying again…`);
    setTimeout(enter, 2000);
    return;
  }
  document.body.dataset.view = 'app';
  scene.resize();
  showWho();
  live.start();
  const wanted = /^#swarm=([\w-]+)$/.exec(location.hash)?.[1] ?? null;
  await poll();
  if (state.swarms?.some((swarm) => swarm.id === wanted)) choose(wanted);
}

/** Ends the session in this tab and shows the form with the reason. */
function leave(reason) {
  session.forget();
  live.watch(null);
  live.stop();
  choose(null);
  Object.assign(state, { me: null, swarms: null });
  document.body.dataset.view = 'signin';
  say(byId('signin-reason'), reason);
  setText(byId('who'), '');
  byId('signin-token').focus();
}

byId('signin-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = byId('signin-token');
  const wrong = session.complaint(field.value);
  say(byId('signin-reason'), wrong);
  if (wrong !== null) return;
  session.keep(session.fromLink(field.value));
  field.value = '';
  enter();
});

byId('sign-out').addEventListener('click', () => leave(null));

addEventListener('hashchange', () => {
  if (session.takeFromAddress()) location.reload();
});

function showWho() {
  if (!state.me) return;
  const left = state.me.expires_at ? session.timeLeft(state.me.expires_at) : null;
  setText(byId('who'), [`${state.me.subject} (${state.me.role})`, left].filter(Boolean).join(' · '));
}

// ---- reading what the server knows

let polling = false;
let pollTimer = null;
let polls = 0;

function schedule(ms) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, ms);
}

/** Reads again shortly: something changed. */
function pollSoon() {
  if (state.me && !polling) schedule(120);
}

async function poll() {
  if (polling || !state.me) return;
  polling = true;
  try {
    if (!document.hidden) {
      polls++;
      if (polls % SWARMS_EVERY === 1 || state.swarms === null) await readSwarms();
      if (state.selectedId !== null) await readSwarm(state.selectedId);
    }
  } catch (error) {
    if (error.status === 404) polls = 0; // the swarm is gone: read the list next
    // a lost connection already shows at the top; anything else is news
    if (error.status !== 0 && error.status !== 401 && error.status !== 404) notice('error', error.message);
  } finally {
    polling = false;
  }
  if (state.me) schedule(Math.min(POLL_MS_MAX, Math.max(POLL_MS_MIN, live.pollMs ?? POLL_MS)));
}

async function readSwarms() {
  const swarms = await api.swarms();
  if (!state.me) return;
  state.swarms = swarms.filter((swarm) => swarm.status !== 'deleting');
  if (!state.swarms.some((swarm) => swarm.id === state.selectedId)) {
    if (state.selectedId !== null && !state.deleting.has(state.selectedId))
      notice('info', 'The chosen swarm is no longer there.');
    choose(state.swarms[0]?.id ?? null);
  }
  showSwarms();
  showStage();
}

async function readSwarm(id) {
  const at = performance.now();
  const linksDue = state.linksStale || polls % LINKS_EVERY === 1;
  if (linksDue) state.linksStale = false;
  const [agents, tasks, links] = await Promise.all([api.agents(id), api.tasks(id), linksDue ? api.links(id) : null]);
  if (id !== state.selectedId) return;
  state.listed = { agents, at };
  state.tasks = tasks;
  if (links !== null) scene.setLinks(links);
  showAgents();
  taskPanel.show(tasks);
}

// ---- choosing

function choose(id) {
  if (id === state.selectedId) return;
  Object.assign(state, {
    selectedId: id,
    metadata: null,
    roster: null,
    listed: null,
    agents: [],
    tasks: [],
    slot: null,
    linksStale: true,
    framed: false,
  });
  readout.clear(live.bytes);
  scene.clear();
  live.watch(id);
  if (!location.hash.startsWith('#token='))
    history.replaceState(null, '', id === null ? location.pathname + location.search : `#swarm=${id}`);
  showSwarms();
  showAgents();
  taskPanel.show([]);
  pollSoon();
}

function select(slot, fromPicture) {
  state.slot = slot;
  scene.select(slot);
  showAgents();
  const agent = state.agents.find((one) => one.slot === slot);
  if (agent && fromPicture) agentPanel.reveal(agent.id);
}

// ---- showing

function mayChange() {
  return state.me !== null && state.me.role !== 'viewer';
}

function chosen() {
  return state.swarms?.find((swarm) => swarm.id === state.selectedId) ?? null;
}

function showSwarms() {
  swarmPanel.show(state.swarms, state.selectedId);
}

function showAgents() {
  state.agents = mergeAgents(state.roster, state.listed);
  scene.setAgents(new Map(state.agents.map((agent) => [agent.slot, agent])));
  agentPanel.show(state.agents, state.slot, mayChange());
  showStage();
  makeRoom();
}

/** The swarm of the list with what the socket said of it, whichever is of the later version. */
function newest(swarm) {
  if (!swarm || !state.metadata || state.metadata.version < swarm.version) return swarm;
  return { ...swarm, ...state.metadata };
}

function showStage() {
  const swarm = newest(chosen());
  const count = state.roster === null && state.listed === null ? null : state.agents.length;
  for (const id of ['title', 'tools', 'meters', 'legend']) byId(id).hidden = !swarm;
  byId('delete-swarm').hidden = !mayChange();
  const lookOnly = mayChange() ? null : 'A viewer’s token may only look; changes need an operator’s.';
  permit(byId('create-form'), lookOnly);
  for (const id of ['spawn-form', 'task-form'])
    permit(byId(id), lookOnly ?? (swarm ? null : 'Choose or create a swarm first.'));
  const go = (tab, field) => {
    showTab(tab);
    byId(field).focus();
  };
  showEmpty(emptyWords({ swarms: state.swarms, swarm, count, framed: state.framed }), mayChange() ? go : null);
  if (swarm) showTitle(swarm, count);
}

/** Keeps the swarm clear of the cards on the right, where there is room for both. */
function makeRoom() {
  const stage = byId('stage');
  const covered = [byId('legend'), byId('details')].some((box) => !box.hidden && (box.id !== 'legend' || box.open));
  scene.setInset(covered && stage.clientWidth > 640 ? 262 : 0);
}

function showReadout() {
  const open = live.client.state === 'open';
  const note = (received) => (open ? (received === 0 && state.framed ? 'at rest' : '') : 'not live');
  readout.show(performance.now(), live.bytes, note);
}

function showTab(tab) {
  document.body.dataset.tab = tab;
  for (const button of byId('tabs').children) button.setAttribute('aria-pressed', String(button.dataset.tab === tab));
}

/** Runs a change that has no form of its own; its failure becomes a notice. */
async function attempt(change) {
  try {
    await change();
    return true;
  } catch (error) {
    notice('error', error.message);
    return false;
  } finally {
    pollSoon();
  }
}

byId('tabs').addEventListener('click', (event) => {
  const tab = event.target.closest('button')?.dataset.tab;
  if (tab) showTab(tab);
});
byId('tool-fit').addEventListener('click', () => scene.fit());
byId('tool-names').addEventListener('click', (event) => {
  const on = event.currentTarget.getAttribute('aria-pressed') !== 'true';
  event.currentTarget.setAttribute('aria-pressed', String(on));
  scene.showNames(on);
});
byId('delete-swarm').addEventListener('click', async () => {
  const swarm = chosen();
  if (!swarm) return;
  const text = `Its ${state.agents.length} agents are ended and its tasks are dropped. This can’t be undone.`;
  if (!(await confirmed(`Delete “${swarm.name}”?`, text, 'Delete swarm'))) return;
  state.deleting.add(swarm.id);
  if (await attempt(() => api.deleteSwarm(swarm.id))) {
    state.swarms = state.swarms?.filter((one) => one.id !== swarm.id) ?? null;
    if (state.selectedId === swarm.id) choose(state.swarms?.[0]?.id ?? null);
    notice('info', `“${swarm.name}” was deleted.`);
  } else {
    state.deleting.delete(swarm.id);
  }
});

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) pollSoon();
});
setInterval(showReadout, 500);
setInterval(showWho, 20_000);
fillLegend(byId('legend-body'));
const roomy = matchMedia('(min-width: 1100px) and (min-height: 760px)');
byId('legend').open = roomy.matches;
roomy.addEventListener('change', () => {
  byId('legend').open = roomy.matches;
});
byId('legend').addEventListener('toggle', makeRoom);
addEventListener('resize', makeRoom);
showTab(matchMedia('(max-width: 860px)').matches ? 'swarms' : 'agents');

// for support and tests: what the page draws at this moment, from the console
globalThis.visionflow = Object.freeze({
  snapshot: () => ({
    ...scene.snapshot(),
    swarm: state.selectedId,
    agents: state.agents.length,
    connection: live.client.state,
    received: readout.received.rate(performance.now()),
    drawn: readout.drawn.rate(performance.now()),
    bytes: live.bytes,
    refused: live.client.framesRefused,
  }),
});

session.takeFromAddress();
if (session.token()) enter();
else leave(null);
