// The live picture: takes rosters, links and frames, keeps the camera, and draws when something changed. The renderers are in
// gl.js and flat.js, the moves in controls.js.

import { bounds, createCamera, ease, fitDistance, FOV, project, viewProjection } from './camera.js';
import { listen } from './controls.js';
import { el, reconcile, setText } from './dom.js';
import { createFlatRenderer } from './flat.js';
import { createGlRenderer, LOOK_BYTES } from './gl.js';
import { Interpolator } from './interpolate.js';
import { colourOf, FLAG, rgb, sizeOf, stateCode } from './palette.js';

/** A larger swarm shows only the names of the chosen and the hovered agent. */
const NAMES_MAX = 60;
/** CSS pixels around an agent's middle in which a pointer finds it at least, and beyond the edge of a large one. */
const PICK_PX = 18;
const PICK_MARGIN_PX = 4;
/** How fast the camera follows a swarm that grows, ms for half of the way. */
const FOLLOW_MS = 260;
/** Period of the halo of busy agents, ms. */
const BEAT_MS = 1600;
const PIXEL_RATIO_MAX = 2;

export class Scene {
  /** `hooks`: `select(slot | null)` when the user chooses an agent in the picture, `drawn(now)` after each picture. */
  constructor(canvas, labels, hooks, calm = matchMedia('(prefers-reduced-motion: reduce)')) {
    Object.assign(this, { canvas, labels, hooks, calm });
    this.camera = createCamera();
    this.motion = new Interpolator();
    this.agents = new Map();
    this.links = [];
    this.ball = { centre: [0, 0, 0], radius: 1 };
    this.matrix = new Float32Array(16);
    this.selected = null;
    this.hovered = null;
    this.names = true;
    this.named = new Set();
    this.inset = 0; // CSS pixels on the right that something covers
    this.shift = 0;
    this.follow = true;
    this.snap = true;
    this.dirty = true;
    this.last = 0;
    this.makeRenderer();
    listen(canvas, this.camera, {
      moved: () => {
        this.follow = false;
        this.dirty = true;
      },
      hover: (x, y) => this.hover(x === null ? null : this.pick(x, y)),
      click: (x, y) => this.choose(this.pick(x, y)),
      fit: () => this.fit(),
      step: (by) => this.step(by),
      clear: () => this.choose(null),
    });
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    const loop = (now) => {
      this.frame(now);
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
  }

  makeRenderer() {
    // for support and tests: /?renderer=2d shows what a browser without WebGL2 gets
    const wantFlat = new URLSearchParams(location.search).get('renderer') === '2d';
    this.renderer = (wantFlat ? null : createGlRenderer(this.canvas)) ?? createFlatRenderer(this.canvas);
    this.canvas.addEventListener('webglcontextlost', (event) => {
      event.preventDefault();
      this.lost = true;
    });
    this.canvas.addEventListener('webglcontextrestored', () => {
      this.renderer = createGlRenderer(this.canvas);
      this.lost = false;
      this.rebuild();
    });
  }

  /** Empties the picture: another swarm follows. */
  clear() {
    this.motion.clear();
    this.agents = new Map();
    this.links = [];
    this.selected = null;
    this.hovered = null;
    this.follow = true;
    this.snap = true;
    this.rebuild();
  }

  /** Takes who the slots are: a map from slot to agent. */
  setAgents(agents) {
    this.agents = agents;
    this.updateLooks();
  }

  /** Takes the links: `{a, b, weight, kind}` with slots. */
  setLinks(links) {
    this.links = links;
    this.updateLinks();
  }

  /** Takes one frame: ascending slots, positions x, y, z per slot. */
  push(slots, positions, now) {
    if (this.motion.push(slots, positions, now)) this.rebuild();
    this.dirty = true;
  }

  /** Marks an agent as chosen; null for none. Does not call the hook: the caller knows. */
  select(slot) {
    if (this.selected === slot) return;
    this.selected = slot;
    this.updateLooks();
  }

  /** Shows all of the swarm, and follows it from now on. */
  fit() {
    this.follow = true;
    this.dirty = true;
  }

  /** Shows names beside agents, or only of the chosen and the hovered one. */
  showNames(on) {
    this.names = on;
    this.dirty = true;
  }

  /** Leaves out this many CSS pixels on the right when the swarm is fitted: a card covers them. */
  setInset(pixels) {
    if (this.inset === pixels) return;
    this.inset = pixels;
    this.dirty = true;
  }

  /** What is drawn now: for tests and support. */
  snapshot() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const point = [0, 0, 0];
    const { yaw, pitch, distance } = this.camera;
    return {
      renderer: this.renderer?.kind ?? null,
      slots: [...this.motion.slots],
      positions: [...this.motion.shown],
      // CSS pixels from the canvas's top left, null behind the eye
      screen: Array.from(this.motion.slots, (_, i) => (this.projectNode(i, width, height, point) ? point.slice(0, 2) : null)),
      camera: { yaw, pitch, distance },
      links: this.links.length,
      selected: this.selected,
    };
  }

  choose(slot) {
    this.select(slot);
    this.hooks.select(slot);
  }

  step(by) {
    const slots = [...this.motion.slots];
    if (slots.length === 0) return;
    const at = slots.indexOf(this.selected);
    this.choose(slots[at < 0 ? (by > 0 ? 0 : slots.length - 1) : (at + by + slots.length) % slots.length]);
  }

  hover(slot) {
    if (this.hovered === slot) return;
    this.hovered = slot;
    this.canvas.dataset.over = slot === null ? '' : 'agent';
    this.updateLooks();
  }

  /** The slot of the agent nearest to a point of the canvas, within reach; null for none. */
  pick(x, y) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const point = [0, 0, 0];
    let best = { slot: null, off: 1 };
    this.motion.slots.forEach((slot, i) => {
      if (!this.projectNode(i, width, height, point)) return;
      const reach = Math.max(PICK_PX, this.pixelRadius(slot, point[2]) + PICK_MARGIN_PX);
      const off = Math.hypot(point[0] - x, point[1] - y) / reach;
      if (off < best.off) best = { slot, off };
    });
    return best.slot;
  }

  projectNode(i, width, height, out) {
    const { shown } = this.motion;
    return project(this.matrix, shown[i * 3], shown[i * 3 + 1], shown[i * 3 + 2], width, height, out);
  }

  rebuild() {
    this.updateLooks();
    this.updateLinks();
  }

  updateLooks() {
    const { slots } = this.motion;
    const looks = new Uint8Array(slots.length * LOOK_BYTES);
    this.beating = false;
    slots.forEach((slot, i) => {
      const agent = this.agents.get(slot);
      const flags =
        (agent?.stale ? FLAG.stale : 0) |
        (agent?.stage === 'unverified' ? FLAG.unverified : 0) |
        (slot === this.selected ? FLAG.selected : 0) |
        (slot === this.hovered ? FLAG.hovered : 0);
      looks.set(
        [...rgb(colourOf(agent?.type)), stateCode(agent?.state), flags, Math.round(sizeOf(agent?.type) * 32)],
        i * LOOK_BYTES,
      );
      if (agent?.state === 'busy' && !agent.stale) this.beating = true;
    });
    this.renderer?.setNodes(looks, slots.length);
    this.dirty = true;
  }

  updateLinks() {
    const place = new Map();
    this.motion.slots.forEach((slot, i) => place.set(slot, i));
    const of = (kind) =>
      this.links
        .filter((link) => (link.kind === 'traffic') === (kind === 'traffic') && place.has(link.a) && place.has(link.b))
        .flatMap((link) => [place.get(link.a), place.get(link.b)]);
    const structural = of('structural');
    const indices = Uint32Array.from(structural.concat(of('traffic')));
    // the more links meet in an agent, the fainter each of them
    const degree = structural.length / Math.max(1, place.size);
    const strength = Math.max(0.025, Math.min(0.5, 3 / (degree + 4)));
    this.renderer?.setLinks(indices, structural.length, strength);
    this.dirty = true;
  }

  resize() {
    const ratio = Math.min(PIXEL_RATIO_MAX, devicePixelRatio || 1);
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.ratio = ratio;
    this.dirty = true;
  }

  frame(now) {
    const dt = Math.min(100, now - this.last);
    this.last = now;
    const moved = this.motion.sample(now);
    const beats = this.beating && !this.calm.matches;
    const turned = this.followSwarm(dt, moved);
    if (!(moved || beats || turned || this.dirty) || this.lost || !this.renderer) return;
    this.dirty = false;
    const { width, height } = this.canvas;
    viewProjection(this.camera, width / height, this.ball.radius, this.matrix, this.shift);
    this.renderer.draw(this.motion.shown, {
      matrix: this.matrix,
      pixelsPerUnit: height / (2 * Math.tan(FOV / 2)),
      nodeRadius: this.nodeRadius(),
      radiusMin: 2.2 * this.ratio,
      ratio: this.ratio,
      radiusMax: 26 * this.ratio,
      fog: [this.camera.distance - this.ball.radius * 0.3, this.camera.distance + this.ball.radius * 1.5],
      beat: beats ? 0.5 + 0.5 * Math.sin((now / BEAT_MS) * 2 * Math.PI) : 0.5,
    });
    this.placeNames();
    this.hooks.drawn(now);
  }

  /** Nodes take a fixed share of the room that each has in the swarm's ball. */
  nodeRadius() {
    return (this.ball.radius * 0.115) / Math.cbrt(Math.max(4, this.motion.count) / 4);
  }

  /** Keeps the whole swarm in view until the user takes the camera; true while it is on its way. */
  followSwarm(dt, moved) {
    if (this.motion.count === 0) return false;
    if (moved || this.dirty) this.ball = bounds(this.motion.shown, this.motion.count);
    if (!this.follow) return false;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const inset = Math.min(this.inset, width * 0.4);
    const share = this.snap || this.calm.matches ? 1 : ease(dt, FOLLOW_MS);
    this.snap = false;
    const { camera, ball } = this;
    const before = [camera.distance, ...camera.target, this.shift * ball.radius];
    camera.distance += (fitDistance(ball.radius, (width - inset) / height) - camera.distance) * share;
    for (let axis = 0; axis < 3; axis++) camera.target[axis] += (ball.centre[axis] - camera.target[axis]) * share;
    this.shift += (-inset / width - this.shift) * share;
    const after = [camera.distance, ...camera.target, this.shift * ball.radius];
    return after.some((value, i) => Math.abs(value - before[i]) > ball.radius * 1e-3);
  }

  placeNames() {
    const items = this.chooseNames();
    this.named = new Set(items.map((item) => item.slot));
    reconcile(
      this.labels,
      items,
      (item) => item.slot,
      () => el('span'),
      (node, item) => {
        setText(node, item.name);
        node.className = item.strong ? 'strong' : '';
        node.style.transform = `translate(-50%, 0) translate(${item.x.toFixed(1)}px, ${item.y.toFixed(1)}px)`;
      },
    );
  }

  /** The names that have room, in the order of slots: chosen ones first, then those that were shown before, then the nearest. */
  chooseNames() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const point = [0, 0, 0];
    const wanted = [];
    const all = this.names && this.motion.count <= NAMES_MAX;
    this.motion.slots.forEach((slot, i) => {
      const strong = slot === this.selected || slot === this.hovered;
      const agent = this.agents.get(slot);
      if (!(all || strong) || !agent || !this.projectNode(i, width, height, point)) return;
      const rank = strong ? 0 : this.named.has(slot) ? 1 : 2;
      const [left, top, depth] = point;
      const half = Math.min(90, agent.name.length * 3.3 + 3);
      const x = Math.max(half, Math.min(width - half, left));
      const y = top + this.pixelRadius(slot, depth) + 4;
      wanted.push({ slot, strong, rank, name: agent.name, x, y, depth, half });
    });
    wanted.sort((a, b) => a.rank - b.rank || a.depth - b.depth);
    const placed = [];
    for (const item of wanted) {
      const covers = placed.some(
        (other) => Math.abs(other.x - item.x) < other.half + item.half && Math.abs(other.y - item.y) < 15,
      );
      if (!covers || item.strong) placed.push(item);
    }
    return placed.sort((a, b) => a.slot - b.slot);
  }

  pixelRadius(slot, depth) {
    const plain = ((this.canvas.clientHeight / (2 * Math.tan(FOV / 2))) * this.nodeRadius()) / depth;
    return Math.min(26, Math.max(2.2, plain)) * sizeOf(this.agents.get(slot)?.type);
  }
}
