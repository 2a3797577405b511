//! Taking in, cancelling and forgetting tasks.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use uuid::Uuid;

use super::keys::KeyKind;
use super::records::{Step, StepState, SwarmRec, TaskRec};
use super::swarms::check_key;
use super::{Engine, EngineError, Moment};
use crate::domain::{NewTask, TaskState};
use crate::mcp_runtime::executor;

/// What a task is asked to be.
#[derive(Debug, Clone)]
pub(crate) struct TaskSpec {
    pub(crate) key: Option<String>,
    pub(crate) new: NewTask,
}

impl Engine {
    /// Takes in a task and gives it idle agents, or finds the one with the same key; the flag says "found".
    pub(crate) fn task_orchestrate(
        &mut self,
        id: Uuid,
        swarm: &str,
        spec: TaskSpec,
        now: Moment,
    ) -> Result<(&SwarmRec, &TaskRec, bool), EngineError> {
        check_key(spec.key.as_deref())?;
        let home = self.swarm(swarm)?;
        let home_id = home.id;
        let known = spec.key.as_ref().and_then(|key| home.task_keys.get(key)).copied();
        let id = match known {
            Some(known) => known,
            None => self.take_task(id, home_id, spec, now)?,
        };
        let home = self.swarms.get(&home_id).ok_or_else(|| EngineError::swarm_not_found(swarm))?;
        let task = home.tasks.get(&id).ok_or_else(|| EngineError::task_not_found(""))?;
        Ok((home, task, known.is_some()))
    }

    fn take_task(
        &mut self,
        id: Uuid,
        home_id: Uuid,
        spec: TaskSpec,
        now: Moment,
    ) -> Result<Uuid, EngineError> {
        if let Some(key) =
            spec.key.as_ref().filter(|key| self.ended_keys.contains(home_id, KeyKind::Task, key))
        {
            return Err(EngineError::TaskEnded { key: key.clone() });
        }
        let max = self.limits.open_tasks_per_swarm;
        let steps = executor::plan(id, &self.timing);
        let Some(home) = self.swarms.get_mut(&home_id) else { return Err(EngineError::swarm_not_found("")) };
        let open = home.open_tasks();
        if open >= max {
            return Err(EngineError::TaskLimit { open, max });
        }
        if let Some(key) = &spec.key {
            home.task_keys.insert(key.clone(), id);
        }
        home.queue.insert((Reverse(spec.new.priority), id));
        let waiting = |takes| Step { takes, state: StepState::Waiting, interruptions: 0 };
        home.tasks.insert(
            id,
            TaskRec {
                id,
                key: spec.key,
                description: spec.new.description,
                priority: spec.new.priority,
                strategy: spec.new.strategy,
                max_agents: spec.new.max_agents,
                status: TaskState::Pending,
                assigned: Vec::new(),
                result: None,
                reason: None,
                created_at: now.at,
                started_at: None,
                finished_at: None,
                steps: steps.into_iter().map(waiting).collect(),
                team: BTreeSet::new(),
            },
        );
        self.task_home.insert(id, home_id);
        self.assign_waiting(home_id, now);
        Ok(id)
    }

    /// Ends a task at a client's wish; its agents are idle at once.
    pub(crate) fn task_cancel(
        &mut self,
        id: &str,
        swarm: Option<&str>,
        now: Moment,
    ) -> Result<&TaskRec, EngineError> {
        let (home, task) = self.task(id, swarm)?;
        let (home_id, task_id, status) = (home.id, task.id, task.status);
        if status.is_final() {
            return Err(EngineError::TaskOver { id: task.public_id(), status: status.as_str() });
        }
        self.end_task(home_id, task_id, TaskState::Cancelled, Some("cancelled by the client".into()), now);
        Ok(self.task(id, swarm)?.1)
    }

    /// Ends a task for whatever reason: frees its agents, counts it for them, and lets them go on.
    pub(super) fn end_task(
        &mut self,
        home_id: Uuid,
        task_id: Uuid,
        status: TaskState,
        reason: Option<String>,
        now: Moment,
    ) {
        let Some(home) = self.swarms.get_mut(&home_id) else { return };
        let Some(task) = home.tasks.get_mut(&task_id) else { return };
        task.status = status;
        task.reason = reason;
        task.finished_at = Some(now.at);
        for step in task.steps.iter_mut().filter(|step| matches!(step.state, StepState::Running(_))) {
            step.state = StepState::Waiting;
        }
        home.queue.remove(&(Reverse(task.priority), task_id));
        for agent in home.agents.values_mut() {
            if let Some(work) = agent.work.take_if(|work| work.task == task_id) {
                agent.busy += now.elapsed.saturating_sub(work.since);
                self.running.remove(&(work.due, agent.id));
            }
        }
        for id in &task.assigned {
            match (home.agents.get_mut(id), status) {
                (Some(agent), TaskState::Completed) => agent.tasks_completed += 1,
                (Some(agent), TaskState::Failed) => agent.tasks_failed += 1,
                (_, _) => {}
            }
        }
        self.forget_old_tasks(home_id);
        self.assign_waiting(home_id, now);
    }

    fn forget_old_tasks(&mut self, home_id: Uuid) {
        let keep = self.limits.ended_tasks_per_swarm;
        let Some(home) = self.swarms.get_mut(&home_id) else { return };
        let ended = home.tasks.len().saturating_sub(home.queue.len());
        for _ in keep..ended {
            let oldest = home
                .tasks
                .values()
                .filter(|task| task.status.is_final())
                .min_by_key(|t| (t.finished_at, t.id));
            let Some(oldest) = oldest.map(|task| task.id) else { return };
            self.task_home.remove(&oldest);
            let key = home.tasks.remove(&oldest).and_then(|task| task.key);
            if let Some(key) = key {
                home.task_keys.remove(&key);
                self.ended_keys.insert(home_id, KeyKind::Task, key);
            }
        }
    }
}
