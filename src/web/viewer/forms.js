// What all forms of the page share: sending once, saying what went wrong beside the form, and being off for those who may
// only look.

import { setText } from './dom.js';

/**
 * Runs `send(FormData)` on submit, with the button off meanwhile. `send` gives null, or a complaint in words; what it throws is
 * shown by its message.
 */
export function handle(form, send) {
  const button = form.querySelector('button[type=submit]');
  const problem = form.querySelector('.problem');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    form.setAttribute('aria-busy', 'true');
    say(problem, null);
    try {
      say(problem, await send(new FormData(form)));
    } catch (error) {
      say(problem, error.message);
    } finally {
      button.disabled = form.dataset.off === 'true';
      form.removeAttribute('aria-busy');
    }
  });
}

/** Shows a complaint, or hides the line. */
export function say(line, words) {
  line.hidden = words === null;
  setText(line, words ?? '');
}

/** Switches a form off with the reason as its tooltip, or on again with null. */
export function permit(form, reason) {
  const off = reason !== null;
  if (form.dataset.off === String(off)) return;
  form.dataset.off = String(off);
  form.title = reason ?? '';
  for (const control of form.elements) control.disabled = off;
}
