//! The swarms' supervisor: creates, wakes and watches swarm actors.
//!
//! Soft state alone: the directory, which lives outside, knows every swarm and its actor, so that after a
//! crash of this actor the living ones are found again. Swarm actors run on the `swarm-*` arbiters, chosen
//! by their id, never on this one.

mod boot;
mod handle;

use std::sync::Arc;

use actix::prelude::*;

pub use boot::boot;
pub use handle::SwarmsHandle;

use super::CommandError;
use super::compute::ComputeHandle;
use super::directory::{SwarmDirectory, SwarmEntry, SwarmView};
use super::frames::FramesHandle;
use super::mcp::AgentRuntime;
use super::swarm::{SwarmActor, SwarmConfig, SwarmSeed};
use crate::domain::{EventKind, NewSwarm, SwarmId, SwarmState};
use crate::runtime::{
    Arbiters, CallError, ChildEvent, ExitLink, Guardian, Handle as ActorHandle, ParentSink, RestartPolicy,
};
use crate::store::{Change, Store};
use crate::telemetry::clock;

/// Messages that wait for the supervisor; more are refused at once.
const MAILBOX: usize = 256;
/// Commands that wait for one swarm; more are refused at once.
const SWARM_MAILBOX: usize = 128;

/// Persists a new swarm and starts its actor.
#[derive(Message, Debug)]
#[rtype(result = "Result<Arc<SwarmEntry>, CommandError>")]
pub(super) struct CreateSwarm {
    new: NewSwarm,
    owner: String,
}

/// Starts the actor of a swarm that sleeps.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), CommandError>")]
pub(super) struct WakeSwarm {
    id: SwarmId,
    /// Also one that has failed: it can be deleted, and nothing else.
    even_failed: bool,
}

/// What swarms are made of; survives the supervisor's crashes.
#[derive(Debug, Clone)]
pub struct SwarmParts {
    /// Every swarm that is alive.
    pub directory: Arc<SwarmDirectory>,
    /// Where everything is kept.
    pub store: Store,
    /// Calls to the agent runtime.
    pub runtime: AgentRuntime,
    /// The layout.
    pub compute: ComputeHandle,
    /// The frames.
    pub frames: FramesHandle,
    /// Where swarm actors run.
    pub arbiters: Arc<Arbiters>,
    /// Plain values.
    pub config: SwarmConfig,
    /// `MAX_SWARMS_PER_CLIENT`.
    pub max_swarms_per_owner: usize,
}

/// The actor. See the module.
#[derive(Debug)]
pub struct SwarmSupervisor {
    parts: SwarmParts,
}

impl SwarmSupervisor {
    /// Starts the supervisor on the arbiter `control`.
    pub fn start(
        arbiter: &ArbiterHandle,
        parts: SwarmParts,
        parent: ParentSink<&'static str>,
    ) -> SwarmsHandle {
        let (directory, store) = (Arc::clone(&parts.directory), parts.store.clone());
        let make = move |_: ExitLink| Self { parts };
        let handle = Guardian::start(arbiter, "swarms", MAILBOX, RestartPolicy::permanent(), parent, make);
        SwarmsHandle::new(handle, directory, store)
    }
}

/// Starts the actor of an entry, unless it runs.
fn start_actor(parts: &SwarmParts, entry: &Arc<SwarmEntry>) {
    if entry.actor().is_some() {
        return;
    }
    let seed = SwarmSeed {
        entry: Arc::clone(entry),
        directory: Arc::clone(&parts.directory),
        store: parts.store.clone(),
        runtime: parts.runtime.clone(),
        compute: parts.compute.clone(),
        frames: parts.frames.clone(),
        config: parts.config,
    };
    // the low half of a version 7 id is random
    let hash = u64::try_from(entry.id.seed() & u128::from(u64::MAX)).unwrap_or(0);
    let arbiter = parts.arbiters.swarm_for(hash);
    let handle: ActorHandle<SwarmActor> = Guardian::start(
        &arbiter,
        entry.id,
        SWARM_MAILBOX,
        RestartPolicy::swarm(),
        on_end(parts),
        move |link| SwarmActor::fresh(seed, link),
    );
    entry.set_actor(Some(handle));
}

/// A swarm that gave up is `failed`, persisted and shown as such; the others go on.
fn on_end(parts: &SwarmParts) -> ParentSink<SwarmId> {
    let parts = parts.clone();
    ParentSink::new(move |event| match event {
        ChildEvent::Restarting { id, why, delay } => {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(swarm.id = %id, %why, delay_ms, "a swarm failed and is restarted");
        }
        ChildEvent::GaveUp { id, why } => {
            tracing::error!(swarm.id = %id, %why, "a swarm failed too often");
            let parts = parts.clone();
            actix::spawn(async move { mark_failed(&parts, id, why.to_string()).await });
        }
        ChildEvent::Finished { id } => tracing::debug!(swarm.id = %id, "a swarm's actor ended"),
    })
}

async fn mark_failed(parts: &SwarmParts, id: SwarmId, why: String) {
    let Some(entry) = parts.directory.get(id) else { return };
    entry.set_actor(None);
    let mut view = SwarmView::clone(&entry.view());
    let (from, now) = (view.swarm.status, clock::now());
    if !view.swarm.advance(SwarmState::Failed, Some(why.clone()), now) {
        return;
    }
    let event = EventKind::SwarmStateChanged { from, to: SwarmState::Failed, reason: Some(why) };
    let mut change = Change::new(id);
    change.swarm = Some(view.swarm.clone());
    change.events.push((event, "server".into(), now));
    if let Err(error) = parts.store.save(change).await {
        tracing::error!(swarm.id = %id, %error, "keeping that a swarm failed");
    }
    entry.publish(view);
    entry.channel.changed();
}

impl Actor for SwarmSupervisor {
    type Context = Context<Self>;
}

impl Supervised for SwarmSupervisor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self { parts: self.parts.clone() };
    }
}

impl Handler<CreateSwarm> for SwarmSupervisor {
    type Result = ResponseFuture<Result<Arc<SwarmEntry>, CommandError>>;

    fn handle(&mut self, msg: CreateSwarm, _: &mut Self::Context) -> Self::Result {
        let parts = self.parts.clone();
        Box::pin(async move {
            let now = clock::now();
            let swarm = msg.new.accept(SwarmId(clock::uuid_v7()), msg.owner, now);
            // persisted as `creating` before any side effect: a crash from here on is resumed at the next start
            let (created, by) = (EventKind::SwarmCreated { name: swarm.name.clone() }, swarm.owner.clone());
            let limit = parts.max_swarms_per_owner;
            let event = parts.store.create_swarm(swarm.clone(), limit, created, by).await?;
            let view = SwarmView { swarm, agents: Vec::new(), tasks: Vec::new(), attempted: false };
            let entry = parts.directory.add(view);
            entry.channel.push_events([event]);
            start_actor(&parts, &entry);
            Ok(entry)
        })
    }
}

impl Handler<WakeSwarm> for SwarmSupervisor {
    type Result = Result<(), CommandError>;

    fn handle(&mut self, msg: WakeSwarm, _: &mut Self::Context) -> Self::Result {
        let Some(entry) = self.parts.directory.get(msg.id) else {
            return Err(CommandError::NoSwarm(msg.id));
        };
        let swarm = &entry.view().swarm;
        if swarm.status == SwarmState::Failed && !msg.even_failed {
            let reason = swarm.reason.clone().unwrap_or_else(|| "unknown".into());
            return Err(CommandError::SwarmFailed { reason });
        }
        start_actor(&self.parts, &entry);
        entry.actor().map(drop).ok_or(CommandError::Busy(CallError::Gone))
    }
}
