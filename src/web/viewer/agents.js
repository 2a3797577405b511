// The spawn form, the table of agents (the picture in words, for screen readers and keyboards too) and the card of the chosen one.

import { byId, el, icon, reconcile, setData, setText, svg } from './dom.js';
import { handle } from './forms.js';
import { colourOf, STALE_COLOUR, stateWords, TYPES } from './palette.js';

/** `hooks`: `select(slot | null)`, `taskOf(id)` in words, `spawn(body)` and `end(agent)` which give promises. */
export function createAgentPanel(hooks) {
  const rows = byId('agent-rows');
  const form = byId('spawn-form');
  let may = false;
  for (const type of Object.keys(TYPES)) form.elements.type.append(el('option', { text: type, selected: type === 'coder' }));

  handle(form, async (data) => {
    const count = Number(data.get('count'));
    if (!Number.isInteger(count) || count < 1 || count > 25) return 'Spawn 1 to 25 agents at a time.';
    const name = data.get('name').trim();
    const capabilities = data
      .get('capabilities')
      .split(',')
      .map((word) => word.trim())
      .filter(Boolean);
    for (let n = 1; n <= count; n++) {
      const body = { type: data.get('type'), capabilities };
      if (name !== '') body.name = count === 1 ? name : `${name}-${n}`;
      try {
        await hooks.spawn(body);
      } catch (error) {
        return count === 1 ? error.message : `${n - 1} of ${count} were spawned, then: ${error.message}`;
      }
    }
    form.elements.name.value = '';
    return null;
  });

  function create(agent) {
    return el(
      'tr',
      {
        on: {
          click: (event) => {
            if (!event.target.closest('.end')) hooks.select(agent.slot);
          },
        },
      },
      el(
        'td',
        {},
        el(
          'button',
          { type: 'button', class: 'agent' },
          swatch(),
          el('span', { class: 'agent-name' }),
          el('span', { class: 'agent-type' }),
        ),
      ),
      el('td', {}, el('span', { class: 'state' })),
      el('td', {}, el('button', { type: 'button', class: 'quiet square end' }, icon('icon-close'))),
    );
  }

  function update(row, agent, selected) {
    const [dot, name, type] = row.cells[0].firstElementChild.children;
    paint(dot, agent);
    setText(name, agent.name);
    setText(type, agent.type);
    const state = row.cells[1].firstElementChild;
    setText(state, stateWords(agent));
    setData(state, 'state', agent.stale ? 'stale' : agent.state);
    setData(state, 'stage', agent.stage ?? '');
    const end = row.cells[2].firstElementChild;
    end.hidden = !may;
    end.disabled = agent.state === 'terminating';
    end.title = `End ${agent.name}`;
    end.setAttribute('aria-label', `End ${agent.name}`);
    end.onclick = () => hooks.end(agent);
    row.setAttribute('aria-selected', String(agent.slot === selected));
    setData(row, 'selected', String(agent.slot === selected));
  }

  /** Shows the agents in the order of joining; `mayChange` decides on the buttons that end one. */
  function show(agents, selected, mayChange) {
    may = mayChange;
    reconcile(
      rows,
      agents,
      (agent) => agent.id,
      create,
      (row, agent) => update(row, agent, selected),
    );
    byId('agents-empty').hidden = agents.length > 0;
    for (const id of ['agent-total', 'tab-agents']) setText(byId(id), agents.length === 0 ? '' : String(agents.length));
    card(agents.find((agent) => agent.slot === selected) ?? null);
  }

  /** Brings the chosen agent's row into sight. */
  function reveal(agentId) {
    const row = [...rows.children].find((child) => child.dataset.key === agentId);
    row?.scrollIntoView({ block: 'nearest' });
  }

  function card(agent) {
    const box = byId('details');
    box.hidden = agent === null;
    if (agent === null) {
      box.replaceChildren();
      delete box.dataset.agent;
      return;
    }
    if (box.dataset.agent !== agent.id) {
      box.dataset.agent = agent.id;
      const close = el(
        'button',
        { type: 'button', class: 'quiet square', 'aria-label': 'Close the details', on: { click: () => hooks.select(null) } },
        icon('icon-close'),
      );
      box.replaceChildren(el('header', {}, swatch(), el('h3', { id: 'details-name' }), close), el('dl', {}));
    }
    paint(box.firstElementChild.firstElementChild, agent);
    setText(byId('details-name'), agent.name);
    reconcile(
      box.lastElementChild,
      facts(agent, hooks.taskOf),
      ([word]) => word,
      ([word]) => el('div', {}, el('dt', { text: word }), el('dd')),
      (row, [, value]) => setText(row.lastElementChild, value),
    );
  }

  return { show, reveal };
}

function swatch() {
  return svg('svg', { viewBox: '0 0 12 12', class: 'swatch', 'aria-hidden': 'true' }, svg('circle', { cx: 6, cy: 6, r: 5 }));
}

function paint(dot, agent) {
  dot.firstElementChild.setAttribute('fill', agent.stale ? STALE_COLOUR : colourOf(agent.type));
}

/** What is known of an agent, as pairs of words; what nobody said is "not known", never zero. */
function facts(agent, taskOf) {
  const list = [
    ['type', agent.type],
    ['state', stateWords(agent)],
    ['last command', agent.stage ?? 'not known'],
    ['seen', seen(agent.observed_at, agent.source)],
    ['task', agent.current_task ? taskOf(agent.current_task) : 'none that is known'],
    ['health', share(agent.health)],
    ['workload', share(agent.workload)],
    ['success rate', share(agent.success_rate)],
    ['tasks done', agent.tasks_completed ?? 'not known'],
    ['tokens used', agent.tokens_used ?? 'not known'],
  ];
  if (agent.capabilities?.length) list.push(['capabilities', agent.capabilities.join(', ')]);
  list.push(['id', agent.id]);
  return list.map(([word, value]) => [word, String(value)]);
}

function share(value) {
  return typeof value === 'number' ? `${Math.round(value * 100)} %` : 'not known';
}

function seen(at, source) {
  if (!at) return 'never yet';
  const time = new Date(at).toLocaleTimeString();
  return source === 'db' ? `${time}, before the server’s last start` : time;
}
