//! Encoder against decoder over long chains, and the decoder against damaged bytes.

use super::decode::{Decoder, FrameView};
use super::encode::{Encoded, Encoder, EncoderConfig, FrameInput, KeyReason};
use super::error::WireError;
use proptest::prelude::*;

/// A small deterministic generator: xorshift64*, enough to move agents.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    /// -1.0 to 1.0.
    fn sway(&mut self) -> f32 {
        f32::from(u16::try_from(self.below(65_535)).unwrap()) / 32_767.0 - 1.0
    }
}

#[derive(Default)]
struct Swarm {
    slots: Vec<u32>,
    place: [Vec<f32>; 3],
    speed: [Vec<f32>; 3],
    next_slot: u32,
    epoch: u32,
    roster: u32,
    tick: u32,
}

impl Swarm {
    fn join(&mut self, dice: &mut Dice, reach: f32) {
        self.slots.push(self.next_slot);
        self.next_slot += 1 + u32::from(dice.below(4) == 0);
        for axis in 0..3 {
            self.place[axis].push(dice.sway() * reach);
            self.speed[axis].push(0.0);
        }
        self.roster += 1;
    }

    /// Swap-removes, so that the order of slots gets mixed up as a real world's may.
    fn leave(&mut self, at: usize) {
        self.slots.swap_remove(at);
        for axis in 0..3 {
            self.place[axis].swap_remove(at);
            self.speed[axis].swap_remove(at);
        }
        self.roster += 1;
    }

    fn drift(&mut self, dice: &mut Dice, force: f32) {
        for axis in 0..3 {
            for (place, speed) in self.place[axis].iter_mut().zip(&mut self.speed[axis]) {
                *speed = *speed * 0.9 + dice.sway() * force;
                *place += *speed;
            }
        }
        self.tick += 1;
    }

    fn input(&self) -> FrameInput<'_> {
        FrameInput {
            slots: &self.slots,
            x: &self.place[0],
            y: &self.place[1],
            z: &self.place[2],
            epoch: self.epoch,
            roster_version: self.roster,
            tick: self.tick,
            server_time_us: u64::from(self.tick) * 16_667,
            force_keyframe: false,
        }
    }
}

fn frame_of(encoder: &mut Encoder, encoded: &Encoded) -> bytes::Bytes {
    encoded.delta.clone().unwrap_or_else(|| encoder.keyframe().unwrap())
}

fn assert_close(swarm: &Swarm, view: &FrameView<'_>) {
    assert_eq!(view.slots.len(), swarm.slots.len());
    assert!(view.slots.is_sorted_by(|a, b| a < b));
    let half = view.grid.step() * 0.5;
    for (slot, got) in view.positions() {
        let at = swarm.slots.iter().position(|&own| own == slot).unwrap();
        for (axis, got) in got.into_iter().enumerate() {
            let want = swarm.place[axis][at];
            // f32 itself is coarser than the grid far from zero.
            let slack = want.abs() * f32::EPSILON;
            assert!(
                (got - want).abs() <= half + slack,
                "slot {slot} axis {axis}: {got} for {want}, half {half}"
            );
        }
    }
}

/// Runs a chain with joins, leaves, growth, teleports, resyncs and a late joiner; gives (frames, keyframes).
fn chain(seed: u64, agents: usize, frames: u32, force: f32, reach: f32) -> (u32, u32) {
    let mut dice = Dice(seed | 1);
    let mut swarm = Swarm::default();
    for _ in 0..agents {
        swarm.join(&mut dice, reach);
    }
    let mut encoder = Encoder::new(EncoderConfig::new(7));
    let mut decoder = Decoder::new();
    let mut late: Option<Decoder> = None;
    let mut keyframes = 0;
    for frame in 0..frames {
        swarm.drift(&mut dice, force);
        match dice.below(200) {
            0 => swarm.join(&mut dice, reach),
            1 if !swarm.slots.is_empty() => {
                let count = u64::try_from(swarm.slots.len()).unwrap();
                swarm.leave(usize::try_from(dice.below(count)).unwrap());
            }
            2 => swarm.place.iter_mut().flatten().for_each(|place| *place *= 1.5),
            3 => swarm.place.iter_mut().flatten().for_each(|place| *place *= 0.6),
            4 => swarm.epoch += 1,
            5 => swarm.place.iter_mut().flatten().for_each(|place| *place += reach * 3.0),
            _ => {}
        }
        let encoded = encoder.encode(&swarm.input()).unwrap();
        if encoded.is_unchanged() {
            continue;
        }
        keyframes += u32::from(encoded.key_reason.is_some());
        let bytes = frame_of(&mut encoder, &encoded);
        let view = decoder.apply(&bytes).unwrap();
        assert_eq!(view.header.tick, swarm.tick);
        assert_close(&swarm, &view);
        if let Some(late) = &mut late {
            assert_close(&swarm, &late.apply(&bytes).unwrap());
        }
        if frame % 97 == 50 {
            let mut joiner = Decoder::new();
            let keyframe = encoder.keyframe().unwrap();
            assert_close(&swarm, &joiner.apply(&keyframe).unwrap());
            late = Some(joiner);
        }
    }
    (frames, keyframes)
}

#[test]
fn a_chain_of_ten_thousand_frames_stays_within_half_a_step() {
    let (frames, keyframes) = chain(0x5eed, 40, 10_000, 0.02, 50.0);
    assert!(keyframes > 50 && keyframes < frames / 10, "{keyframes} keyframes");
}

#[test]
fn a_missing_frame_asks_for_a_keyframe_and_that_heals() {
    let mut dice = Dice(3);
    let mut swarm = Swarm::default();
    (0..5).for_each(|_| swarm.join(&mut dice, 10.0));
    let mut encoder = Encoder::new(EncoderConfig::new(1));
    let mut decoder = Decoder::new();
    let first = encoder.encode(&swarm.input()).unwrap();
    assert_eq!((first.key_reason, first.seq), (Some(KeyReason::First), 1));
    decoder.apply(&encoder.keyframe().unwrap()).unwrap();
    let mut deltas = Vec::new();
    for _ in 0..3 {
        swarm.drift(&mut dice, 0.5);
        deltas.push(encoder.encode(&swarm.input()).unwrap().delta.unwrap());
    }
    assert_eq!(decoder.apply(&deltas[1]).unwrap_err(), WireError::NeedKeyframe { seq: 3, base_seq: 2 });
    decoder.apply(&deltas[0]).unwrap();
    assert_eq!(decoder.apply(&deltas[0]).unwrap_err(), WireError::Stale { seq: 2, held: 2 });
    let beat = encoder.heartbeat(900, 5).unwrap();
    assert_eq!(decoder.apply(&beat).unwrap_err(), WireError::NeedKeyframe { seq: 4, base_seq: 4 });
    assert_close(&swarm, &decoder.apply(&encoder.keyframe().unwrap()).unwrap());
    assert_eq!(decoder.apply(&beat).unwrap().header.tick, 900);
    assert_eq!(decoder.position(), Some((0, 4)));
    let mut other = Encoder::new(EncoderConfig::new(2));
    other.encode(&swarm.input()).unwrap();
    let foreign = decoder.apply(&other.keyframe().unwrap()).unwrap_err();
    assert_eq!(foreign, WireError::OtherStream { got: 2, held: 1 });
    decoder.reset();
    decoder.apply(&other.keyframe().unwrap()).unwrap();
}

#[test]
fn a_swarm_at_rest_makes_no_frames() {
    let mut dice = Dice(9);
    let mut swarm = Swarm::default();
    (0..20).for_each(|_| swarm.join(&mut dice, 10.0));
    let mut encoder = Encoder::new(EncoderConfig::new(1));
    assert!(encoder.keyframe().is_none() && encoder.heartbeat(0, 0).is_none());
    encoder.encode(&swarm.input()).unwrap();
    let again = encoder.encode(&swarm.input()).unwrap();
    assert!(again.is_unchanged());
    assert_eq!(again.seq, 1);
    swarm.roster += 1;
    let renamed = encoder.encode(&swarm.input()).unwrap();
    assert!(renamed.delta.is_some(), "a new roster version is told");
    let forced = encoder.encode(&FrameInput { force_keyframe: true, ..swarm.input() }).unwrap();
    assert_eq!(forced.key_reason, Some(KeyReason::Forced));
    assert_eq!(
        encoder.keyframe().unwrap().as_ptr(),
        encoder.keyframe().unwrap().as_ptr(),
        "one shared keyframe"
    );
}

#[test]
fn bad_input_is_refused_or_repaired_without_a_panic() {
    let mut encoder = Encoder::new(EncoderConfig::new(1));
    let x = [1.0, f32::NAN, f32::INFINITY, -3.0e38];
    let base = FrameInput {
        slots: &[4, 3, 2, 1],
        x: &x,
        y: &x,
        z: &[0.0; 4],
        epoch: 0,
        roster_version: 0,
        tick: 0,
        server_time_us: 0,
        force_keyframe: false,
    };
    let short = encoder.encode(&FrameInput { z: &[0.0; 3], ..base }).unwrap_err();
    assert_eq!(short, WireError::Shape { slots: 4, coordinates: 3 });
    let twice = encoder.encode(&FrameInput { slots: &[1, 2, 2, 3], ..base }).unwrap_err();
    assert_eq!(twice, WireError::DuplicateSlot(2));
    let encoded = encoder.encode(&base).unwrap();
    assert_eq!(encoded.repaired, 6);
    let mut decoder = Decoder::new();
    let keyframe = encoder.keyframe().unwrap();
    let view = decoder.apply(&keyframe).unwrap();
    assert_eq!(view.slots, [1, 2, 3, 4]);
    assert!(view.positions().all(|(_, place)| place.iter().all(|value| value.is_finite())));
    let empty = FrameInput { slots: &[], x: &[], y: &[], z: &[], ..base };
    assert_eq!(encoder.encode(&empty).unwrap().key_reason, Some(KeyReason::Slots));
    assert!(decoder.apply(&encoder.keyframe().unwrap()).unwrap().slots.is_empty());
}

#[test]
fn a_small_frame_cannot_ask_for_a_large_state() {
    let mut encoder = Encoder::new(EncoderConfig::new(1));
    encoder.encode(&Swarm::default().input()).unwrap();
    let mut bytes = encoder.keyframe().unwrap().to_vec();
    bytes[36..40].copy_from_slice(&131_072_u32.to_le_bytes());
    let mut decoder = Decoder::new();
    assert!(matches!(decoder.apply(&bytes), Err(WireError::BadBody { .. })));
}

fn sample_frames() -> Vec<Vec<u8>> {
    let mut dice = Dice(77);
    let mut swarm = Swarm::default();
    (0..12).for_each(|_| swarm.join(&mut dice, 100.0));
    let mut encoder = Encoder::new(EncoderConfig::new(5));
    let mut frames = Vec::new();
    encoder.encode(&swarm.input()).unwrap();
    frames.push(encoder.keyframe().unwrap().to_vec());
    for _ in 0..3 {
        swarm.drift(&mut dice, 0.3);
        frames.push(encoder.encode(&swarm.input()).unwrap().delta.unwrap().to_vec());
    }
    frames.push(encoder.heartbeat(1, 1).unwrap().to_vec());
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn chains_of_any_scale_stay_within_half_a_step(
        seed in any::<u64>(), agents in 0_usize..30, force in -12_i32..12, reach in -2_i32..16,
    ) {
        chain(seed, agents, 400, 2.0_f32.powi(force), 2.0_f32.powi(reach));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn damaged_frames_never_panic(
        which in 0_usize..5,
        edits in prop::collection::vec((0_usize..400, any::<u8>()), 1..6),
        cut in prop::option::of(0_usize..200),
    ) {
        let frames = sample_frames();
        let mut decoder = Decoder::new();
        for (at, frame) in frames.iter().enumerate() {
            let mut bytes = frame.clone();
            if at == which {
                for &(place, byte) in &edits {
                    if let Some(old) = bytes.get_mut(place) { *old = byte; }
                }
                if let Some(cut) = cut { bytes.truncate(cut); }
            }
            if let Ok(view) = decoder.apply(&bytes) {
                prop_assert_eq!(view.slots.len(), view.q[0].len());
                prop_assert!(view.positions().count() <= 400);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), kind in 1_u8..4) {
        let mut decoder = Decoder::new();
        drop(decoder.apply(&body).map(|view| view.slots.len()));
        let mut framed = sample_frames().swap_remove(0);
        decoder.apply(&framed).unwrap();
        framed.truncate(40);
        framed[3] = kind;
        framed[12..16].copy_from_slice(&2_u32.to_le_bytes());
        framed[16..20].copy_from_slice(&(if kind == 2 { 1_u32 } else { 2 }).to_le_bytes());
        framed.extend_from_slice(&body);
        drop(decoder.apply(&framed).map(|view| view.positions().count()));
    }
}
