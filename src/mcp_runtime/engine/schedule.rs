//! Who works on what: steps go to idle agents by priority, then by age; what is due ends.

use std::time::Duration;

use uuid::Uuid;

use super::records::{StepState, SwarmRec, TaskRec, Work};
use super::{Engine, Moment};
use crate::domain::TaskState;
use crate::mcp_runtime::executor;

impl Engine {
    /// Ends every step that is due, gives its agent the next one, and says when the next step ends.
    ///
    /// Each step ends at its own time, so a late call leads to the same state as one in time.
    pub(crate) fn advance(&mut self, now: Moment) -> Option<Duration> {
        while let Some(&(due, agent)) = self.running.first().filter(|(due, _)| *due <= now.elapsed) {
            self.running.remove(&(due, agent));
            self.finish_step(agent, now.back_to(due));
        }
        self.running.first().map(|&(due, _)| due)
    }

    fn finish_step(&mut self, agent_id: Uuid, now: Moment) {
        let Some(&home_id) = self.agent_home.get(&agent_id) else { return };
        let Some(home) = self.swarms.get_mut(&home_id) else { return };
        let Some(agent) = home.agents.get_mut(&agent_id) else { return };
        let Some(work) = agent.work.take() else { return };
        agent.busy += now.elapsed.saturating_sub(work.since);
        agent.steps_done += 1;
        let Some(task) = home.tasks.get_mut(&work.task) else { return };
        if let Some(step) = task.steps.get_mut(work.step) {
            step.state = StepState::Done;
        }
        if task.steps_done() < task.steps_total() {
            return self.assign_waiting(home_id, now);
        }
        let took = task.started_at.map(|at| (now.at - at).num_milliseconds());
        task.result = Some(executor::result_text(task.steps_total(), task.assigned.len(), took));
        self.end_task(home_id, work.task, TaskState::Completed, None, now);
    }

    /// Gives waiting steps of a swarm to its idle agents.
    pub(super) fn assign_waiting(&mut self, home_id: Uuid, now: Moment) {
        let Some(home) = self.swarms.get_mut(&home_id) else { return };
        // Who has done least comes first, so that the work goes round.
        let mut idle: Vec<(u64, Uuid)> =
            home.agents.values().filter(|a| a.work.is_none()).map(|a| (a.steps_done, a.id)).collect();
        idle.sort_unstable();
        let queue: Vec<Uuid> = home.queue.iter().map(|&(_, task)| task).collect();
        for task in queue {
            if idle.is_empty() {
                return;
            }
            while let Some(place) = next_agent(home, task, &idle) {
                let (_, agent) = idle.remove(place);
                match start_step(home, task, agent, now) {
                    Some(due) => self.running.insert((due, agent)),
                    None => break,
                };
            }
        }
    }
}

/// The place in `idle` of the agent that the task's next step goes to; `None` when it may take no more now.
fn next_agent(home: &SwarmRec, task: Uuid, idle: &[(u64, Uuid)]) -> Option<usize> {
    let task = home.tasks.get(&task)?;
    if !task.steps.iter().any(|step| step.state == StepState::Waiting) {
        return None;
    }
    let at_once = executor::agents_at_once(task.strategy, home.agents.len(), home.open_tasks());
    if task.working().count() >= at_once {
        return None;
    }
    idle.iter().position(|(_, agent)| may_join(task, *agent))
}

/// No more different agents than the task asked for.
fn may_join(task: &TaskRec, agent: Uuid) -> bool {
    let max = task.max_agents.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    task.team.contains(&agent) || task.team.len() < max
}

fn start_step(home: &mut SwarmRec, task_id: Uuid, agent_id: Uuid, now: Moment) -> Option<Duration> {
    let task = home.tasks.get_mut(&task_id)?;
    let agent = home.agents.get_mut(&agent_id)?;
    let (number, step) =
        task.steps.iter_mut().enumerate().find(|(_, step)| step.state == StepState::Waiting)?;
    step.state = StepState::Running(agent_id);
    let due = now.elapsed.saturating_add(step.takes);
    agent.work = Some(Work { task: task_id, step: number, since: now.elapsed, due });
    task.team.insert(agent_id);
    if !task.assigned.contains(&agent_id) {
        task.assigned.push(agent_id);
    }
    task.status = TaskState::InProgress;
    task.started_at.get_or_insert(now.at);
    Some(due)
}
