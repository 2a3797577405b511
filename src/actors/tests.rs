//! The actors together, with a real store, a real agent runtime on a socket, and planned panics.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::CommandError;
use super::compute::{ComputeActor, ComputeConfig, ComputeGuard, ComputeHandle};
use super::directory::SwarmDirectory;
use super::frames::{FrameHub, FramesHandle};
use super::mcp::{AgentRuntime, McpActor, McpConfig, McpHandle, McpState, McpTarget};
use super::swarm::{SwarmActor, SwarmConfig, SwarmHandle};
use super::swarms::{SwarmParts, SwarmSupervisor, SwarmsHandle, boot};
use crate::domain::{
    AgentState, AgentType, CommandStage, DomainError, NewAgent, NewSwarm, NewTask, Observation, Source,
    SwarmState, TaskState, Topology,
};
use crate::mcp_runtime::{McpRuntime, RunningRuntime, RuntimeConfig};
use crate::runtime::{Arbiters, Board, Deadline, ParentSink, eventually};
use crate::store::Store;
use crate::testkit::test_db::TestDb;
use crate::wire::Decoder;

/// Makes the actor that gets it panic.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
struct Panic;

macro_rules! panics {
    ($($actor:ty),+ $(,)?) => {$(
        impl Handler<Panic> for $actor {
            type Result = ();
            fn handle(&mut self, _: Panic, _: &mut Self::Context) { panic!("planned") }
        }
    )+};
}
panics!(SwarmActor, SwarmSupervisor, McpActor, ComputeActor, FrameHub);

const BOUND: Duration = Duration::from_secs(20);

/// Everything but HTTP, on one database.
struct World {
    swarms: SwarmsHandle,
    parts: SwarmParts,
    frames: FramesHandle,
    compute: ComputeHandle,
    guard: ComputeGuard,
    mcp: McpHandle,
    runtime: Option<RunningRuntime>,
    arbiters: Arc<Arbiters>,
}

async fn start_runtime() -> RunningRuntime {
    let any = "127.0.0.1:0".parse().unwrap();
    let config = RuntimeConfig { mcp_addr: any, health_addr: any, ..RuntimeConfig::default() };
    McpRuntime::start(config).await.unwrap()
}

impl World {
    async fn start(db: &TestDb) -> Self {
        let runtime = start_runtime().await;
        let port = runtime.mcp_addr().port();
        let mut world = Self::with_runtime_at(db.store().unwrap(), port).await;
        world.runtime = Some(runtime);
        world
    }

    async fn with_runtime_at(store: Store, port: u16) -> Self {
        let names = ["control", "mcp", "compute", "frames"];
        let arbiters = Arc::new(Arbiters::start(&names, NonZeroUsize::MIN, &Board::default()).unwrap());
        let on = |name| arbiters.get(name).unwrap();
        let target = McpTarget::Tcp { host: "127.0.0.1".into(), port };
        let config = McpConfig { timeout: Duration::from_secs(5), ..McpConfig::new(target) };
        let mcp = McpActor::start(config, &on("mcp"), ParentSink::ignore()).unwrap();
        let config = ComputeConfig { fps: 240, batch_size: 64 };
        let (compute, guard) = ComputeActor::start(&on("compute"), config, ParentSink::ignore());
        let directory = Arc::new(SwarmDirectory::default());
        let frames = FrameHub::start(
            &on("frames"),
            Arc::clone(&directory),
            store.clone(),
            compute.clone(),
            ParentSink::ignore(),
        );
        assert!(guard.publish_to(frames.clone()));
        let parts = SwarmParts {
            directory,
            store,
            runtime: AgentRuntime::new(mcp.clone()),
            compute: compute.clone(),
            frames: frames.clone(),
            arbiters: Arc::clone(&arbiters),
            config: SwarmConfig {
                poll_interval: Duration::from_millis(100),
                call_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(3600),
            },
            max_swarms_per_owner: 5,
        };
        let swarms = SwarmSupervisor::start(&on("control"), parts.clone(), ParentSink::ignore());
        boot(&parts).await.unwrap();
        Self { swarms, parts, frames, compute, guard, mcp, runtime: None, arbiters }
    }

    async fn stop(self) {
        assert!(self.frames.save_all(soon()).await.is_ok());
        if let Some(runtime) = self.runtime {
            runtime.shutdown(Duration::from_secs(2)).await;
        }
        let report = self.arbiters.stop_all(soon()).await;
        assert!(report.stuck.is_empty(), "{report:?}");
    }

    async fn swarm(&self, topology: Topology, agents: usize) -> SwarmHandle {
        let new = NewSwarm::parse("test".into(), Some(topology.as_str()), None, None, topology, 200).unwrap();
        let swarm = self.swarms.create(new, "alice", soon()).await.unwrap();
        assert_eq!(swarm.view().swarm.status, SwarmState::Active);
        for _ in 0..agents {
            let agent = swarm.spawn_agent(coder(), "alice", soon()).await.unwrap();
            assert!(matches!(agent.stage, CommandStage::Acknowledged | CommandStage::Verified), "{agent:?}");
        }
        swarm
    }
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(10))
}

fn coder() -> NewAgent {
    NewAgent { kind: AgentType::Coder, name: None, capabilities: vec!["rust".into()] }
}

async fn all_verified(swarm: &SwarmHandle, count: usize) {
    eventually("every agent is verified by the runtime's list", BOUND, || {
        let view = swarm.view();
        view.agents.len() == count && view.agents.iter().all(|agent| agent.stage == CommandStage::Verified)
    })
    .await;
}

/// Positions by slot as a session would decode them from a keyframe.
async fn positions(world: &World, swarm: &SwarmHandle) -> Vec<(u32, [f32; 3])> {
    let channel = swarm.channel();
    world.frames.want_keyframe(swarm.id(), 0);
    let found = std::cell::RefCell::new(Vec::new());
    eventually("a keyframe with every agent", BOUND, || {
        let Some(keyframe) = channel.frame(0).keyframe else {
            world.frames.want_keyframe(swarm.id(), 0);
            return false;
        };
        let mut decoder = Decoder::new();
        let view = decoder.apply(&keyframe).unwrap();
        *found.borrow_mut() = view.positions().collect();
        found.borrow().len() == swarm.view().agents.len()
    })
    .await;
    found.into_inner()
}

async fn at_rest(world: &World) {
    // the health is a second old at most: only one made from now on knows what was asked of the layout before
    let seen = world.compute.health().ticks;
    eventually("the layout rests", BOUND, || {
        let health = world.compute.health();
        health.ticks != seen && health.awake == 0 && health.swarms > 0
    })
    .await;
}

fn farthest(one: &[(u32, [f32; 3])], other: &[(u32, [f32; 3])]) -> f32 {
    assert_eq!(one.len(), other.len());
    let apart =
        |a: &[f32; 3], b: &[f32; 3]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    one.iter().zip(other).map(|((_, a), (_, b))| apart(a, b)).fold(0.0, f32::max)
}

#[actix::test]
async fn a_swarm_lives_from_its_creation_to_its_end() {
    for db in TestDb::each() {
        let world = World::start(&db).await;
        let swarm = world.swarm(Topology::Star, 6).await;
        all_verified(&swarm, 6).await;
        let task = NewTask::parse("count to ten".into(), None, Some("parallel"), Some(3)).unwrap();
        let task = swarm.submit_task(task, "alice", soon()).await.unwrap();
        eventually("an agent works", BOUND, || {
            swarm.view().agents.iter().any(|agent| agent.state == AgentState::Busy)
        })
        .await;
        eventually("the task completes", BOUND, || {
            swarm.view().task(task.id).is_some_and(|task| task.status == TaskState::Completed)
        })
        .await;
        let done = swarm.view().task(task.id).cloned().unwrap();
        assert_eq!(done.progress, Some(1.0));
        assert!(done.result.unwrap().starts_with("simulated work"));

        let gone = swarm.view().agents.last().unwrap().id.clone();
        swarm.remove_agent(gone.clone(), "alice", soon()).await.unwrap();
        eventually("the agent is gone", BOUND, || swarm.view().agent(&gone).is_none()).await;
        swarm.delete("alice", soon()).await.unwrap();
        assert!(world.swarms.find(swarm.id()).is_none());
        assert!(world.parts.store.load_swarm(swarm.id()).await.unwrap().is_none());
        world.stop().await;
    }
}

#[actix::test]
async fn limits_hold_under_concurrent_commands() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let create = |n: usize| {
        let new = NewSwarm::parse(format!("s{n}"), None, None, Some(3), Topology::Ring, 200).unwrap();
        world.swarms.create(new, "alice", soon())
    };
    let created = futures_util::future::join_all((0..9).map(create)).await;
    let (made, refused): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (5, 4));
    for error in refused {
        assert!(matches!(error, Err(CommandError::Domain(DomainError::SwarmLimit { live: 5, max: 5 }))));
    }
    let swarm = world.swarms.find(world.swarms.page(Some("alice"), None, 10)[0].swarm.id).unwrap();
    let spawned =
        futures_util::future::join_all((0..8).map(|_| swarm.spawn_agent(coder(), "alice", soon()))).await;
    assert_eq!(spawned.iter().filter(|agent| agent.is_ok()).count(), 3, "{spawned:?}");
    all_verified(&swarm, 3).await;
    world.stop().await;
}

#[actix::test]
async fn a_swarm_actor_that_panics_recovers_with_its_queue_its_agents_and_their_places() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let swarm = world.swarm(Topology::Ring, 8).await;
    all_verified(&swarm, 8).await;
    at_rest(&world).await;
    let before = positions(&world, &swarm).await;
    let epoch = swarm.view().swarm.epoch;

    let entry = world.parts.directory.get(swarm.id()).unwrap();
    entry.actor().unwrap().tell(Panic).unwrap();
    // queued behind the poison: handled after the recovery
    let agent = swarm.spawn_agent(coder(), "alice", soon()).await.unwrap();
    assert_eq!(agent.slot, 8);
    assert_eq!(swarm.view().swarm.epoch, epoch + 1);
    all_verified(&swarm, 9).await;
    at_rest(&world).await;
    let after = positions(&world, &swarm).await;
    let stayed: Vec<_> = after.iter().filter(|(slot, _)| *slot < 8).copied().collect();
    assert_eq!(stayed.len(), before.len());
    world.stop().await;
}

#[actix::test]
async fn a_swarm_that_fails_again_and_again_is_failed_and_the_others_go_on() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let bad = world.swarm(Topology::Mesh, 2).await;
    let good = world.swarm(Topology::Mesh, 2).await;
    let entry = world.parts.directory.get(bad.id()).unwrap();
    eventually("the swarm is given up", Duration::from_secs(60), || {
        let told = entry.actor().map(|actor| actor.tell(Panic));
        tracing::debug!(?told, "refused when the actor has just ended");
        bad.view().swarm.status == SwarmState::Failed
    })
    .await;
    assert!(bad.view().swarm.reason.clone().unwrap().contains("planned"));
    let refused = bad.spawn_agent(coder(), "alice", soon()).await.unwrap_err();
    assert!(matches!(refused, CommandError::SwarmFailed { .. }), "{refused:?}");
    good.spawn_agent(coder(), "alice", soon()).await.unwrap();
    all_verified(&good, 3).await;
    // it still counts against its owner's limit, so there must be a way out
    bad.delete("alice", soon()).await.unwrap();
    assert!(world.swarms.find(bad.id()).is_none());
    world.stop().await;
}

#[actix::test]
async fn compute_hub_connection_and_supervisor_recover_without_losing_a_swarm() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let swarm = world.swarm(Topology::Hierarchical, 12).await;
    all_verified(&swarm, 12).await;
    at_rest(&world).await;
    let before = positions(&world, &swarm).await;
    let stream = swarm.channel().frame(0).stream;

    world.guard.0.tell(Panic).unwrap();
    world.frames.hub.tell(Panic).unwrap();
    world.swarms.supervisor.tell(Panic).unwrap();
    let mut health = world.mcp.watch();
    let connects = health.borrow().connects;
    world.mcp.actor.tell(Panic).unwrap();
    let again = health.wait_for(|health| health.state == McpState::Connected && health.connects > connects);
    tokio::time::timeout(BOUND, again).await.unwrap().unwrap();

    eventually("the hub starts new streams", BOUND, || {
        world.frames.want_keyframe(swarm.id(), 0);
        swarm.channel().frame(0).stream != stream
    })
    .await;
    at_rest(&world).await;
    let after = positions(&world, &swarm).await;
    assert!(farthest(&before, &after) < 2.0, "the layout went on from where it was");
    swarm.spawn_agent(coder(), "alice", soon()).await.unwrap();
    all_verified(&swarm, 13).await;
    let another = world.swarm(Topology::Mesh, 1).await;
    all_verified(&another, 1).await;
    world.stop().await;
}

#[actix::test]
async fn everything_is_back_after_a_start_on_the_same_database() {
    for db in TestDb::each() {
        let world = World::start(&db).await;
        let swarm = world.swarm(Topology::Star, 10).await;
        all_verified(&swarm, 10).await;
        at_rest(&world).await;
        let before = positions(&world, &swarm).await;
        let agents: Vec<_> = swarm.view().agents.iter().map(|agent| (agent.id.clone(), agent.slot)).collect();
        let epoch = swarm.view().swarm.epoch;
        let id = swarm.id();
        world.stop().await;

        // another runtime that knows nothing: as after a restart of the whole process
        let world = World::start(&db).await;
        let swarm = world.swarms.find(id).unwrap();
        eventually("the swarm recovers", BOUND, || swarm.view().swarm.epoch == epoch + 1).await;
        eventually("the runtime lists every agent again", BOUND, || {
            let from_runtime = |seen: Observation| seen.source == Source::Mcp;
            swarm.view().agents.iter().all(|agent| agent.observation.is_some_and(from_runtime))
        })
        .await;
        all_verified(&swarm, 10).await;
        let again: Vec<_> = swarm.view().agents.iter().map(|agent| (agent.id.clone(), agent.slot)).collect();
        assert_eq!(again, agents);
        at_rest(&world).await;
        assert!(farthest(&before, &positions(&world, &swarm).await) < 3.0);
        world.stop().await;
    }
}

#[actix::test]
async fn without_a_runtime_swarms_wait_degrade_and_come_back() {
    let db = TestDb::sqlite();
    let runtime = start_runtime().await;
    let port = runtime.mcp_addr().port();
    let mut world = World::with_runtime_at(db.store().unwrap(), port).await;
    let swarm = world.swarm(Topology::Mesh, 3).await;
    all_verified(&swarm, 3).await;

    runtime.shutdown(Duration::from_secs(2)).await;
    eventually("the swarm is degraded", BOUND, || swarm.view().swarm.status == SwarmState::Degraded).await;
    eventually("its agents are stale, not idle", BOUND, || {
        swarm.view().agents.iter().all(|agent| agent.stale)
    })
    .await;
    let accepted = swarm.spawn_agent(coder(), "alice", soon()).await.unwrap();
    assert_eq!(accepted.stage, CommandStage::Accepted);
    let new = NewSwarm::parse("later".into(), None, None, None, Topology::Mesh, 200).unwrap();
    let waiting = world.swarms.create(new, "alice", soon()).await.unwrap();
    assert_eq!(waiting.view().swarm.status, SwarmState::Creating);

    let config = RuntimeConfig {
        mcp_addr: ([127, 0, 0, 1], port).into(),
        health_addr: ([127, 0, 0, 1], 0).into(),
        ..RuntimeConfig::default()
    };
    world.runtime = Some(McpRuntime::start(config).await.unwrap());
    all_verified(&swarm, 4).await;
    assert_eq!(swarm.view().swarm.status, SwarmState::Active);
    eventually("the new swarm is made", BOUND, || waiting.view().swarm.status == SwarmState::Active).await;
    world.stop().await;
}

#[actix::test]
async fn an_unused_swarm_falls_asleep_and_wakes_by_use_where_it_was() {
    let db = TestDb::sqlite();
    let runtime = start_runtime().await;
    let port = runtime.mcp_addr().port();
    let mut world = World::with_runtime_at(db.store().unwrap(), port).await;
    world.parts.config.idle_timeout = Duration::from_millis(1_500);
    let on = world.arbiters.get("control").unwrap();
    world.swarms = SwarmSupervisor::start(&on, world.parts.clone(), ParentSink::ignore());
    let swarm = world.swarm(Topology::Ring, 5).await;
    eventually("the swarm sleeps", BOUND, || swarm.view().swarm.status == SwarmState::Idle).await;
    eventually("its layout is gone", BOUND, || world.compute.health().swarms == 0).await;
    let agent = swarm.spawn_agent(coder(), "alice", soon()).await.unwrap();
    assert_eq!(agent.slot, 5);
    assert_eq!(swarm.view().swarm.status, SwarmState::Active);
    all_verified(&swarm, 6).await;
    world.runtime = Some(runtime);
    world.stop().await;
}
