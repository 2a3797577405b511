// The parts of the viewer that need no page: camera maths, interpolation, meters, the merge of agents, words for people.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { problemWords } from '../../src/web/viewer/api.js';
import * as camera from '../../src/web/viewer/camera.js';
import { Interpolator, WAY_MS_MAX } from '../../src/web/viewer/interpolate.js';
import { bytesPerSecond, RateMeter } from '../../src/web/viewer/meter.js';
import * as palette from '../../src/web/viewer/palette.js';
import { mergeAgents } from '../../src/web/viewer/roster.js';
import { complaint, fromLink, timeLeft } from '../../src/web/viewer/session.js';

const near = (got, wanted, slack = 1e-3) =>
  assert.ok(Math.abs(got - wanted) <= slack, `${got} is not within ${slack} of ${wanted}`);

const view = (changes = {}) => Object.assign(camera.createCamera(), { yaw: 0, pitch: 0, distance: 10 }, changes);
const seen = (cam, point, { width = 800, height = 400, shift = 0 } = {}) => {
  const out = [0, 0, 0];
  const matrix = camera.viewProjection(cam, width / height, 5, undefined, shift);
  return camera.project(matrix, ...point, width, height, out) ? out : null;
};

test('the target is in the middle, x goes right and y up', () => {
  const cam = view({ target: [3, 4, 5] });
  const [x, y, depth] = seen(cam, [3, 4, 5]);
  near(x, 400);
  near(y, 200);
  near(depth, 10);
  assert.ok(seen(cam, [4, 4, 5])[0] > 400);
  assert.ok(seen(cam, [3, 5, 5])[1] < 200);
  assert.ok(seen(cam, [3, 4, 6])[2] < 10, 'z points at the viewer');
  assert.equal(seen(cam, [3, 4, 30]), null, 'behind the eye is not seen');
});

test('whatever the angle, the target stays in the middle and the axes stay square', () => {
  for (let yaw = -3; yaw < 3; yaw += 0.7) {
    for (const pitch of [-1.5, -0.4, 0, 0.9, 1.5]) {
      const cam = view({ yaw, pitch, target: [1, -2, 3] });
      near(seen(cam, [1, -2, 3])[0], 400);
      const { right, up, back } = camera.axes(cam);
      const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
      for (const [a, b] of [
        [right, up],
        [up, back],
        [back, right],
      ])
        near(dot(a, b), 0, 1e-9);
      for (const a of [right, up, back]) near(dot(a, a), 1, 1e-9);
      near(
        seen(
          cam,
          camera.eye(cam).map((value, i) => value - back[i] * 10),
        )[2],
        10,
        1e-2,
      );
    }
  }
});

test('a shift moves the whole picture sideways by its share of half the width', () => {
  near(seen(view(), [0, 0, 0], { shift: -0.25 })[0], 300);
  near(seen(view(), [0, 0, 2], { shift: -0.25 })[0], 300);
});

test('moving by pixels moves the target by as many pixels', () => {
  const cam = view({ yaw: 0.8, pitch: 0.3 });
  const [x, y] = seen(cam, [0, 0, 0]);
  camera.pan(cam, 30, -12, 400);
  const [movedX, movedY] = seen(cam, [0, 0, 0]);
  near(movedX - x, 30, 1);
  near(movedY - y, -12, 1);
});

test('pitch and distance have ends', () => {
  const cam = view();
  camera.orbit(cam, 100, 100);
  assert.equal(cam.pitch, camera.PITCH_MAX);
  camera.orbit(cam, 0, -100);
  assert.equal(cam.pitch, -camera.PITCH_MAX);
  for (let i = 0; i < 500; i++) camera.zoom(cam, 0.5);
  assert.ok(cam.distance > 0);
  for (let i = 0; i < 500; i++) camera.zoom(cam, 2);
  assert.ok(Number.isFinite(cam.distance));
});

test('a fitted ball touches no edge, wide or tall', () => {
  for (const [width, height] of [
    [800, 400],
    [300, 700],
    [500, 500],
  ]) {
    const cam = view({ distance: camera.fitDistance(7, width / height) });
    for (const point of [
      [7, 0, 0],
      [-7, 0, 0],
      [0, 7, 0],
      [0, -7, 0],
    ]) {
      const [x, y] = seen(cam, point, { width, height });
      assert.ok(x > 0 && x < width && y > 0 && y < height, `${point} at ${x}, ${y} of ${width} x ${height}`);
    }
  }
});

test('bounds hold every point, and nothing at all is a ball of the least radius', () => {
  const { centre, radius } = camera.bounds(Float32Array.from([0, 0, 0, 10, 0, 0, 4, 2, -6, 99, 99, 99]), 3);
  assert.deepEqual(centre, [5, 1, -3]);
  near(radius, Math.hypot(5, 1, 3), 1e-6);
  assert.deepEqual(camera.bounds(new Float32Array(0), 0), { centre: [0, 0, 0], radius: 1 });
  assert.equal(camera.bounds(Float32Array.from([5, 5, 5]), 1, 2).radius, 2);
  near(camera.ease(100, 100), 0.5, 1e-12);
});

const slots = (...list) => Uint32Array.from(list);
const places = (...list) => Float32Array.from(list);

test('agents appear in place, then go all the way to each frame and never beyond', () => {
  const motion = new Interpolator();
  assert.equal(motion.push(slots(4), places(1, 2, 3), 0), true);
  motion.sample(1);
  assert.deepEqual([...motion.shown], [1, 2, 3]);
  for (let now = 20; now <= 200; now += 20) motion.push(slots(4), places(1 + now, 2, 3), now);
  let last = motion.shown[0];
  for (let now = 200; now <= 1000; now += 4) {
    motion.sample(now);
    assert.ok(motion.shown[0] >= last && motion.shown[0] <= 201, `${motion.shown[0]} at ${now}`);
    last = motion.shown[0];
  }
  assert.equal(last, 201);
  assert.equal(motion.sample(1004), false, 'at rest nothing moves');
});

test('a frame in mid-way does not jump', () => {
  const motion = new Interpolator();
  motion.push(slots(0), places(0, 0, 0), 0);
  motion.push(slots(0), places(10, 0, 0), 100);
  motion.sample(125);
  const before = motion.shown[0];
  assert.ok(before > 0 && before < 10);
  motion.push(slots(0), places(-10, 0, 0), 125);
  assert.equal(motion.shown[0], before);
  motion.sample(126);
  assert.ok(Math.abs(motion.shown[0] - before) < 2);
});

test('who stays goes on, who leaves is gone, who joins is in its place', () => {
  const motion = new Interpolator();
  motion.push(slots(1, 2, 3), places(1, 0, 0, 2, 0, 0, 3, 0, 0), 0);
  motion.sample(500);
  assert.equal(motion.push(slots(2, 3, 9), places(20, 0, 0, 30, 0, 0, 90, 0, 0), 600), true);
  assert.deepEqual([...motion.slots], [2, 3, 9]);
  assert.deepEqual([...motion.shown], [2, 0, 0, 3, 0, 0, 90, 0, 0]);
  motion.sample(600 + WAY_MS_MAX);
  assert.deepEqual([...motion.shown], [20, 0, 0, 30, 0, 0, 90, 0, 0]);
  assert.equal(motion.push(slots(2, 3, 9), places(20, 0, 0, 30, 0, 0, 90, 0, 0), 900), false);
  motion.clear();
  assert.equal(motion.count, 0);
});

test('the pushed arrays are copied: a decoder may reuse them', () => {
  const motion = new Interpolator();
  const shared = places(1, 1, 1);
  motion.push(slots(0), shared, 0);
  shared.fill(7);
  motion.sample(1000);
  assert.deepEqual([...motion.shown], [1, 1, 1]);
});

test('a meter tells the rate of the last seconds only', () => {
  const meter = new RateMeter();
  assert.equal(meter.rate(0), 0);
  for (let now = 0; now < 4000; now += 1000 / 60) meter.add(now, 1);
  near(meter.rate(4000), 60, 1.5);
  near(meter.rate(5000), 30, 3);
  assert.equal(meter.rate(9000), 0, 'silence is zero, not the last rate');
  meter.clear();
  meter.add(20_000, 100);
  near(meter.rate(20_000), 400, 1e-9);
});

test('bytes are said in three digits', () => {
  assert.deepEqual([0, 999, 4420, 44_200, 4_420_000, 44_200_000].map(bytesPerSecond), [
    '0 B/s',
    '999 B/s',
    '4.4 kB/s',
    '44 kB/s',
    '4.4 MB/s',
    '44 MB/s',
  ]);
});

const agent = (slot, state, more = {}) => ({ slot, id: `id-${slot}`, state, ...more });
const roster = (at, ...agents) => ({ at, entries: new Map(agents.map((one) => [one.slot, one])) });

test('the later word on an agent wins, and fields of the other are kept', () => {
  const listed = { at: 5, agents: [agent(2, 'idle', { figures: { health: 1 } }), agent(1, 'busy')] };
  const merged = mergeAgents(roster(9, agent(1, 'idle'), agent(2, 'busy')), listed);
  assert.deepEqual(
    merged.map(({ slot, state }) => [slot, state]),
    [
      [1, 'idle'],
      [2, 'busy'],
    ],
  );
  assert.equal(merged[1].health, 1);
  const fresher = mergeAgents(roster(9, agent(2, 'busy', { health: 0.5 })), listed);
  assert.equal(fresher[0].health, 0.5, 'an older figure of the list does not hide it');
  assert.equal(mergeAgents(roster(1, agent(1, 'idle')), listed)[0].state, 'busy');
});

test('who is gone for the later word is gone, and nothing known is nobody', () => {
  const listed = { at: 5, agents: [agent(1, 'idle'), agent(2, 'offline'), agent(3, 'idle')] };
  assert.deepEqual(
    mergeAgents(null, listed).map(({ slot }) => slot),
    [1, 3],
  );
  assert.deepEqual(
    mergeAgents(roster(9, agent(3, 'idle')), listed).map(({ slot }) => slot),
    [3],
  );
  assert.deepEqual(mergeAgents(null, null), []);
  const reused = mergeAgents(roster(9, { ...agent(1, 'idle'), id: 'another' }), listed);
  assert.equal(reused[0].id, 'another');
});

test('stale and unverified agents are never shown as what they were', () => {
  assert.equal(palette.stateWords({ state: 'idle', stale: true }), 'stale (was idle)');
  assert.equal(palette.stateWords({ state: 'idle', stage: 'unverified' }), 'idle, unverified');
  assert.equal(palette.stateWords({ state: 'idle', stage: 'verified' }), 'idle');
  assert.equal(palette.colourOf('toString'), palette.UNKNOWN_COLOUR);
  assert.equal(palette.stateCode('constructor'), palette.UNKNOWN_STATE);
  assert.equal(new Set(Object.values(palette.TYPES)).size, 12);
  assert.deepEqual(palette.rgb('#0a10ff'), [10, 16, 255]);
});

test('problems become one sentence, with the fields', () => {
  assert.equal(problemWords(400, { detail: 'name has 0 characters' }), 'Name has 0 characters.');
  assert.equal(
    problemWords(422, { title: 'Invalid', errors: [{ pointer: '/name', detail: 'is missing' }] }),
    'Invalid; /name: is missing.',
  );
  assert.equal(problemWords(500, null), 'The server answered 500.');
  assert.equal(problemWords(502, '<html>'), 'The server answered 502.');
});

test('pasted texts are checked before they are sent', () => {
  assert.equal(complaint('aaa.bbb.c-c_'), null);
  assert.equal(complaint(' http://127.0.0.1:3001/#token=aaa.bbb.ccc '), null);
  for (const bad of ['', '  ', 'aaa', 'a.b', 'a b.c.d', 'a..b']) assert.notEqual(complaint(bad), null, bad);
  assert.equal(fromLink('http://x/#token=aaa.bbb.ccc'), 'aaa.bbb.ccc');
});

test('the end of a sign-in is told within the last hour', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(timeLeft('2026-01-01T02:00:00Z', now), null);
  assert.equal(timeLeft('2026-01-01T00:10:30Z', now), 'signed in for 10 more minutes');
  assert.equal(timeLeft('2026-01-01T00:01:30Z', now), 'signed in for 1 more minute');
  assert.equal(timeLeft('2026-01-01T00:00:20Z', now), 'signed in for less than a minute more');
  assert.equal(timeLeft('nonsense', now), null);
});
