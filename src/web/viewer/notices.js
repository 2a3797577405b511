// What the page says in passing, and what it asks before something is lost.

import { byId, el, setText } from './dom.js';

const NOTICE_MS = 8000;
const NOTICES_MAX = 4;

/** Shows a passing message; errors stay until they are clicked away or pushed out. */
export function notice(level, text) {
  const box = byId('notices');
  if ([...box.children].some((child) => child.firstChild.textContent === text)) return;
  const item = el(
    'div',
    { class: 'notice' },
    el('span', { text }),
    el('button', { type: 'button', class: 'quiet square', 'aria-label': 'Dismiss', text: '×' }),
  );
  item.dataset.level = level;
  item.lastChild.addEventListener('click', () => item.remove());
  box.append(item);
  while (box.children.length > NOTICES_MAX) box.firstElementChild.remove();
  if (level !== 'error') setTimeout(() => item.remove(), NOTICE_MS);
}

/** Asks a question with one way out that does something; gives true when the user took that. */
export function confirmed(heading, text, action) {
  const dialog = byId('confirm');
  setText(byId('confirm-heading'), heading);
  setText(byId('confirm-text'), text);
  setText(byId('confirm-yes'), action);
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

byId('confirm-yes').addEventListener('click', () => byId('confirm').close('yes'));
byId('confirm-no').addEventListener('click', () => byId('confirm').close('no'));
