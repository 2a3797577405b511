// Draws nodes and links with Canvas 2D where there is no WebGL2: the same picture with plainer light.

import { project } from './camera.js';
import { FLAG, STALE_COLOUR, STATES } from './palette.js';
import { LOOK_BYTES } from './gl.js';

/** Links drawn at most; a browser without a GPU should not be brought to its knees by a mesh. */
const LINKS_MAX = 6000;

/** Gives a renderer, or null where there is no Canvas 2D either. */
export function createFlatRenderer(canvas) {
  const context = canvas.getContext('2d');
  if (!context) return null;
  let looks = new Uint8Array(0);
  let count = 0;
  let links = { indices: new Uint32Array(0), structural: 0, strength: 0.4 };
  let points = new Float32Array(0);

  function setNodes(newLooks, nodes) {
    looks = newLooks;
    count = nodes;
    points = new Float32Array(nodes * 3);
  }

  function setLinks(indices, structural, strength) {
    links = { indices, structural, strength };
  }

  function draw(positions, view) {
    const { width, height } = canvas;
    context.clearRect(0, 0, width, height);
    const point = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      const seen = project(view.matrix, positions[i * 3], positions[i * 3 + 1], positions[i * 3 + 2], width, height, point);
      points.set(seen ? point : [0, 0, -1], i * 3);
    }
    drawLinks(view.ratio);
    const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => points[b * 3 + 2] - points[a * 3 + 2]);
    for (const node of order) if (points[node * 3 + 2] > 0) drawNode(node, view);
  }

  function drawLinks(ratio) {
    const stroke = (from, to, style) => {
      context.strokeStyle = style;
      context.lineWidth = ratio;
      context.beginPath();
      for (let i = from; i < Math.min(to, LINKS_MAX * 2); i += 2) {
        const [a, b] = [links.indices[i] * 3, links.indices[i + 1] * 3];
        if (points[a + 2] <= 0 || points[b + 2] <= 0) continue;
        context.moveTo(points[a], points[a + 1]);
        context.lineTo(points[b], points[b + 1]);
      }
      context.stroke();
    };
    stroke(0, links.structural, `rgba(140,168,217,${links.strength})`);
    stroke(links.structural, links.indices.length, 'rgba(190,210,245,0.85)');
  }

  function drawNode(node, view) {
    const [r, g, b, state, flags, size] = looks.subarray(node * LOOK_BYTES, node * LOOK_BYTES + 6);
    const [x, y, depth] = points.subarray(node * 3, node * 3 + 3);
    const plain = Math.min(view.radiusMax, Math.max(view.radiusMin, (view.pixelsPerUnit * view.nodeRadius) / depth));
    const radius = (plain * size) / 32;
    const circle = (at, width, style, dashes = []) => {
      context.beginPath();
      context.arc(x, y, at, 0, 2 * Math.PI);
      context.setLineDash(dashes);
      context.lineWidth = width;
      context.strokeStyle = style;
      context.stroke();
      context.setLineDash([]);
    };
    const colour = flags & FLAG.stale ? STALE_COLOUR : `rgb(${r},${g},${b})`;
    const works = state === STATES.busy.code || state === STATES.active.code;
    if (works && !(flags & FLAG.stale)) circle(radius * 1.5, radius * 0.5, `rgba(${r},${g},${b},${0.2 + 0.2 * view.beat})`);
    if (state === STATES.initializing.code || state === STATES.terminating.code) circle(radius * 0.85, radius * 0.25, colour);
    else {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fillStyle = colour;
      context.fill();
    }
    if (state === STATES.error.code && !(flags & FLAG.stale)) circle(radius * 1.36, radius * 0.18, '#ff5257');
    if (flags & FLAG.unverified) circle(radius * 1.36, radius * 0.14, '#ffbf4d', [radius * 0.5, radius * 0.5]);
    if (flags & (FLAG.selected | FLAG.hovered)) circle(radius * 1.72, radius * 0.12, '#ffffff');
  }

  return { kind: 'Canvas 2D', setNodes, setLinks, draw };
}
