//! Makes the runtime agree with what is persisted: after a start, a crash, a loss of the runtime.
//!
//! The store says what should be, the runtime's own lists say what is. What the runtime lacks is sent again
//! under its key, so that something which happened after all is not made twice.

use super::commands;
use super::state::Live;
use crate::actors::mcp::McpError;
use crate::domain::{Agent, AgentReport, AgentState, CommandStage, Task};
use crate::telemetry::clock;

/// Brings swarm, agents and tasks to where they should be.
///
/// # Errors
/// The first [`McpError`] that is not about one agent or task alone; the next round starts over.
pub(super) async fn reconcile(live: &Live) -> Result<(), McpError> {
    // cleared first: what fails meanwhile sets it again
    live.with(|state| state.reconcile = false);
    let new = ensure_swarm(live).await?;
    let listed = live.seed.runtime.agent_list(&live.swarm(), live.own_deadline()).await?;
    let agents: Vec<Agent> = live.with(|state| state.model.agents().cloned().collect());
    for agent in &agents {
        reconcile_agent(live, agent, &listed, new).await?;
    }
    let tasks: Vec<Task> = live.with(|state| state.model.tasks().cloned().collect());
    for task in tasks.iter().filter(|task| !task.status.is_final()) {
        let lost = new || task.runtime_id.is_none();
        if lost && !live.with(|state| state.tasks_under_way.contains(&task.id)) {
            finish(commands::orchestrate(live, task, live.own_deadline()).await);
        }
    }
    Ok(())
}

/// Makes the runtime know the swarm; says whether it did not know it before.
async fn ensure_swarm(live: &Live) -> Result<bool, McpError> {
    let swarm = live.swarm();
    if swarm.runtime_id.is_some() {
        match live.seed.runtime.swarm_status(&swarm, live.own_deadline()).await {
            Ok(_) => return Ok(false),
            Err(error) if error.refusal().is_none() => return Err(error),
            Err(_unknown_there) => {}
        }
    }
    let runtime_id = live.seed.runtime.swarm_init(&swarm, live.own_deadline()).await?;
    live.note(|state| {
        state.model.swarm.runtime_id = Some(runtime_id);
        state.model.swarm.touch(clock::now());
        state.save_swarm();
    });
    Ok(true)
}

async fn reconcile_agent(
    live: &Live,
    agent: &Agent,
    listed: &[AgentReport],
    new: bool,
) -> Result<(), McpError> {
    if live.with(|state| state.agents_under_way.contains(&agent.id)) {
        return Ok(());
    }
    let report = listed
        .iter()
        .find(|r| r.key.as_ref() == Some(&agent.id) || agent.runtime_id.as_ref() == Some(&r.runtime_id));
    let unsent = matches!(agent.stage, CommandStage::Accepted | CommandStage::Sent);
    match (agent.state, report) {
        (AgentState::Terminating, Some(report)) => {
            let agent = Agent { runtime_id: Some(report.runtime_id.clone()), ..agent.clone() };
            finish(commands::send_terminate(live, &agent, live.own_deadline()).await);
        }
        (AgentState::Terminating, None) => {
            let gone = Agent { runtime_id: None, ..agent.clone() };
            finish(commands::send_terminate(live, &gone, live.own_deadline()).await);
        }
        // it is there: the observation that follows adopts it
        (_, Some(report)) if unsent => {
            let id = report.runtime_id.clone();
            finish(commands::take_spawn(live, &agent.id, Ok(id)).await);
        }
        (_, Some(_)) => {}
        (_, None) if new || unsent => {
            let answer = live.seed.runtime.agent_spawn(&live.swarm(), agent, live.own_deadline()).await;
            let unreachable = answer.as_ref().err().is_some_and(|error| error.refusal().is_none());
            let passed_on = answer.as_ref().err().cloned();
            finish(commands::take_spawn(live, &agent.id, answer).await);
            if let (true, Some(error)) = (unreachable, passed_on) {
                return Err(error);
            }
        }
        (_, None) => {}
    }
    Ok(())
}

/// A refusal is noted with its agent or task by then; a failed save restarts the actor.
fn finish<T>(done: Result<T, crate::actors::CommandError>) {
    if let Err(error) = done {
        tracing::info!(%error, "making the runtime agree with the swarm");
    }
}
