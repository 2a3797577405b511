//! What the hub knows of one swarm: its newest positions and an encoder per rate class.

use std::sync::Arc;

use super::channel::{FrameChannel, Published, RATE_CLASSES};
use crate::compute::{Tick, TickSegment};
use crate::domain::{SwarmId, Timestamp};
use crate::store::Snapshot;
use crate::wire::{Encoder, EncoderConfig, FrameInput};

/// The newest positions of a swarm, whatever its sessions take.
#[derive(Debug, Default)]
struct Positions {
    slots: Vec<u32>,
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    roster_version: u32,
    tick: u64,
}

/// One swarm in the hub.
#[derive(Debug)]
pub(super) struct Track {
    channel: Arc<FrameChannel>,
    encoders: [Encoder; RATE_CLASSES],
    newest: Positions,
    beats: u64,
    /// Whether a frame was published since the last heartbeat.
    fresh: [bool; RATE_CLASSES],
    unsaved: bool,
    at_rest: bool,
}

impl Track {
    /// Starts streams with the numbers that `next_stream` gives.
    pub(super) fn new(channel: Arc<FrameChannel>, mut next_stream: impl FnMut() -> u32) -> Self {
        Self {
            channel,
            encoders: std::array::from_fn(|_| Encoder::new(EncoderConfig::new(next_stream()))),
            newest: Positions::default(),
            beats: 0,
            fresh: [false; RATE_CLASSES],
            unsaved: false,
            at_rest: false,
        }
    }

    /// Copies the positions out, so that the tick's buffers go back to the compute actor at once.
    pub(super) fn take(&mut self, tick: &Tick, segment: &TickSegment) {
        fn copy<T: Copy>(to: &mut Vec<T>, from: &[T]) {
            to.clear();
            to.extend_from_slice(from);
        }
        let Some(at) = tick.positions(segment) else { return };
        copy(&mut self.newest.slots, at.slots);
        copy(&mut self.newest.x, at.x);
        copy(&mut self.newest.y, at.y);
        copy(&mut self.newest.z, at.z);
        self.newest.roster_version = segment.revision;
        self.newest.tick = tick.number;
        self.unsaved = true;
        self.at_rest = segment.asleep;
    }

    /// Encodes for every rate class that is watched and due, and wakes its sessions.
    pub(super) fn send(&mut self, tick: u64, now_us: u64) {
        let resting = self.at_rest;
        for class in 0..RATE_CLASSES {
            // classes are out of phase, so that their work is spread; the last frame before rest is for all
            let phase = (1u64 << class) / 2;
            let due = resting || (tick.wrapping_add(phase)).is_multiple_of(1 << class);
            if due && self.channel.is_watched(class) {
                self.encode(class, now_us, false);
            }
        }
    }

    /// Publishes the present state of a class with a keyframe, as for a new session of a swarm at rest.
    pub(super) fn show(&mut self, class: usize, now_us: u64) {
        if class < RATE_CLASSES {
            self.channel.want_keyframe(class);
            self.encode(class, now_us, true);
        }
    }

    fn encode(&mut self, class: usize, now_us: u64, always: bool) {
        let Some(encoder) = self.encoders.get_mut(class) else { return };
        let epoch = self.channel.roster().epoch;
        let input = FrameInput {
            slots: &self.newest.slots,
            x: &self.newest.x,
            y: &self.newest.y,
            z: &self.newest.z,
            epoch,
            roster_version: self.newest.roster_version,
            // the wire's counter wraps; clients compare it modulo 2^32
            tick: u32::try_from(self.newest.tick & u64::from(u32::MAX)).unwrap_or(0),
            server_time_us: now_us,
            force_keyframe: false,
        };
        let encoded = match encoder.encode(&input) {
            Ok(encoded) => encoded,
            Err(error) => {
                metrics::counter!("visionflow_frames_unencodable_total").increment(1);
                tracing::error!(swarm.id = %self.channel.swarm(), %error, "encoding a frame");
                return;
            }
        };
        if encoded.is_unchanged() && !always {
            return;
        }
        let with_keyframe = encoded.key_reason.is_some() || self.channel.take_keyframe_due(class) || always;
        self.channel.publish(
            class,
            Published {
                stream: encoder.stream(),
                seq: encoded.seq,
                base_seq: encoded.base_seq,
                epoch,
                roster_version: input.roster_version,
                delta: encoded.delta,
                keyframe: if with_keyframe { encoder.keyframe() } else { None },
                heartbeat: None,
            },
        );
        if let Some(fresh) = self.fresh.get_mut(class) {
            *fresh = true;
        }
        self.channel.wake_class(class);
    }

    /// Gives a sign of life to the classes that had no frame since the last one.
    pub(super) fn heartbeat(&mut self, now_us: u64) {
        self.beats += 1;
        for (class, (encoder, fresh)) in self.encoders.iter().zip(&mut self.fresh).enumerate() {
            let had_frame = std::mem::take(fresh);
            if had_frame || !self.channel.is_watched(class) {
                continue;
            }
            let tick = u32::try_from(self.newest.tick & u64::from(u32::MAX)).unwrap_or(0);
            if let Some(beat) = encoder.heartbeat(tick, now_us) {
                let published = self.channel.frame(class);
                self.channel.publish(class, Published { heartbeat: Some((self.beats, beat)), ..published });
                self.channel.wake_class(class);
            }
        }
    }

    /// Whether the swarm came to rest with positions that are not kept yet.
    pub(super) const fn came_to_rest(&self) -> bool {
        self.unsaved && self.at_rest
    }

    /// The positions to be kept, unless they are already.
    pub(super) fn snapshot(&mut self, swarm: SwarmId, taken_at: Timestamp) -> Option<Snapshot> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        let n = &self.newest;
        let points = n.x.iter().zip(&n.y).zip(&n.z).map(|((x, y), z)| [*x, *y, *z]);
        Some(Snapshot {
            swarm_id: swarm,
            epoch: self.channel.roster().epoch,
            tick: n.tick,
            taken_at,
            positions: n.slots.iter().copied().zip(points).collect(),
        })
    }
}
