//! The demo: one swarm of each topology with agents at work, so that a newcomer sees motion at once.

use std::time::Duration;

use crate::actors::CommandError;
use crate::actors::swarm::SwarmHandle;
use crate::actors::swarms::SwarmsHandle;
use crate::domain::{AgentState, AgentType, NewAgent, NewSwarm, NewTask, SwarmStrategy, Topology};
use crate::runtime::Deadline;

/// Agents per demo swarm.
const AGENTS: usize = 24;
/// Longest time for one step of it.
const STEP: Duration = Duration::from_secs(10);
/// How often new work is given while the demo runs.
const WORK_INTERVAL: Duration = Duration::from_secs(4);

/// Creates the demo's swarms for `owner`, unless they are there already, and keeps them at work until dropped.
///
/// Never returns by itself after the swarms stand; a swarm that somebody deletes is left alone.
///
/// # Errors
/// [`CommandError`] when a swarm or an agent could not be created, such as beyond the owner's limit.
pub async fn populate(swarms: SwarmsHandle, owner: &str) -> Result<(), CommandError> {
    let mut demo = Vec::new();
    for topology in Topology::ALL {
        demo.push(swarm_of(&swarms, owner, *topology).await?);
    }
    // all at once: a viewer that is open sees all four grow
    let grown = futures_util::future::join_all(demo.iter().map(|swarm| grow(swarm, owner))).await;
    grown.into_iter().collect::<Result<Vec<()>, _>>()?;
    tracing::info!(swarms = demo.len(), agents = AGENTS, "the demo is at work");
    for round in 0u32.. {
        for (swarm, turn) in demo.iter().zip(round..) {
            let done = async {
                work(swarm, owner, round).await?;
                // one swarm per round, so that something always moves and nothing ever flickers
                if turn.is_multiple_of(4) { relieve(swarm, owner).await } else { Ok(()) }
            };
            if let Err(error) = done.await {
                tracing::debug!(swarm.id = %swarm.id(), %error, "giving the demo work");
            }
        }
        tokio::time::sleep(WORK_INTERVAL).await;
    }
    Ok(())
}

/// Ends the agent that has been there for longest, but not the leader, and spawns one of its type.
async fn relieve(swarm: &SwarmHandle, owner: &str) -> Result<(), CommandError> {
    let view = swarm.view();
    let oldest = view
        .agents
        .iter()
        .find(|agent| agent.kind != AgentType::Coordinator && agent.state == AgentState::Idle);
    let Some(oldest) = oldest else { return Ok(()) };
    swarm.remove_agent(oldest.id.clone(), owner, Deadline::within(STEP)).await?;
    let new = NewAgent { kind: oldest.kind, name: None, capabilities: oldest.capabilities.clone() };
    swarm.spawn_agent(new, owner, Deadline::within(STEP)).await?;
    Ok(())
}

async fn swarm_of(
    swarms: &SwarmsHandle,
    owner: &str,
    topology: Topology,
) -> Result<SwarmHandle, CommandError> {
    let name = format!("demo-{topology}");
    let existing = swarms.page(Some(owner), None, usize::MAX);
    if let Some(view) = existing.iter().find(|view| view.swarm.name == name)
        && let Some(swarm) = swarms.find(view.swarm.id)
    {
        return Ok(swarm);
    }
    let new = NewSwarm { name, topology, strategy: SwarmStrategy::Adaptive, max_agents: 50 };
    swarms.create(new, owner, Deadline::within(STEP)).await
}

async fn grow(swarm: &SwarmHandle, owner: &str) -> Result<(), CommandError> {
    let present = swarm.view().agents.len();
    // the leader first, then everybody else in turn
    let leader = std::iter::once(AgentType::Coordinator);
    let others = AgentType::ALL
        .iter()
        .copied()
        .filter(|kind| !matches!(kind, AgentType::Coordinator | AgentType::Queen));
    let kinds = leader.chain(others.cycle());
    for kind in kinds.take(AGENTS).skip(present) {
        let new = NewAgent { kind, name: None, capabilities: vec!["demo".into()] };
        swarm.spawn_agent(new, owner, Deadline::within(STEP)).await?;
    }
    Ok(())
}

async fn work(swarm: &SwarmHandle, owner: &str, round: u32) -> Result<(), CommandError> {
    let open = swarm.view().tasks.iter().filter(|task| !task.status.is_final()).count();
    if open >= 3 {
        return Ok(());
    }
    let new = NewTask::parse(format!("demo task {}", round + 1), None, Some("parallel"), Some(6))?;
    swarm.submit_task(new, owner, Deadline::within(STEP)).await?;
    Ok(())
}
