// The list of swarms and the form that creates one.

import { byId, el, icon, reconcile, setData, setText } from './dom.js';
import { handle } from './forms.js';

const TOPOLOGIES = ['mesh', 'hierarchical', 'ring', 'star'];

/** `hooks`: `choose(id)`, `create({name, topology, max_agents?})` which gives a promise. */
export function createSwarmPanel(hooks) {
  const list = byId('swarm-list');
  const form = byId('create-form');

  handle(form, async (data) => {
    const body = { name: data.get('name').trim(), topology: data.get('topology') };
    if (body.name === '') return 'Give the swarm a name.';
    if (data.get('max_agents') !== '') body.max_agents = Number(data.get('max_agents'));
    await hooks.create(body);
    form.reset();
    return null;
  });

  function create(swarm) {
    const button = el(
      'button',
      { type: 'button', class: 'swarm', on: { click: () => hooks.choose(swarm.id) } },
      icon(TOPOLOGIES.includes(swarm.topology) ? `topology-${swarm.topology}` : 'topology-mesh'),
      el('span', { class: 'swarm-name' }),
      el('span', { class: 'swarm-facts' }),
      el('span', { class: 'pill' }),
    );
    return el('li', {}, button);
  }

  function update(item, swarm, selectedId) {
    const [button] = item.children;
    const [, name, facts, status] = button.children;
    setText(name, swarm.name);
    setText(facts, `${swarm.topology} · ${agentsOf(swarm)}`);
    setText(status, swarm.status);
    setData(status, 'status', swarm.status);
    if (swarm.id === selectedId) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }

  /** Shows the swarms (null while they are not known yet) and marks the chosen one. */
  function show(swarms, selectedId) {
    reconcile(
      list,
      swarms ?? [],
      (swarm) => swarm.id,
      create,
      (item, swarm) => update(item, swarm, selectedId),
    );
    byId('swarms-empty').hidden = swarms === null || swarms.length > 0;
    setText(byId('swarm-total'), swarms === null ? '' : String(swarms.length));
  }

  return { show };
}

/** How many agents a swarm has and may have, in words; what the server did not say is left out. */
export function agentsOf(swarm) {
  const { agent_count: count, max_agents: max } = swarm;
  if (count === null || count === undefined) return `at most ${max} agents`;
  return `${count} of ${max} agents`;
}
