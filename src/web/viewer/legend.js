// The legend: which colour is which type, which mark is which state. Built from the same table that the scene draws from.

import { el, svg } from './dom.js';
import { STALE_COLOUR, STATES, TYPES } from './palette.js';

const PLAIN = '#9fb3d1';

/** Fills the legend. */
export function fillLegend(box) {
  const types = Object.entries(TYPES).map(([type, colour]) => entry(mark({ fill: colour }), type));
  const states = Object.entries(STATES)
    .filter(([state]) => state !== 'offline')
    .map(([state, { text }]) => entry(stateMark(state), state, text));
  states.push(entry(mark({ fill: STALE_COLOUR }), 'stale', 'No news for a while: the last known state may no longer hold'));
  states.push(
    entry(
      mark({ fill: PLAIN, ring: '#ffbf4d', dash: '2.6 2.1' }),
      'unverified',
      'The runtime said that it is done, but it was not seen',
    ),
  );
  box.replaceChildren(
    el('h3', { text: 'Types' }),
    el('ul', {}, ...types),
    el('h3', { text: 'States' }),
    el('ul', {}, ...states),
  );
}

function entry(picture, word, meaning) {
  return el(
    'li',
    { title: meaning },
    picture,
    el('span', { text: word }),
    ...(meaning ? [el('span', { class: 'hidden-text', text: `: ${meaning}` })] : []),
  );
}

function stateMark(state) {
  return {
    initializing: mark({ stroke: PLAIN, width: 1.8 }),
    idle: mark({ fill: '#7486a3' }),
    busy: mark({ fill: PLAIN, halo: 0.42 }),
    active: mark({ fill: PLAIN, halo: 0.2 }),
    error: mark({ fill: '#c98d97', ring: '#ff5257' }),
    terminating: mark({ stroke: PLAIN, width: 0.9 }),
  }[state];
}

function mark({ fill = 'none', stroke = 'none', width = 0, ring, dash, halo }) {
  const box = svg('svg', { viewBox: '0 0 20 20', class: 'mark', 'aria-hidden': 'true' });
  if (halo) box.append(svg('circle', { cx: 10, cy: 10, r: 9, fill: PLAIN, opacity: halo }));
  box.append(svg('circle', { cx: 10, cy: 10, r: 5.2, fill, stroke, 'stroke-width': width }));
  if (ring)
    box.append(
      svg('circle', {
        cx: 10,
        cy: 10,
        r: 7.8,
        fill: 'none',
        stroke: ring,
        'stroke-width': 1.5,
        ...(dash && { 'stroke-dasharray': dash }),
      }),
    );
  return box;
}
