//! The encoder of one stream: positions in, shared frames out. One per swarm and rate class, used by the frame hub alone.
//!
//! Every call of [`Encoder::encode`] that moves anybody makes one new state, numbered by `seq`, and one delta from the state
//! before. A keyframe of the current state is made when first asked for and then shared. Where a delta is impossible (first
//! frame, other slots, other epoch, other grid) there is a reason instead, and everyone gets the keyframe.

use super::delta;
use super::error::WireError;
use super::frame::{FrameHeader, FrameKind, HEADER_BYTES, MAX_AGENTS};
use super::keyframe;
use super::predict::Axis;
use super::quantize::{Bounds, DEFAULT_PRECISION, Grid};
use bytes::Bytes;

/// What is fixed for the life of a stream.
#[derive(Debug, Clone, Copy)]
pub struct EncoderConfig {
    /// Server-wide number of the stream, as `subscribed` announces it.
    pub stream: u32,
    /// The step is at most the swarm's extent / 2^precision; 8–16, clamped.
    pub precision: u8,
}

impl EncoderConfig {
    /// Gives the settings of stream number `stream` at the default precision of 1/4096.
    #[must_use]
    pub const fn new(stream: u32) -> Self {
        Self { stream, precision: DEFAULT_PRECISION }
    }
}

/// One state of a swarm to be encoded. All slices have one length; order is free but should not change without need.
#[derive(Debug, Clone, Copy)]
pub struct FrameInput<'a> {
    /// Slot of each agent, all different.
    pub slots: &'a [u32],
    /// Positions in layout units. Not finite: NaN is taken as 0, infinities as the limit, and counted.
    pub x: &'a [f32],
    /// See `x`.
    pub y: &'a [f32],
    /// See `x`.
    pub z: &'a [f32],
    /// Incarnation of the swarm's stream.
    pub epoch: u32,
    /// Version of the roster that names these slots.
    pub roster_version: u32,
    /// Layout tick.
    pub tick: u32,
    /// Server clock, µs since the Unix epoch.
    pub server_time_us: u64,
    /// Makes a state that has no delta, so that all start afresh.
    pub force_keyframe: bool,
}

/// Why a state has no delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyReason {
    /// The first state of this encoder.
    First,
    /// The caller forced it.
    Forced,
    /// The epoch changed.
    Epoch,
    /// Agents joined or left.
    Slots,
    /// The swarm outgrew, undershot or left its grid.
    Grid,
}

impl KeyReason {
    /// Gives the label for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Forced => "forced",
            Self::Epoch => "epoch",
            Self::Slots => "slots",
            Self::Grid => "grid",
        }
    }
}

/// What one call of [`Encoder::encode`] did.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Number of the current state; the same as before when `is_unchanged`.
    pub seq: u32,
    /// Number of the state before, which the delta needs.
    pub base_seq: u32,
    /// The delta frame, header included. `None` when there is a `key_reason`, or nothing moved by a step.
    pub delta: Option<Bytes>,
    /// Why everyone needs [`Encoder::keyframe`] for this state.
    pub key_reason: Option<KeyReason>,
    /// Agents that the predictor did not place exactly; in a keyframe all.
    pub moved: usize,
    /// Coordinates that were not finite or out of range.
    pub repaired: u32,
}

impl Encoded {
    /// Tells that no agent moved by a step: nothing to send but a heartbeat now and then.
    #[must_use]
    pub const fn is_unchanged(&self) -> bool {
        self.delta.is_none() && self.key_reason.is_none()
    }
}

/// Encodes the states of one stream. See the module.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    /// Header of the current state, as its keyframe has it; `None` before the first.
    current: Option<FrameHeader>,
    grid: Grid,
    /// Slots as the caller gave them last, to notice changes by one comparison.
    given: Vec<u32>,
    /// Caller's index of each agent in ascending order of slots; empty when the caller's order is that already.
    order: Vec<usize>,
    /// Ascending slots.
    slots: Vec<u32>,
    axes: [Axis; 3],
    keyframe: Option<Bytes>,
    /// Scratch, reused: caller's coordinates in ascending order, quantised coordinates, residuals, gaps, frame bytes.
    sorted: Vec<f32>,
    next: [Vec<i32>; 3],
    residual: [Vec<u32>; 3],
    gaps: Vec<u32>,
    buffer: Vec<u8>,
}

impl Encoder {
    /// Makes an encoder without a state. Its first state has `seq` 1.
    #[must_use]
    pub fn new(config: EncoderConfig) -> Self {
        Self {
            config: EncoderConfig { precision: config.precision.clamp(8, 16), ..config },
            current: None,
            grid: Grid { exponent: 0, origin: [0; 3] },
            given: Vec::new(),
            order: Vec::new(),
            slots: Vec::new(),
            axes: Default::default(),
            keyframe: None,
            sorted: Vec::new(),
            next: Default::default(),
            residual: Default::default(),
            gaps: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Gives the stream's number.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.config.stream
    }

    /// Gives the number of the current state; `None` before the first.
    #[must_use]
    pub fn seq(&self) -> Option<u32> {
        self.current.map(|header| header.seq)
    }

    /// Takes one state and gives its delta from the state before, or the reason why there is none.
    ///
    /// When no agent moved by a step, and the roster is the same, the state, its number and its tick stay as they were.
    ///
    /// # Errors
    /// [`WireError::Shape`], [`WireError::DuplicateSlot`], [`WireError::TooLarge`]; the encoder is then unchanged.
    pub fn encode(&mut self, input: &FrameInput<'_>) -> Result<Encoded, WireError> {
        check_shape(input)?;
        let new_slots = self.current.is_none() || self.given != input.slots;
        if new_slots {
            self.take_slots(input.slots)?;
        }
        let bounds = Bounds::of([input.x, input.y, input.z]);
        let reason = self.key_reason(input, new_slots, &bounds);
        if reason.is_some() && (self.current.is_none() || !self.grid.serves(&bounds, self.config.precision)) {
            self.grid = Grid::choose(&bounds, self.config.precision);
        }
        self.quantize(input);
        let before = self.seq().unwrap_or(0);
        let unchanged = self.current.is_some_and(|current| current.roster_version == input.roster_version)
            && self.axes.iter().zip(&self.next).all(|(axis, next)| axis.q == *next);
        if reason.is_none() && unchanged {
            let seq = before;
            return Ok(Encoded {
                seq,
                base_seq: seq,
                delta: None,
                key_reason: None,
                moved: 0,
                repaired: bounds.repaired,
            });
        }
        let seq = before.wrapping_add(1);
        self.keyframe = None;
        self.current = Some(self.header(input, seq));
        let (delta, moved) = if reason.is_some() {
            for (axis, next) in self.axes.iter_mut().zip(&self.next) {
                axis.restart(next.iter().copied());
            }
            (None, self.slots.len())
        } else {
            let (delta, moved) = self.delta(before);
            (Some(delta), moved)
        };
        Ok(Encoded { seq, base_seq: before, delta, key_reason: reason, moved, repaired: bounds.repaired })
    }

    /// Gives the keyframe of the current state; `None` before the first. Made once per state, then shared.
    pub fn keyframe(&mut self) -> Option<Bytes> {
        if let Some(made) = &self.keyframe {
            return Some(made.clone());
        }
        let header = self.current?;
        self.buffer.clear();
        header.write(&mut self.buffer);
        keyframe::write(&self.grid, &self.slots, &self.axes, &mut self.buffer);
        let made = Bytes::copy_from_slice(&self.buffer);
        self.keyframe = Some(made.clone());
        Some(made)
    }

    /// Gives a heartbeat of the current state at a later tick and time; `None` before the first state.
    #[must_use]
    pub fn heartbeat(&self, tick: u32, server_time_us: u64) -> Option<Bytes> {
        let header = FrameHeader { kind: FrameKind::Heartbeat, tick, server_time_us, ..self.current? };
        let mut out = Vec::with_capacity(HEADER_BYTES);
        header.write(&mut out);
        Some(out.into())
    }

    /// Gives the quantisation step of the current state, in layout units; the error is at most half of it.
    #[must_use]
    pub fn step(&self) -> f32 {
        self.grid.step()
    }

    fn key_reason(&self, input: &FrameInput<'_>, new_slots: bool, bounds: &Bounds) -> Option<KeyReason> {
        let Some(current) = self.current else { return Some(KeyReason::First) };
        if current.epoch != input.epoch {
            Some(KeyReason::Epoch)
        } else if new_slots {
            Some(KeyReason::Slots)
        } else if !self.grid.serves(bounds, self.config.precision) {
            Some(KeyReason::Grid)
        } else {
            input.force_keyframe.then_some(KeyReason::Forced)
        }
    }

    fn header(&self, input: &FrameInput<'_>, seq: u32) -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Keyframe,
            stream: self.config.stream,
            epoch: input.epoch,
            seq,
            base_seq: seq,
            roster_version: input.roster_version,
            server_time_us: input.server_time_us,
            tick: input.tick,
            count: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
        }
    }

    fn delta(&mut self, base_seq: u32) -> (Bytes, usize) {
        for ((axis, next), residual) in self.axes.iter_mut().zip(&self.next).zip(&mut self.residual) {
            residual.resize(next.len(), 0);
            axis.advance(next, residual);
        }
        self.buffer.clear();
        if let Some(current) = self.current {
            FrameHeader { kind: FrameKind::Delta, base_seq, ..current }.write(&mut self.buffer);
        }
        let moved = delta::write(&self.residual, &mut self.gaps, &mut self.buffer);
        (Bytes::copy_from_slice(&self.buffer), moved)
    }

    /// Remembers new slots and the order that makes them ascend.
    fn take_slots(&mut self, given: &[u32]) -> Result<(), WireError> {
        let mut pairs: Vec<(u32, usize)> = given.iter().copied().zip(0..).collect();
        let ascending = given.is_sorted();
        if !ascending {
            pairs.sort_unstable();
        }
        let twice = pairs.windows(2).find_map(|pair| match *pair {
            [(a, _), (b, _)] if a == b => Some(a),
            _ => None,
        });
        if let Some(slot) = twice {
            return Err(WireError::DuplicateSlot(slot));
        }
        self.given.clear();
        self.given.extend_from_slice(given);
        self.slots.clear();
        self.slots.extend(pairs.iter().map(|&(slot, _)| slot));
        self.order.clear();
        if !ascending {
            self.order.extend(pairs.iter().map(|&(_, at)| at));
        }
        Ok(())
    }

    fn quantize(&mut self, input: &FrameInput<'_>) {
        for ((number, coordinates), next) in (0..).zip([input.x, input.y, input.z]).zip(&mut self.next) {
            if self.order.is_empty() {
                self.grid.quantize(number, coordinates, next);
            } else {
                self.sorted.clear();
                self.sorted.extend(self.order.iter().filter_map(|&at| coordinates.get(at).copied()));
                self.grid.quantize(number, &self.sorted, next);
            }
        }
    }
}

fn check_shape(input: &FrameInput<'_>) -> Result<(), WireError> {
    let slots = input.slots.len();
    if slots > MAX_AGENTS {
        return Err(WireError::TooLarge { what: "agents in a frame", got: slots, limit: MAX_AGENTS });
    }
    match [input.x, input.y, input.z].into_iter().map(<[f32]>::len).find(|&length| length != slots) {
        Some(coordinates) => Err(WireError::Shape { slots, coordinates }),
        None => Ok(()),
    }
}
