//! The compute actor: owns the layout world and steps it at the frame rate, on a thread of its own.
//!
//! It may block that thread: nothing else lives there. Graph edits wait in the [`handle`]'s queue, which
//! keeps the newest graph per swarm, so it can't overflow and needs no answer. After a crash the world is
//! built again from the queue's record of every graph, with the positions that the old one had.

mod handle;

use std::ops::ControlFlow;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

pub use handle::{ComputeHandle, ComputeHealth};

use super::frames::FramesHandle;
use crate::compute::{
    Batches, CpuBackend, Edit, ForceBackend, Preference, Publisher, World, probe, steps_for_rate,
};
use crate::layout::Vec3;
use crate::runtime::{ExitLink, Guardian, Handle as ActorHandle, ParentSink, RestartPolicy, ticker};

/// Messages that wait for the actor; it is driven by its ticker and takes none but its start.
const MAILBOX: usize = 16;

/// Hands over the frame hub, which is started later because it needs this actor's queue.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Publish(FramesHandle);

/// Plain values that the layout runs by.
#[derive(Debug, Clone, Copy)]
pub struct ComputeConfig {
    /// `POSITION_UPDATE_FPS`, 1 to 240.
    pub fps: u32,
    /// `GPU_COMPUTE_BATCH_SIZE`: swarms per launch.
    pub batch_size: usize,
}

#[derive(Debug, Clone)]
struct Seed {
    config: ComputeConfig,
    handle: ComputeHandle,
    frames: Option<FramesHandle>,
}

/// The actor. See the module.
pub struct ComputeActor {
    seed: Seed,
    world: World,
    batches: Batches,
    publisher: Publisher,
    backend: Box<dyn ForceBackend>,
    why: String,
    /// Where nodes were in the world before a crash; used once.
    before: Vec<(u128, Vec<(u32, Vec3)>)>,
    ticks: u64,
}

impl std::fmt::Debug for ComputeActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComputeActor")
            .field("backend", &self.backend.name())
            .field("ticks", &self.ticks)
            .finish()
    }
}

/// Keeps the compute actor alive; dropping it ends the layout.
#[derive(Debug, Clone)]
pub struct ComputeGuard(pub(super) ActorHandle<ComputeActor>);

impl ComputeGuard {
    /// From now on ticks go to `frames`. Says whether the actor took it.
    #[must_use]
    pub fn publish_to(&self, frames: FramesHandle) -> bool {
        self.0.tell(Publish(frames)).is_ok()
    }
}

impl ComputeActor {
    /// Starts the actor on `arbiter`, which must be its alone.
    pub fn start(
        arbiter: &ArbiterHandle,
        config: ComputeConfig,
        parent: ParentSink<&'static str>,
    ) -> (ComputeHandle, ComputeGuard) {
        let handle = ComputeHandle::default();
        let seed = Seed { config, handle: handle.clone(), frames: None };
        let make = move |_: ExitLink| Self::fresh(seed, Vec::new());
        let actor = Guardian::start(arbiter, "compute", MAILBOX, RestartPolicy::permanent(), parent, make);
        (handle, ComputeGuard(actor))
    }

    fn fresh(seed: Seed, before: Vec<(u128, Vec<(u32, Vec3)>)>) -> Self {
        let probe = probe(Preference::Auto);
        let batches = Batches::new(seed.config.batch_size, steps_for_rate(seed.config.fps));
        Self {
            seed,
            world: World::new(),
            batches,
            publisher: Publisher::new(),
            backend: probe.backend,
            why: probe.reason,
            before,
            ticks: 0,
        }
    }

    /// Positions of every swarm, to start from after a crash. The world takes only sound ones.
    fn positions(&self) -> Vec<(u128, Vec<(u32, Vec3)>)> {
        let of = |swarm| {
            let at = self.world.positions(swarm)?;
            let points = at.x.iter().zip(at.y).zip(at.z).map(|((x, y), z)| [*x, *y, *z]);
            Some((swarm, at.slots.iter().copied().zip(points).collect()))
        };
        self.world.swarms().filter_map(of).collect()
    }

    /// Every swarm's graph again, after a start.
    fn restore(&mut self) {
        let mut queue = self.seed.handle.queue.lock();
        queue.waiting = queue.graphs.values().cloned().collect();
        drop(queue);
        self.seed.handle.publish_all();
    }

    fn take_edits(&mut self) {
        let mut queue = self.seed.handle.queue.lock();
        let edits = std::mem::take(&mut queue.waiting);
        let publish_all = std::mem::take(&mut queue.publish_all);
        drop(queue);
        for mut edit in edits {
            self.start_from_before(&mut edit);
            if let Err(error) = self.world.apply(edit) {
                metrics::counter!("visionflow_layout_edits_refused_total").increment(1);
                tracing::error!(%error, "changing the layout");
            }
        }
        self.before.clear();
        if publish_all {
            self.world.publish_all();
        }
    }

    fn start_from_before(&mut self, edit: &mut Edit) {
        if let Edit::SetGraph { swarm, start, .. } = edit
            && let Some(at) = self.before.iter().position(|(other, _)| other == swarm)
        {
            *start = Some(self.before.swap_remove(at).1);
        }
    }

    fn tick(&mut self) {
        let began = Instant::now();
        self.ticks += 1;
        self.take_edits();
        self.batches.plan(&mut self.world);
        for batch in self.batches.iter() {
            if let Err(error) = self.backend.step(&mut self.world, &batch) {
                tracing::error!(%error, "stepping the layout, going on with the CPU");
                self.why = error.to_string();
                self.backend = Box::new(CpuBackend::new());
                metrics::counter!("visionflow_compute_fallbacks_total").increment(1);
                if let Err(error) = self.backend.step(&mut self.world, &batch) {
                    tracing::error!(%error, "stepping the layout on the CPU");
                }
            }
            if let (Some(tick), Some(frames)) =
                (self.publisher.publish(&mut self.world, &batch), &self.seed.frames)
            {
                frames.tick_done(tick);
            }
        }
        metrics::histogram!("visionflow_layout_tick_seconds").record(began.elapsed().as_secs_f64());
        if self.ticks % u64::from(self.seed.config.fps.max(1)) == 1 || self.seed.config.fps == 1 {
            self.report();
        }
    }

    /// Publishes what computes, about once a second.
    fn report(&mut self) {
        let health = ComputeHealth {
            status: "ok",
            backend: self.backend.describe(),
            why: self.why.clone(),
            swarms: self.world.swarms().count(),
            awake: self.world.active().len(),
            ticks: self.ticks,
        };
        *self.seed.handle.health.write() = std::sync::Arc::new(health);
    }
}

impl Actor for ComputeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.restore();
        self.report();
        tracing::info!(backend = self.backend.describe(), why = self.why, "the layout is computed");
        let period = Duration::from_secs(1) / self.seed.config.fps.clamp(1, 240);
        ticker::every(ctx, "layout", period, |actor: &mut Self, _, _| {
            actor.tick();
            ControlFlow::Continue(())
        });
    }
}

impl Supervised for ComputeActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::fresh(self.seed.clone(), self.positions());
    }
}

impl Handler<Publish> for ComputeActor {
    type Result = ();

    fn handle(&mut self, msg: Publish, _: &mut Self::Context) {
        self.seed.frames = Some(msg.0);
        self.seed.handle.publish_all();
    }
}
