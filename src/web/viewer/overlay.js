// The words over the picture: the title of the chosen swarm, and what to do next where there is nothing to see.

import { byId, setData, setText } from './dom.js';
import { say } from './forms.js';
import { agentsOf } from './swarms.js';

/** Shows what the chosen swarm is and how it fares; `count` is how many agents are known, null while that is not known. */
export function showTitle(swarm, count) {
  setText(byId('title-name'), swarm.name);
  setText(byId('title-status'), swarm.status);
  setData(byId('title-status'), 'status', swarm.status);
  setText(byId('title-facts'), `${swarm.topology} · ${agentsOf(count === null ? swarm : { ...swarm, agent_count: count })}`);
  say(byId('title-reason'), swarm.reason ?? null);
}

/** Shows `words` of `emptyWords` in the middle of the picture, or nothing for null; `go` opens a panel at a field, or is null. */
export function showEmpty(words, go) {
  byId('empty').hidden = words === null;
  if (words === null) return;
  setText(byId('empty-heading'), words.heading);
  setText(byId('empty-text'), words.text ?? '');
  const button = byId('empty-action');
  button.hidden = !words.action || go === null;
  setText(button, words.action ?? '');
  button.onclick = () => go(words.tab, words.field);
}

/**
 * What to say where there is no picture, and what to do next: `swarms` is null while they are not known, `swarm` the chosen one or
 * null, `count` the agents or null while not known, `framed` whether positions have come.
 */
export function emptyWords({ swarms, swarm, count, framed }) {
  if (swarms === null) return { heading: 'Reading your swarms…' };
  if (!swarm) {
    return {
      heading: 'Create your first swarm',
      text: 'A swarm is a group of agents that work together. Give it a name, choose how its agents are linked, then spawn some.',
      action: 'Name a swarm',
      tab: 'swarms',
      field: 'create-name',
    };
  }
  if (count === null) return { heading: 'Opening the swarm…' };
  if (count === 0) {
    return {
      heading: 'No agents yet',
      text: 'Spawn a coordinator and a few coders, and watch them find their places.',
      action: 'Choose an agent',
      tab: 'agents',
      field: 'spawn-type',
    };
  }
  return framed ? null : { heading: 'Waiting for the first positions…' };
}
