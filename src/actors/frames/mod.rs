//! The frame hub: takes the newest ticks, encodes every watched swarm once per rate class, wakes sessions.
//!
//! Soft state: positions come again with the next tick, channels live in the directory. After a crash it
//! asks the compute actor for everything once and starts new streams, which sessions notice by the stream's
//! number. It also keeps positions in the store: every few seconds what moved, at once what came to rest.

mod channel;
mod handle;
mod track;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::prelude::*;

pub use channel::{FrameChannel, Published, RATE_CLASSES, Roster, Wake, Waker, class_for, class_fps};
pub use handle::FramesHandle;
use handle::TickSlots;
use track::Track;

use super::compute::ComputeHandle;
use super::directory::SwarmDirectory;
use crate::domain::SwarmId;
use crate::runtime::ticker::every;
use crate::runtime::{ExitLink, Guardian, ParentSink, RestartPolicy};
use crate::store::{Snapshot, Store};
use crate::telemetry::clock;

/// How often positions that moved are kept in the store.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(5);
/// How often a watched swarm at rest gives a sign of life.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Messages that wait for the hub: one per tick, and the wishes of new sessions.
const MAILBOX: usize = 1_024;

/// Ticks wait in the slots.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct TickDone;

/// A session needs a keyframe of a swarm that may be at rest.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct KeyframeWanted {
    swarm: SwarmId,
    class: usize,
}

/// A swarm is gone or sleeps.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct ForgetSwarm(SwarmId);

/// Keeps every position now.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct SaveAll;

/// What the hub is made of; survives its crashes.
#[derive(Debug, Clone)]
struct Seed {
    directory: Arc<SwarmDirectory>,
    store: Store,
    compute: ComputeHandle,
    ticks: TickSlots,
    /// Numbers of streams, never used twice within a process.
    next_stream: Arc<AtomicU32>,
}

/// The actor. See the module.
#[derive(Debug)]
pub struct FrameHub {
    seed: Seed,
    tracks: BTreeMap<SwarmId, Track>,
    snapshot_in_flight: bool,
}

impl FrameHub {
    /// Starts the hub on `arbiter`.
    pub fn start(
        arbiter: &ArbiterHandle,
        directory: Arc<SwarmDirectory>,
        store: Store,
        compute: ComputeHandle,
        parent: ParentSink<&'static str>,
    ) -> FramesHandle {
        let ticks = TickSlots::default();
        let seed = Seed {
            directory,
            store,
            compute,
            ticks: Arc::clone(&ticks),
            next_stream: Arc::new(AtomicU32::new(1)),
        };
        let hub = Guardian::start(
            arbiter,
            "frames",
            MAILBOX,
            RestartPolicy::permanent(),
            parent,
            move |_: ExitLink| Self::fresh(seed),
        );
        FramesHandle::new(hub, ticks)
    }

    const fn fresh(seed: Seed) -> Self {
        Self { seed, tracks: BTreeMap::new(), snapshot_in_flight: false }
    }

    /// Takes over the segments of the waiting ticks, newest last, and sends what is watched.
    fn take_ticks(&mut self) {
        let ticks = std::mem::take(&mut *self.seed.ticks.lock());
        for tick in ticks {
            for segment in &tick.segments {
                let id = SwarmId(uuid::Uuid::from_u128(segment.swarm));
                let Some(entry) = self.seed.directory.get(id) else { continue };
                let next_stream = &self.seed.next_stream;
                let track = self.tracks.entry(id).or_insert_with(|| {
                    Track::new(entry.channel.clone(), || next_stream.fetch_add(1, Ordering::Relaxed))
                });
                track.take(&tick, segment);
                track.send(tick.number, now_us());
            }
        }
    }

    /// The positions of every swarm that moved since its last snapshot.
    fn unsaved(&mut self) -> Vec<Snapshot> {
        let taken_at = clock::now();
        self.tracks.iter_mut().filter_map(|(id, track)| track.snapshot(*id, taken_at)).collect()
    }

    /// Writes what is unsaved, unless a write is under way.
    fn snapshot(&mut self, ctx: &mut Context<Self>) {
        if self.snapshot_in_flight {
            return;
        }
        let snapshots = self.unsaved();
        if snapshots.is_empty() {
            return;
        }
        self.snapshot_in_flight = true;
        let store = self.seed.store.clone();
        let write = async move { store.save_snapshots(snapshots).await };
        ctx.spawn(write.into_actor(self).map(|written, hub, _| {
            hub.snapshot_in_flight = false;
            if let Err(error) = written {
                // the layout is at most this much older after a crash; the next interval tries again
                metrics::counter!("visionflow_snapshots_failed_total").increment(1);
                tracing::warn!(%error, "keeping layout positions");
            }
        }));
    }
}

fn now_us() -> u64 {
    clock::now().timestamp_micros().cast_unsigned()
}

impl Actor for FrameHub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.seed.compute.publish_all();
        self.take_ticks();
        every(ctx, "heartbeat", HEARTBEAT_INTERVAL, |hub: &mut Self, _, _| {
            let now = now_us();
            for track in hub.tracks.values_mut() {
                track.heartbeat(now);
            }
            ControlFlow::Continue(())
        });
        every(ctx, "snapshot", SNAPSHOT_INTERVAL, |hub: &mut Self, ctx, _| {
            hub.snapshot(ctx);
            ControlFlow::Continue(())
        });
    }
}

impl Supervised for FrameHub {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::fresh(self.seed.clone());
    }
}

impl Handler<TickDone> for FrameHub {
    type Result = ();

    fn handle(&mut self, _: TickDone, ctx: &mut Self::Context) {
        self.take_ticks();
        if self.tracks.values().any(Track::came_to_rest) {
            self.snapshot(ctx);
        }
    }
}

impl Handler<KeyframeWanted> for FrameHub {
    type Result = ();

    fn handle(&mut self, wanted: KeyframeWanted, _: &mut Self::Context) {
        if let Some(track) = self.tracks.get_mut(&wanted.swarm) {
            track.show(wanted.class, now_us());
        }
    }
}

impl Handler<SaveAll> for FrameHub {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: SaveAll, _: &mut Self::Context) -> Self::Result {
        self.take_ticks();
        let (store, snapshots) = (self.seed.store.clone(), self.unsaved());
        Box::pin(async move {
            if let Err(error) = store.save_snapshots(snapshots).await {
                tracing::warn!(%error, "keeping layout positions at the end");
            }
        })
    }
}

impl Handler<ForgetSwarm> for FrameHub {
    type Result = ();

    fn handle(&mut self, gone: ForgetSwarm, _: &mut Self::Context) {
        self.tracks.remove(&gone.0);
    }
}
