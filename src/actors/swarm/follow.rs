//! The loop that follows the runtime: one round per poll interval, never two at once.
//!
//! A round makes the runtime agree with the model if need be, then compares the runtime's list of agents and
//! its open tasks with the model. Only differences become events. A round that fails changes nothing but the
//! swarm's state, which becomes `degraded` until the runtime is back.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::commands;
use super::reconcile;
use super::state::Live;
use crate::actors::CommandError;
use crate::actors::mcp::McpError;
use crate::domain::{CommandStage, SwarmState, Task, TaskState, limits};
use crate::telemetry::clock;

/// Tasks that are asked for in one round; more are asked for in turn.
const TASKS_PER_ROUND: usize = 16;
/// Shortest pause between two rounds, however often commands ask for one.
const ROUND_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Follows the runtime until the swarm has ended or sleeps.
pub(super) async fn run(live: Live) {
    let interval = live.seed.config.poll_interval;
    let mut next_task = 0usize;
    loop {
        if live.with(|state| state.ended) {
            return;
        }
        if let Err(error) = round(&live, &mut next_task).await {
            tracing::debug!(swarm.id = %live.seed.entry.id, %error, "following the runtime");
        }
        if !live.with(|state| std::mem::replace(&mut state.attempted, true)) {
            // whoever waits for the creation learns now that it was tried, whatever came of it
            live.publish();
        }
        mark_stale(&live);
        if falls_asleep(&live).await || live.with(|state| state.ended) {
            return;
        }
        tokio::time::sleep(ROUND_PAUSE_MIN.min(interval)).await;
        // a poke ends the wait early; running into the deadline is the usual case
        drop(timeout_at(Instant::now() + jittered(&live, interval), live.poke.notified()).await);
    }
}

/// Spreads the swarms of a server over the interval, so that their polls do not come at once.
fn jittered(live: &Live, interval: Duration) -> Duration {
    let tenths = u32::try_from(live.seed.entry.id.seed() % 20).unwrap_or(0);
    interval.mul_f64(0.9 + f64::from(tenths) / 100.0)
}

async fn round(live: &Live, next_task: &mut usize) -> Result<(), CommandError> {
    let status = live.swarm().status;
    if live.with(|state| state.destroying) {
        return Ok(());
    }
    if status == SwarmState::Deleting {
        commands::destroy(live, live.own_deadline()).await?;
        return Ok(());
    }
    if status == SwarmState::Failed {
        return Ok(());
    }
    let followed = follow(live, next_task).await;
    match &followed {
        Ok(()) => reached(live),
        Err(error) => lost(live, error),
    }
    Ok(())
}

async fn follow(live: &Live, next_task: &mut usize) -> Result<(), McpError> {
    if live.with(|state| state.reconcile) {
        reconcile::reconcile(live).await?;
    }
    let swarm = live.swarm();
    match live.seed.runtime.agent_list(&swarm, live.own_deadline()).await {
        Ok(reports) => {
            let now = clock::now();
            live.note(|state| {
                let diff = state.model.observe(&reports, now);
                state.take_diff(diff, now);
            });
        }
        Err(error) => {
            if error.refusal().is_some() {
                // perhaps it restarted and does not know the swarm any more
                live.with(|state| state.reconcile = true);
            }
            return Err(error);
        }
    }
    for task in open_tasks(live, next_task) {
        follow_task(live, &task).await?;
    }
    Ok(())
}

/// The next open tasks in turn.
fn open_tasks(live: &Live, next: &mut usize) -> Vec<Task> {
    live.with(|state| {
        let known = |task: &&Task| !task.status.is_final() && task.runtime_id.is_some();
        let open: Vec<Task> = state.model.tasks().filter(known).cloned().collect();
        let count = open.len().min(TASKS_PER_ROUND);
        let start = if open.is_empty() { 0 } else { *next % open.len() };
        *next = start + count;
        open.iter().cycle().skip(start).take(count).cloned().collect()
    })
}

async fn follow_task(live: &Live, task: &Task) -> Result<(), McpError> {
    let report = match live.seed.runtime.task_status(&live.swarm(), task, live.own_deadline()).await {
        Ok(report) => report,
        // an answer about this task alone; the others are asked for all the same
        Err(error) if error.refusal().is_some() => return Ok(()),
        Err(error) => return Err(error),
    };
    let now = clock::now();
    let assigned = live.with(|state| {
        let of = |id: &String| state.model.agents().find(|a| a.runtime_id.as_ref() == Some(id));
        report.assigned.iter().filter_map(|id| of(id).map(|agent| agent.id.clone())).collect::<Vec<_>>()
    });
    let status = report.status.unwrap_or(task.status);
    // a runtime that still says `pending` after it took the task says nothing new
    let differs = task.status.may_become(status)
        || task.stage != CommandStage::Verified
        || report.progress != task.progress
        || report.result != task.result
        || assigned != task.assigned_agents;
    if differs {
        let changed = commands::change_task(live, task.id, |task| {
            task.progress = report.progress;
            task.result = report.result.as_deref().map(|text| limits::cut(text, limits::REASON_CHARS_MAX));
            task.assigned_agents = assigned;
            task.observed_at = Some(now);
            task.stage = CommandStage::Verified;
            if status == TaskState::Failed {
                task.reason.clone_from(&task.result);
            }
            task.advance(status, now);
        });
        // not saved: the actor is about to be restarted from what is persisted
        drop(changed.await);
    }
    Ok(())
}

fn reached(live: &Live) {
    let status = live.swarm().status;
    if matches!(status, SwarmState::Creating | SwarmState::Degraded) {
        live.advance(SwarmState::Active, None);
    }
}

fn lost(live: &Live, error: &McpError) {
    let status = live.swarm().status;
    match (status, error.refusal()) {
        (SwarmState::Creating, Some(message)) => live.advance(SwarmState::Failed, Some(message)),
        (SwarmState::Active, _) => {
            live.with(|state| state.reconcile = true);
            live.advance(SwarmState::Degraded, Some(error.to_string()));
        }
        _ => live.with(|state| state.reconcile = true),
    }
}

fn mark_stale(live: &Live) {
    let max_age = live.seed.config.poll_interval * limits::STALE_POLLS;
    let Ok(max_age) = chrono::TimeDelta::from_std(max_age) else { return };
    let now = clock::now();
    let diff = live.with(|state| state.model.mark_stale(max_age, now));
    if !diff.events.is_empty() {
        live.note(|state| state.take_diff(diff, now));
    }
}

/// Puts the swarm to sleep when nobody used it for long: persisted, out of the layout, its actor ended.
async fn falls_asleep(live: &Live) -> bool {
    let swarm = live.swarm();
    let unused = (clock::now() - swarm.last_used_at).to_std().unwrap_or_default();
    let working = live.with(|state| state.model.tasks().any(|task| !task.status.is_final()));
    let watched = live.seed.entry.channel.subscriber_count() > 0;
    let awake = !matches!(swarm.status, SwarmState::Active | SwarmState::Degraded | SwarmState::Paused);
    if awake || working || watched || unused < live.seed.config.idle_timeout {
        return false;
    }
    let reason = Some("not used for the idle timeout".to_owned());
    if live.persist(|state| state.advance(SwarmState::Idle, reason, "server")).await.is_err() {
        return false;
    }
    live.seed.entry.set_actor(None);
    live.seed.compute.remove(swarm.id);
    live.seed.frames.forget(swarm.id);
    true
}
