//! Golden frames: the bytes in `tests/fixtures/wire` that every decoder must read alike. The JavaScript client is held to the
//! same files by `tests/js/golden.test.mjs`.
//!
//! A difference here is a change of the protocol. When it is meant: `UPDATE_GOLDEN=1 cargo test --lib golden`, and say so in
//! `src/docs/protocol.md`.

use super::decode::Decoder;
use super::delta;
use super::encode::{Encoder, EncoderConfig, FrameInput};
use super::error::WireError;
use super::frame::FrameHeader;
use serde_json::{Value, json};
use std::path::PathBuf;

/// One chain of frames for one decoder.
struct Chain {
    name: &'static str,
    frames: Vec<Vec<u8>>,
}

/// Integer motion, so that no rounding of any machine can change the files.
fn place(agent: u32, axis: u32, frame: u32, reach: u32) -> f32 {
    let mixed = (agent * 31 + axis * 17 + 7).wrapping_mul(2_654_435_761) >> 12;
    let start =
        f32::from(u16::try_from(mixed % (2 * reach)).unwrap()) - f32::from(u16::try_from(reach).unwrap());
    let speed = f32::from(u16::try_from(mixed % 7).unwrap()) - 3.0;
    let frame = f32::from(u16::try_from(frame).unwrap());
    start + speed * frame * 0.03125 + frame * frame * 0.001_953_125
}

struct Scene {
    slots: Vec<u32>,
    places: [Vec<f32>; 3],
    epoch: u32,
    tick: u32,
}

impl Scene {
    fn new(slots: Vec<u32>) -> Self {
        let places = [0, 1, 2].map(|_| vec![0.0; slots.len()]);
        Self { slots, places, epoch: 3, tick: 1000 }
    }

    fn set(&mut self, frame: u32, reach: u32, moving: impl Fn(u32) -> bool) {
        for (axis, places) in (0..).zip(&mut self.places) {
            for (place_of, &slot) in places.iter_mut().zip(&self.slots) {
                let at = if moving(slot) { frame } else { 0 };
                *place_of = place(slot % 4096, axis, at, reach);
            }
        }
        self.tick = 1000 + frame;
    }

    fn input(&self) -> FrameInput<'_> {
        FrameInput {
            slots: &self.slots,
            x: &self.places[0],
            y: &self.places[1],
            z: &self.places[2],
            epoch: self.epoch,
            roster_version: 12,
            tick: self.tick,
            server_time_us: 1_790_000_000_000_000 + u64::from(self.tick) * 16_667,
            force_keyframe: false,
        }
    }

    fn encode(&self, encoder: &mut Encoder, into: &mut Vec<Vec<u8>>) {
        let encoded = encoder.encode(&self.input()).unwrap();
        assert!(!encoded.is_unchanged());
        into.push(encoded.delta.unwrap_or_else(|| encoder.keyframe().unwrap()).to_vec());
    }
}

/// Everybody moves; then one leaves, one joins, the swarm outgrows its grid and the epoch changes.
fn motion() -> Chain {
    let mut scene = Scene::new((0..12).collect());
    let mut encoder = Encoder::new(EncoderConfig::new(17));
    let mut frames = Vec::new();
    for frame in 0..8 {
        scene.set(frame, 300, |_| true);
        scene.encode(&mut encoder, &mut frames);
    }
    frames.push(encoder.heartbeat(1100, 1_790_000_020_000_000).unwrap().to_vec());
    scene = Scene::new(vec![0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    for frame in 8..11 {
        scene.set(frame, 300, |_| true);
        scene.encode(&mut encoder, &mut frames);
    }
    for frame in 11..13 {
        scene.set(frame, 2000, |_| true);
        scene.encode(&mut encoder, &mut frames);
    }
    scene.epoch = 4;
    scene.set(13, 2000, |_| true);
    scene.encode(&mut encoder, &mut frames);
    Chain { name: "motion", frames }
}

/// Few of many move: runs. Then all do.
fn runs() -> Chain {
    let mut scene = Scene::new((0..300).map(|agent| agent * 3).collect());
    let mut encoder = Encoder::new(EncoderConfig { stream: u32::MAX, precision: 14 });
    let mut frames = Vec::new();
    for frame in 0..4 {
        scene.set(frame, 120, |slot| slot % 51 == 0);
        scene.encode(&mut encoder, &mut frames);
    }
    scene.set(4, 120, |_| true);
    scene.encode(&mut encoder, &mut frames);
    Chain { name: "runs", frames }
}

/// One of many jumps across the swarm, which needs escape codes; a far origin; the largest slots.
fn extremes() -> Chain {
    let far = [0, 70_000, u32::MAX - 1, u32::MAX];
    let mut scene = Scene::new((1..60).chain(far).collect());
    let mut encoder = Encoder::new(EncoderConfig::new(0));
    let mut frames = Vec::new();
    for frame in 0..4 {
        scene.set(frame, 900, |slot| slot % 2 == 0);
        scene.places[1].iter_mut().for_each(|place| *place += 65_536.0);
        scene.places[0][7] = if frame % 2 == 1 { 899.0 } else { -899.0 };
        scene.encode(&mut encoder, &mut frames);
    }
    Chain { name: "extremes", frames }
}

/// No agents; then one alone.
fn empty() -> Chain {
    let mut encoder = Encoder::new(EncoderConfig::new(1));
    let mut frames = Vec::new();
    Scene::new(Vec::new()).encode(&mut encoder, &mut frames);
    let mut scene = Scene::new(vec![5]);
    for frame in 0..2 {
        scene.set(frame, 10, |_| true);
        scene.encode(&mut encoder, &mut frames);
    }
    Chain { name: "empty", frames }
}

/// A hole: the third frame is missing, so the fourth cannot be applied, and the first again is stale.
fn hole() -> Chain {
    let Chain { frames, .. } = motion();
    let keep = [0, 1, 3, 0, 4];
    Chain { name: "hole", frames: keep.iter().map(|&at| frames[at].clone()).collect() }
}

/// Frames that must be refused: a later kind, a later coding, a cut body, a foreign magic, another version.
fn refused() -> Chain {
    let Chain { frames, .. } = motion();
    let with = |at: usize, byte: u8, frame: &[u8]| {
        let mut copy = frame.to_vec();
        copy[at] = byte;
        copy
    };
    let cut = frames[1][..frames[1].len() - 1].to_vec();
    let long = [&frames[1][..], &[0]].concat();
    let damaged = vec![
        frames[0].clone(),
        with(3, 9, &frames[1]),
        with(40, 2, &frames[1]),
        cut,
        long,
        with(0, 0, &frames[1]),
    ];
    let rest = vec![with(2, 3, &frames[1]), with(4, 1, &frames[1]), frames[1].clone()];
    Chain { name: "refused", frames: [damaged, rest].concat() }
}

fn error_name(error: &WireError) -> &'static str {
    match error {
        WireError::BadHeader(_) => "bad_header",
        WireError::OtherStream { .. } => "other_stream",
        WireError::Unknown(_) => "unknown",
        WireError::NeedKeyframe { .. } => "need_keyframe",
        WireError::Stale { .. } => "stale",
        WireError::BadBody { .. } => "bad_body",
        WireError::TooLarge { .. } => "too_large",
        WireError::Shape { .. } | WireError::DuplicateSlot(_) => panic!("a decoder does not encode"),
    }
}

fn expected(decoder: &mut Decoder, file: &str, frame: &[u8]) -> Value {
    let view = match decoder.apply(frame) {
        Err(error) => return json!({"file": file, "error": error_name(&error)}),
        Ok(view) => view,
    };
    let header = view.header;
    let bits: Vec<u32> =
        view.positions().flat_map(|(_, place)| place).map(|value| (value + 0.0).to_bits()).collect();
    json!({
        "file": file,
        "kind": header.kind.to_wire(), "stream": header.stream, "epoch": header.epoch, "seq": header.seq,
        "base_seq": header.base_seq, "roster_version": header.roster_version,
        "server_time_us": header.server_time_us, "tick": header.tick, "count": header.count,
        "step": view.grid.step(), "origin": view.grid.origin, "slots": view.slots,
        "q": view.q, "position_bits_xyz": bits,
    })
}

#[test]
fn golden_frames_are_what_they_were() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut chains = Vec::new();
    for chain in [motion(), runs(), extremes(), empty(), hole(), refused()] {
        let mut decoder = Decoder::new();
        let mut frames = Vec::new();
        for (number, frame) in chain.frames.iter().enumerate() {
            let file = format!("{}-{number:02}.bin", chain.name);
            frames.push(expected(&mut decoder, &file, frame));
            if update {
                std::fs::write(folder.join(&file), frame).unwrap();
            }
            assert_eq!(&std::fs::read(folder.join(&file)).unwrap(), frame, "{file}");
        }
        chains.push(json!({"chain": chain.name, "frames": frames}));
    }
    let text = serde_json::to_string(&chains).unwrap().replace("{\"file\"", "\n{\"file\"") + "\n";
    let path = folder.join("expected.json");
    if update {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn golden_chains_show_every_case() {
    let mut seen: Vec<&str> = Vec::new();
    for chain in [hole(), refused()] {
        let mut decoder = Decoder::new();
        for frame in &chain.frames {
            seen.push(decoder.apply(frame).map_or_else(|error| error_name(&error), |_| "applied"));
        }
    }
    let want = [
        "applied",
        "applied",
        "need_keyframe",
        "stale",
        "need_keyframe", // hole
        "applied",
        "unknown",
        "unknown",
        "bad_body",
        "bad_body",
        "bad_header",
        "bad_header",
        "other_stream",
        "applied",
    ];
    assert_eq!(seen, want);
    let frames = extremes().frames;
    let mut decoder = Decoder::new();
    let places: Vec<i32> = frames.iter().map(|frame| decoder.apply(frame).unwrap().q[0][8]).collect();
    let jump = places[2].abs_diff(places[1]) * 2;
    assert!(frames[2][3] == 2 && jump >> frames[2][41] > 20, "the jump is sent by an escape code");
    let run_k = runs().frames[1][42];
    assert!(run_k <= 24, "few of many are sent by runs");
    assert_eq!(motion().frames[1][42], 255, "when all move there are no runs");
}

#[test]
fn the_worked_example_of_the_document_is_true() {
    let document = include_str!("../docs/protocol.md");
    let block = document.split("### Worked example").nth(1).unwrap().split("```").nth(1).unwrap();
    let bytes: Vec<u8> = block
        .lines()
        .skip(1)
        .flat_map(|line| line.split("    ").next().unwrap().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let (header, body) = FrameHeader::read(&bytes).unwrap();
    assert_eq!((header.stream, header.epoch, header.seq, header.base_seq), (17, 3, 7, 6));
    assert_eq!((header.roster_version, header.tick, header.count), (12, 1000, 2));
    assert_eq!(header.server_time_us, 1_790_000_016_667_000);
    let residual = [vec![0, 2], vec![1, 0], vec![0, 0]];
    let mut read = [vec![], vec![], vec![]];
    delta::read(body, 2, &mut read).unwrap();
    assert_eq!(read, residual);
}
