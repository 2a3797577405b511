//! What clients ask of a swarm: accepted by the model, persisted, sent to the runtime, answered.
//!
//! The answer never waits for the second observation that verifies a command; the follow loop makes that.
//! When the runtime can't be reached the command stays accepted, and the follow loop sends it later.

use super::messages::{CancelTask, DeleteSwarm, Deleted, RemoveAgent, SpawnAgent, SubmitTask};
use super::state::Live;
use crate::actors::CommandError;
use crate::actors::mcp::McpError;
use crate::domain::{
    Agent, AgentId, CommandStage, DomainError, EventKind, SwarmState, Task, TaskId, TaskState,
};
use crate::runtime::Deadline;
use crate::telemetry::clock;

pub(super) async fn spawn_agent(live: Live, msg: SpawnAgent) -> Result<Agent, CommandError> {
    let now = clock::now();
    let agent = live.with(|state| state.model.accept_agent(msg.new, msg.id.clone(), now))?;
    live.with(|state| state.agents_under_way.insert(msg.id.clone()));
    let spawned = send_spawn(&live, &agent, &msg.actor, msg.deadline).await;
    live.with(|state| state.agents_under_way.remove(&msg.id));
    live.poke.notify_one();
    spawned
}

async fn send_spawn(
    live: &Live,
    agent: &Agent,
    actor: &str,
    deadline: Deadline,
) -> Result<Agent, CommandError> {
    let (id, slot, now) = (agent.id.clone(), agent.slot, agent.created_at);
    live.persist(|state| {
        state.save_agent(agent.clone());
        state.tell(EventKind::AgentSpawned { agent_id: id.clone(), slot }, actor, now);
    })
    .await?;
    let swarm = live.swarm();
    if swarm.runtime_id.is_none() {
        // the runtime does not know the swarm yet; the follow loop makes both known to it
        return Ok(agent.clone());
    }
    let answer = live.seed.runtime.agent_spawn(&swarm, agent, deadline).await;
    note_spawn(live, &id, answer).await
}

/// Takes the runtime's answer to a spawn and waits until it is persisted.
async fn note_spawn(
    live: &Live,
    id: &AgentId,
    answer: Result<String, McpError>,
) -> Result<Agent, CommandError> {
    take_spawn(live, id, answer).await?;
    live.persist(|_| ()).await?;
    let agent = live.with(|state| state.model.agent(id).cloned());
    agent.ok_or_else(|| CommandError::Domain(DomainError::NoAgent(id.clone())))
}

/// Takes the runtime's answer to a spawn; the next save holds it. Waits only to forget an agent that was refused.
pub(super) async fn take_spawn(
    live: &Live,
    id: &AgentId,
    answer: Result<String, McpError>,
) -> Result<(), CommandError> {
    let (stage, runtime_id) = match answer {
        Ok(runtime_id) => (CommandStage::Acknowledged, Some(runtime_id)),
        Err(error) => match error.refusal() {
            Some(message) => {
                forget_agent(live, id, &message).await?;
                return Err(CommandError::RuntimeRefused { message });
            }
            None if error.outcome_unknown() => (CommandStage::Sent, None),
            None => (CommandStage::Accepted, None),
        },
    };
    let now = clock::now();
    live.note(|state| {
        state.reconcile |= stage != CommandStage::Acknowledged;
        if let Some(agent) = state.model.set_agent_stage(id, stage, runtime_id, now) {
            state.save_agent(agent);
        }
    });
    Ok(())
}

async fn forget_agent(live: &Live, id: &AgentId, reason: &str) -> Result<(), CommandError> {
    let now = clock::now();
    live.persist(|state| {
        if state.model.forget_agent(id, now).is_some() {
            state.remove_agent(id.clone());
            let event = EventKind::AgentRemoved { agent_id: id.clone(), reason: reason.to_owned() };
            state.tell(event, "runtime", now);
        }
    })
    .await
}

pub(super) async fn remove_agent(live: Live, msg: RemoveAgent) -> Result<Agent, CommandError> {
    let now = clock::now();
    let before = live.with(|state| state.model.agent(&msg.id).map(|agent| agent.state));
    let agent = live.with(|state| state.model.begin_removal(&msg.id, now))?;
    live.persist(|state| {
        state.save_agent(agent.clone());
        if let Some(from) = before.filter(|from| *from != agent.state) {
            let event = EventKind::AgentStateChanged { agent_id: msg.id.clone(), from, to: agent.state };
            state.tell(event, &msg.actor, now);
        }
    })
    .await?;
    send_terminate(&live, &agent, msg.deadline).await?;
    live.poke.notify_one();
    Ok(live.with(|state| state.model.agent(&msg.id).cloned()).unwrap_or(agent))
}

/// Tells the runtime to end an agent; one that it never had is gone at once.
pub(super) async fn send_terminate(
    live: &Live,
    agent: &Agent,
    deadline: Deadline,
) -> Result<(), CommandError> {
    let swarm = live.swarm();
    if agent.runtime_id.is_none() {
        return forget_agent(live, &agent.id, "terminated").await;
    }
    let stage = match live.seed.runtime.agent_terminate(&swarm, agent, deadline).await {
        Ok(()) => CommandStage::Acknowledged,
        Err(error) if error.outcome_unknown() => CommandStage::Sent,
        // a refusal may mean "no such agent": only the runtime's list can tell
        Err(error) if error.refusal().is_some() => CommandStage::Sent,
        Err(_unreachable) => CommandStage::Accepted,
    };
    let now = clock::now();
    if let Some(agent) = live.with(|state| state.model.set_agent_stage(&agent.id, stage, None, now)) {
        if stage != CommandStage::Acknowledged {
            live.with(|state| state.reconcile = true);
        }
        live.persist(|state| state.save_agent(agent)).await?;
    }
    Ok(())
}

pub(super) async fn submit_task(live: Live, msg: SubmitTask) -> Result<Task, CommandError> {
    let now = clock::now();
    let task = live.with(|state| state.model.accept_task(msg.new, msg.id, now))?;
    live.with(|state| state.tasks_under_way.insert(msg.id));
    let submitted = send_task(&live, &task, &msg.actor, msg.deadline).await;
    live.with(|state| state.tasks_under_way.remove(&msg.id));
    live.poke.notify_one();
    submitted
}

async fn send_task(live: &Live, task: &Task, actor: &str, deadline: Deadline) -> Result<Task, CommandError> {
    live.persist(|state| {
        state.save_task(task.clone());
        state.tell(EventKind::TaskSubmitted { task_id: task.id }, actor, task.created_at);
    })
    .await?;
    if live.swarm().runtime_id.is_none() {
        return Ok(task.clone());
    }
    orchestrate(live, task, deadline).await
}

/// Gives a task to the runtime and takes its answer.
pub(super) async fn orchestrate(live: &Live, task: &Task, deadline: Deadline) -> Result<Task, CommandError> {
    let answer = live.seed.runtime.task_orchestrate(&live.swarm(), task, deadline).await;
    let refused = answer.as_ref().err().and_then(McpError::refusal);
    let now = clock::now();
    change_task(live, task.id, |task| match answer {
        Ok(ack) => {
            task.runtime_id = Some(ack.runtime_id);
            task.stage = CommandStage::Acknowledged;
            task.advance(TaskState::Assigned, now);
        }
        Err(error) if error.outcome_unknown() => task.stage = CommandStage::Sent,
        Err(_) => {
            if let Some(message) = refused.clone() {
                task.reason = Some(message);
                task.advance(TaskState::Failed, now);
            }
        }
    })
    .await?;
    if let Some(message) = refused {
        return Err(CommandError::RuntimeRefused { message });
    }
    live.with(|state| state.model.task(task.id).cloned()).ok_or(DomainError::NoTask(task.id).into())
}

/// Changes a task, tells when its state changed, and waits until that is persisted.
pub(super) async fn change_task(
    live: &Live,
    id: TaskId,
    change: impl FnOnce(&mut Task),
) -> Result<(), CommandError> {
    let now = clock::now();
    live.persist(|state| {
        let Some(from) = state.model.task(id).map(|task| task.status) else { return };
        let Some(task) = state.model.change_task(id, now, change) else { return };
        if task.status != from {
            state.tell(EventKind::TaskStateChanged { task_id: id, from, to: task.status }, "runtime", now);
        }
        state.save_task(task);
    })
    .await
}

pub(super) async fn cancel_task(live: Live, msg: CancelTask) -> Result<Task, CommandError> {
    let now = clock::now();
    let from = live.with(|state| state.model.task(msg.id).map(|task| task.status));
    let task = live.with(|state| state.model.cancel_task(msg.id, now))?;
    live.persist(|state| {
        state.save_task(task.clone());
        if let Some(from) = from {
            let event = EventKind::TaskStateChanged { task_id: task.id, from, to: task.status };
            state.tell(event, &msg.actor, now);
        }
    })
    .await?;
    let swarm = live.swarm();
    if task.runtime_id.is_some() && swarm.runtime_id.is_some() {
        let stage = match live.seed.runtime.task_cancel(&swarm, &task, msg.deadline).await {
            Ok(()) => CommandStage::Acknowledged,
            // the task is over here in any case; what the runtime does with it is not known
            Err(_) => CommandStage::Unverified,
        };
        change_task(&live, task.id, |task| task.stage = stage).await?;
    }
    live.with(|state| state.model.task(msg.id).cloned()).ok_or(DomainError::NoTask(msg.id).into())
}

pub(super) async fn delete(live: Live, msg: DeleteSwarm) -> Result<Deleted, CommandError> {
    // the follow loop must not end the actor under this command
    let under_way = live.with(|state| std::mem::replace(&mut state.destroying, true));
    if under_way {
        return Ok(Deleted::Accepted);
    }
    let deleted = match live.persist(|state| state.advance(SwarmState::Deleting, None, &msg.actor)).await {
        Ok(()) => destroy(&live, msg.deadline).await,
        Err(error) => Err(error),
    };
    live.with(|state| state.destroying = false);
    deleted
}

/// Ends a swarm that is `deleting` in the runtime, then here.
pub(super) async fn destroy(live: &Live, deadline: Deadline) -> Result<Deleted, CommandError> {
    let swarm = live.swarm();
    if swarm.runtime_id.is_some() {
        match live.seed.runtime.swarm_destroy(&swarm, deadline).await {
            Ok(()) => {}
            // refused: the runtime has no such swarm or no such tool, so asking again would change nothing
            Err(error) if error.refusal().is_some() => {
                tracing::info!(swarm.id = %swarm.id, %error, "the runtime did not destroy a swarm");
            }
            Err(error) => {
                tracing::info!(swarm.id = %swarm.id, %error, "destroying a swarm in the runtime, will try again");
                live.with(|state| state.reconcile = true);
                return Ok(Deleted::Accepted);
            }
        }
    }
    live.seed.store.delete_swarm(swarm.id).await?;
    end(live);
    Ok(Deleted::Gone)
}

/// Takes the swarm out of everything but the store, and lets the actor end.
pub(super) fn end(live: &Live) {
    let seed = &live.seed;
    live.with(|state| state.ended = true);
    seed.compute.remove(seed.entry.id);
    seed.frames.forget(seed.entry.id);
    seed.directory.remove(seed.entry.id);
    seed.entry.channel.close();
    seed.entry.set_actor(None);
    live.poke.notify_one();
}
