// Turns mouse, touch and keyboard on the canvas into camera moves and choices. Holds no picture.

import { orbit, pan, zoom } from './camera.js';

/** Pixels that a press may move and still be a click. */
const CLICK_SLACK = 5;
const ORBIT_PER_PIXEL = 0.006;
const KEY_ORBIT = 0.12;
const KEY_PAN = 40;
const KEY_ZOOM = 0.85;

/**
 * Listens on `canvas`. `hooks`: `moved()` after the camera changed by hand, `hover(x, y)` or `hover(null)`, `click(x, y)`,
 * `fit()`, `step(±1)`, `clear()`; coordinates are CSS pixels from the canvas's top left.
 */
export function listen(canvas, camera, hooks) {
  const pointers = new Map();
  let travelled = 0;
  let spread = null;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 1) travelled = 0;
    spread = null;
  });

  canvas.addEventListener('pointermove', (event) => {
    const now = place(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== 'touch') hooks.hover(now.x, now.y);
      return;
    }
    pointers.set(event.pointerId, now);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    travelled += Math.abs(dx) + Math.abs(dy);
    if (travelled < CLICK_SLACK) return;
    if (pointers.size >= 2) pinch(dx, dy);
    else if (event.shiftKey || (event.buttons & 6) !== 0) pan(camera, dx, dy, canvas.clientHeight);
    else orbit(camera, -dx * ORBIT_PER_PIXEL, dy * ORBIT_PER_PIXEL);
    hooks.hover(null);
    hooks.moved();
  });

  function pinch(dx, dy) {
    const [a, b] = [...pointers.values()];
    const apart = Math.hypot(a.x - b.x, a.y - b.y);
    if (spread !== null && apart > 0) zoom(camera, spread / apart);
    spread = apart;
    // each of the two fingers reports its own half of a common move
    pan(camera, dx / 2, dy / 2, canvas.clientHeight);
  }

  const release = (event) => {
    const at = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    spread = null;
    if (at && event.type === 'pointerup' && travelled < CLICK_SLACK && pointers.size === 0) hooks.click(at.x, at.y);
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  canvas.addEventListener('pointerleave', () => hooks.hover(null));
  canvas.addEventListener('contextmenu', (event) => event.preventDefault());
  canvas.addEventListener('dblclick', () => hooks.fit());

  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      zoom(camera, Math.exp(Math.max(-120, Math.min(120, pixels)) * 0.0018));
      hooks.moved();
    },
    { passive: false },
  );

  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!press(event)) return;
    event.preventDefault();
  });

  function press(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (arrow) {
      const [x, y] = arrow;
      if (event.shiftKey) pan(camera, -x * KEY_PAN, -y * KEY_PAN, canvas.clientHeight);
      else orbit(camera, x * KEY_ORBIT, -y * KEY_ORBIT);
      hooks.moved();
      return true;
    }
    const keys = {
      '+': () => zoomed(KEY_ZOOM),
      '=': () => zoomed(KEY_ZOOM),
      '-': () => zoomed(1 / KEY_ZOOM),
      f: hooks.fit,
      F: hooks.fit,
      Home: hooks.fit,
      n: () => hooks.step(1),
      N: () => hooks.step(1),
      p: () => hooks.step(-1),
      P: () => hooks.step(-1),
      Escape: hooks.clear,
    };
    keys[event.key]?.();
    return Object.hasOwn(keys, event.key);
  }

  function zoomed(factor) {
    zoom(camera, factor);
    hooks.moved();
  }
}
