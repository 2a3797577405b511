// Decodes the golden frames of tests/fixtures/wire with the public client and compares in quantised units, bit for bit.
// Run: node --test tests/js
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { FrameDecoder, FrameError, KEYFRAME, decodeHeader } from '../../src/web/viewer/client.js';

const folder = new URL('../fixtures/wire/', import.meta.url);
const chains = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));
const read = (file) => readFileSync(new URL(file, folder));

function compare(decoder, header, want) {
  const seen = {
    kind: header.kind, stream: header.stream, epoch: header.epoch, seq: header.seq, base_seq: header.baseSeq,
    roster_version: header.rosterVersion, server_time_us: header.serverTimeUs, tick: header.tick, count: header.count,
  };
  for (const [name, value] of Object.entries(seen)) assert.equal(value, want[name], `${want.file} ${name}`);
  assert.equal(decoder.step, want.step, want.file);
  assert.deepEqual([...decoder.origin], want.origin, want.file);
  assert.deepEqual([...decoder.slots.subarray(0, decoder.count)], want.slots, want.file);
  for (let axis = 0; axis < 3; axis++) {
    const q = want.slots.map((_, i) => decoder.q[i * 3 + axis]);
    assert.deepEqual(q, want.q[axis], `${want.file} axis ${axis}`);
  }
  const places = Float32Array.from(decoder.positions.subarray(0, decoder.count * 3), (value) => value + 0);
  const bits = new Uint32Array(places.buffer);
  assert.deepEqual([...bits], want.position_bits_xyz, `${want.file} positions`);
}

for (const { chain, frames } of chains) {
  test(`golden chain ${chain}`, () => {
    const decoder = new FrameDecoder();
    for (const want of frames) {
      const frame = read(want.file);
      if (want.error) {
        const before = [...decoder.q.subarray(0, decoder.count * 3)];
        assert.throws(() => decoder.apply(frame), (error) => error instanceof FrameError && error.code === want.error, want.file);
        assert.deepEqual([...decoder.q.subarray(0, decoder.count * 3)], before, 'a refused frame changes nothing');
      } else {
        compare(decoder, decoder.apply(frame), want);
      }
    }
  });
}

test('slots are found by number', () => {
  const decoder = new FrameDecoder();
  decoder.apply(read('runs-00.bin'));
  assert.equal(decoder.indexOf(6), 2);
  assert.equal(decoder.indexOf(7), -1);
});

test('buffers are reused from frame to frame', () => {
  const decoder = new FrameDecoder();
  decoder.apply(read('motion-00.bin'));
  const { positions, q } = decoder;
  decoder.apply(read('motion-01.bin'));
  assert.equal(decoder.positions, positions);
  assert.equal(decoder.q, q);
});

test('damaged bytes give a FrameError or a state, never anything else', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1000000);
  console.log(`seed ${seed}`);
  let state = seed + 1;
  const dice = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * n);
  };
  const whole = chains.filter(({ chain }) => chain !== 'refused').map(({ frames }) => frames.map(({ file }) => read(file)));
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const decoder = new FrameDecoder();
    const chain = whole[dice(whole.length)];
    const at = dice(chain.length);
    const frames = chain.slice(at, at + 2);
    for (const frame of frames) {
      let bytes = new Uint8Array(frame);
      for (let edits = dice(3); edits > 0; edits--) bytes[dice(bytes.length)] = dice(256);
      if (dice(4) === 0) bytes = bytes.subarray(0, dice(bytes.length));
      try {
        decoder.apply(bytes);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        refused++;
      }
    }
  }
  assert.ok(refused > 500, `${refused} refused`);
});

test('a header alone can be read', () => {
  const header = decodeHeader(read('motion-00.bin'));
  assert.equal(header.kind, KEYFRAME);
  assert.equal(header.stream, 17);
});
