// What each agent type and state looks like: one table for the scene, the legend and the lists. Pure data.

/** Agent types with their colours, the leaders first. */
export const TYPES = Object.freeze({
  queen: '#ffd166',
  coordinator: '#ff9a62',
  researcher: '#5cc8ff',
  coder: '#6ee7a8',
  analyst: '#9aa8ff',
  architect: '#cf9bff',
  tester: '#ff8fb3',
  reviewer: '#45d3c4',
  optimizer: '#c3de58',
  documenter: '#e9c7a0',
  monitor: '#5a8dff',
  specialist: '#e56bd9',
});

/** The colour of a type that this page does not know. */
export const UNKNOWN_COLOUR = '#93a1b5';
/** The colour of an agent of which nothing was heard for a while. */
export const STALE_COLOUR = '#5d6878';

/** Agent states: the number that the shader knows, and what they mean. */
export const STATES = Object.freeze({
  initializing: { code: 0, text: 'Asked for, not yet seen' },
  idle: { code: 1, text: 'Waits for work' },
  busy: { code: 2, text: 'Works on a task' },
  active: { code: 3, text: 'Runs, with nothing more said' },
  error: { code: 4, text: 'Says that it failed' },
  terminating: { code: 5, text: 'Told to end, not yet seen gone' },
  offline: { code: 6, text: 'No longer there' },
});
/** The code of a state that this page does not know: drawn as initializing, a mere outline. */
export const UNKNOWN_STATE = 0;

/** Bits of an agent's flags in the scene. */
export const FLAG = Object.freeze({ stale: 1, unverified: 2, selected: 4, hovered: 8 });

/** The CSS colour of a type. */
export function colourOf(type) {
  return Object.hasOwn(TYPES, type) ? TYPES[type] : UNKNOWN_COLOUR;
}

/** The shader's number of a state. */
export function stateCode(state) {
  return Object.hasOwn(STATES, state) ? STATES[state].code : UNKNOWN_STATE;
}

/** `#rrggbb` as three bytes. */
export function rgb(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** The size of an agent relative to an ordinary one: leaders are larger. */
export function sizeOf(type) {
  if (type === 'queen') return 1.6;
  return type === 'coordinator' ? 1.35 : 1;
}

/** The state as people should read it: a stale one is never shown as if it were current. */
export function stateWords(agent) {
  if (agent.stale) return `stale (was ${agent.state})`;
  if (agent.stage === 'unverified') return `${agent.state}, unverified`;
  return agent.state;
}
