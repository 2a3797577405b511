//! The swarm actor: owns one swarm, its agents, tasks and topology.
//!
//! A shell: decisions are [`SwarmModel`](crate::domain::SwarmModel)'s, rows are the saver's, calls to the
//! agent runtime are [`commands`] and [`follow`]'s. It knows no socket, no frame and no GPU. First start and
//! restart are the same: [`recovery`] loads everything from the store, and the loop in [`follow`] makes the
//! runtime agree with it.

mod commands;
mod follow;
mod graph;
mod handle;
mod messages;
mod reconcile;
mod recovery;
mod saver;
mod state;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

pub use handle::SwarmHandle;
pub use messages::Deleted;
pub(crate) use messages::{CancelTask, DeleteSwarm, RemoveAgent, SpawnAgent, SubmitTask, Used};

use super::CommandError;
use super::compute::ComputeHandle;
use super::directory::{SwarmDirectory, SwarmEntry};
use super::frames::FramesHandle;
use super::mcp::AgentRuntime;
use crate::runtime::{CallError, Exit, ExitLink};
use crate::store::Store;
use state::Live;

/// Commands of one swarm that are under way at a time; more are refused at once.
const COMMANDS_MAX: usize = 256;

/// Plain values that swarms run by.
#[derive(Debug, Clone, Copy)]
pub struct SwarmConfig {
    /// How often the runtime is asked for the agents' state.
    pub poll_interval: Duration,
    /// Longest time for one call to the runtime that no client waits for.
    pub call_timeout: Duration,
    /// Without use for this long the swarm is put to sleep.
    pub idle_timeout: Duration,
}

/// What a swarm actor is made of; survives its crashes.
#[derive(Debug, Clone)]
pub(crate) struct SwarmSeed {
    pub(crate) entry: Arc<SwarmEntry>,
    pub(crate) directory: Arc<SwarmDirectory>,
    pub(crate) store: Store,
    pub(crate) runtime: AgentRuntime,
    pub(crate) compute: ComputeHandle,
    pub(crate) frames: FramesHandle,
    pub(crate) config: SwarmConfig,
}

/// The actor. See the module.
#[derive(Debug)]
pub struct SwarmActor {
    seed: SwarmSeed,
    link: ExitLink,
    /// `None` until the recovery is done; no message is handled before.
    live: Option<Live>,
}

impl SwarmActor {
    pub(crate) const fn fresh(seed: SwarmSeed, link: ExitLink) -> Self {
        Self { seed, link, live: None }
    }

    /// Runs `command` to its end, whether or not its asker still waits.
    fn command<T, F, Fut>(&self, command: F) -> ResponseActFuture<Self, Result<T, CommandError>>
    where
        T: 'static,
        F: FnOnce(Live) -> Fut,
        Fut: Future<Output = Result<T, CommandError>> + 'static,
    {
        let Some(live) = self.live.clone() else {
            return Box::pin(fut::err(CommandError::Busy(CallError::Crashed)));
        };
        if live.with(|state| state.commands) >= COMMANDS_MAX {
            metrics::counter!("visionflow_swarm_commands_refused_total").increment(1);
            return Box::pin(fut::err(CommandError::Busy(CallError::Full)));
        }
        live.with(|state| state.commands += 1);
        let done = live.clone();
        let run = command(live).into_actor(self);
        Box::pin(run.map(move |result, _, _| {
            done.with(|state| state.commands -= 1);
            result
        }))
    }

    /// Stops so that the guardian restarts the actor from what is persisted.
    fn fail(&self, why: String, ctx: &mut Context<Self>) {
        self.link.declare(Exit::Fault(why));
        ctx.stop();
    }
}

impl Actor for SwarmActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let recovery = recovery::recover(self.seed.clone());
        ctx.wait(recovery.into_actor(self).map(|recovered, actor, ctx| match recovered {
            Ok(Some(live)) => {
                actor.live = Some(live.clone());
                ctx.spawn(
                    saver::run(live.clone()).into_actor(actor).map(|why, actor, ctx| actor.fail(why, ctx)),
                );
                ctx.spawn(follow::run(live).into_actor(actor).map(|(), _, ctx| ctx.stop()));
            }
            // deleted meanwhile: nothing is left to do
            Ok(None) => ctx.stop(),
            Err(error) => actor.fail(format!("loading the swarm: {error}"), ctx),
        }));
    }
}

impl Supervised for SwarmActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::fresh(self.seed.clone(), self.link.clone());
    }
}

impl Handler<SpawnAgent> for SwarmActor {
    type Result = ResponseActFuture<Self, Result<crate::domain::Agent, CommandError>>;

    fn handle(&mut self, msg: SpawnAgent, _: &mut Self::Context) -> Self::Result {
        self.command(|live| commands::spawn_agent(live, msg))
    }
}

impl Handler<RemoveAgent> for SwarmActor {
    type Result = ResponseActFuture<Self, Result<crate::domain::Agent, CommandError>>;

    fn handle(&mut self, msg: RemoveAgent, _: &mut Self::Context) -> Self::Result {
        self.command(|live| commands::remove_agent(live, msg))
    }
}

impl Handler<SubmitTask> for SwarmActor {
    type Result = ResponseActFuture<Self, Result<crate::domain::Task, CommandError>>;

    fn handle(&mut self, msg: SubmitTask, _: &mut Self::Context) -> Self::Result {
        self.command(|live| commands::submit_task(live, msg))
    }
}

impl Handler<CancelTask> for SwarmActor {
    type Result = ResponseActFuture<Self, Result<crate::domain::Task, CommandError>>;

    fn handle(&mut self, msg: CancelTask, _: &mut Self::Context) -> Self::Result {
        self.command(|live| commands::cancel_task(live, msg))
    }
}

impl Handler<DeleteSwarm> for SwarmActor {
    type Result = ResponseActFuture<Self, Result<Deleted, CommandError>>;

    fn handle(&mut self, msg: DeleteSwarm, _: &mut Self::Context) -> Self::Result {
        self.command(|live| commands::delete(live, msg))
    }
}

impl Handler<Used> for SwarmActor {
    type Result = ();

    fn handle(&mut self, _: Used, _: &mut Self::Context) {
        if let Some(live) = &self.live {
            live.used();
        }
    }
}
