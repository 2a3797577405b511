//! What others hold of the frame hub: a slot for the newest tick and three tells.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{ForgetSwarm, FrameHub, KeyframeWanted, SaveAll, TickDone};
use crate::compute::Tick;
use crate::domain::SwarmId;
use crate::runtime::{CallError, Deadline, Handle};

/// Hands ticks to the hub and asks it for keyframes. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct FramesHandle {
    pub(in crate::actors) hub: Handle<FrameHub>,
    ticks: TickSlots,
}

/// Ticks on their way to the hub: one per batch and frame, so that a hub that is late by some frames loses none.
pub(super) type TickSlots = Arc<Mutex<Vec<Arc<Tick>>>>;

/// Most ticks that wait for the hub; one more replaces the oldest and is counted.
pub(super) const TICKS_WAITING_MAX: usize = 64;

impl FramesHandle {
    pub(super) const fn new(hub: Handle<FrameHub>, ticks: TickSlots) -> Self {
        Self { hub, ticks }
    }

    /// Hands a tick over; never blocks. A hub that is late misses the oldest ticks, which later ones supersede.
    pub fn tick_done(&self, tick: Arc<Tick>) {
        let mut ticks = self.ticks.lock();
        if ticks.len() >= TICKS_WAITING_MAX {
            ticks.remove(0);
            metrics::counter!("visionflow_ticks_dropped_total").increment(1);
        }
        ticks.push(tick);
        let first = ticks.len() == 1;
        drop(ticks);
        if first && self.hub.tell(TickDone).is_err() {
            // the hub is gone or recovers; it looks into the slots when it starts
            metrics::counter!("visionflow_ticks_untold_total").increment(1);
        }
    }

    /// Asks for a keyframe of a swarm that may be at rest, and so may make no frame by itself.
    pub fn want_keyframe(&self, swarm: SwarmId, class: usize) {
        if self.hub.tell(KeyframeWanted { swarm, class }).is_err() {
            metrics::counter!("visionflow_keyframe_wishes_refused_total").increment(1);
        }
    }

    /// Keeps every position that is not kept yet; for the shutdown.
    ///
    /// # Errors
    /// [`CallError`] when the hub or the store did not answer in time.
    pub async fn save_all(&self, deadline: Deadline) -> Result<(), CallError> {
        self.hub.ask(SaveAll, deadline).await
    }

    /// Drops what the hub knows of a swarm that is gone or sleeps.
    pub fn forget(&self, swarm: SwarmId) {
        if self.hub.tell(ForgetSwarm(swarm)).is_err() {
            metrics::counter!("visionflow_frames_forget_refused_total").increment(1);
        }
    }
}
