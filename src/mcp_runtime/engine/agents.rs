//! Spawning and terminating agents.

use std::time::Duration;

use uuid::Uuid;

use super::keys::KeyKind;
use super::records::{AgentRec, StepState};
use super::swarms::check_key;
use super::{Engine, EngineError, Moment};
use crate::domain::{NewAgent, TaskState};

/// Times that a step may lose its agent before its task fails.
const INTERRUPTIONS_MAX: u32 = 3;

/// What an agent is asked to be.
#[derive(Debug, Clone)]
pub(crate) struct AgentSpec {
    pub(crate) key: Option<String>,
    pub(crate) new: NewAgent,
}

impl Engine {
    /// Adds an agent to a swarm, or finds the one with the same key; the flag says "found".
    pub(crate) fn agent_spawn(
        &mut self,
        id: Uuid,
        swarm: &str,
        spec: AgentSpec,
        now: Moment,
    ) -> Result<(&AgentRec, bool), EngineError> {
        check_key(spec.key.as_deref())?;
        let home = self.swarm(swarm)?;
        let (home_id, agents, max) = (home.id, home.agents.len(), home.max_agents);
        let known = spec.key.as_ref().and_then(|key| home.agent_keys.get(key)).copied();
        let found = known.is_some();
        if !found {
            self.check_room(home_id, agents, max, spec.key.as_deref())?;
        }
        let id = known.unwrap_or(id);
        if !found {
            self.agent_home.insert(id, home_id);
        }
        let Some(home) = self.swarms.get_mut(&home_id) else {
            return Err(EngineError::swarm_not_found(swarm));
        };
        if !found {
            home.joined += 1;
            if let Some(key) = &spec.key {
                home.agent_keys.insert(key.clone(), id);
            }
        }
        let (new, joined) = (spec.new, home.joined);
        home.agents.entry(id).or_insert_with(|| AgentRec {
            id,
            key: spec.key,
            name: new.name.unwrap_or_else(|| format!("{}-{joined}", new.kind)),
            kind: new.kind,
            capabilities: new.capabilities,
            created_at: now.at,
            created: now.elapsed,
            work: None,
            steps_done: 0,
            tasks_completed: 0,
            tasks_failed: 0,
            busy: Duration::ZERO,
        });
        if !found {
            self.assign_waiting(home_id, now);
        }
        let agent = self.swarms.get(&home_id).and_then(|home| home.agents.get(&id));
        Ok((agent.ok_or_else(|| EngineError::swarm_not_found(swarm))?, found))
    }

    fn check_room(&self, home: Uuid, agents: usize, max: u32, key: Option<&str>) -> Result<(), EngineError> {
        if let Some(key) = key.filter(|key| self.ended_keys.contains(home, KeyKind::Agent, key)) {
            return Err(EngineError::AgentEnded { key: key.to_owned() });
        }
        if agents >= usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(EngineError::AgentLimit { agents, max });
        }
        let (agents, max) = (self.agent_home.len(), self.limits.agents);
        if agents >= max { Err(EngineError::RuntimeAgentLimit { agents, max }) } else { Ok(()) }
    }

    /// Ends an agent. A step that it was in goes to another agent; with none left in the swarm its task fails.
    pub(crate) fn agent_terminate(
        &mut self,
        id: &str,
        swarm: Option<&str>,
        now: Moment,
    ) -> Result<AgentRec, EngineError> {
        let (home, agent) = self.agent(id, swarm)?;
        let (home_id, agent_id) = (home.id, agent.id);
        let missing = || EngineError::agent_not_found(id);
        let home = self.swarms.get_mut(&home_id).ok_or_else(missing)?;
        let agent = home.agents.remove(&agent_id).ok_or_else(missing)?;
        self.agent_home.remove(&agent_id);
        if let Some(key) = &agent.key {
            home.agent_keys.remove(key);
            self.ended_keys.insert(home_id, KeyKind::Agent, key.clone());
        }
        for task in home.tasks.values_mut() {
            task.team.remove(&agent_id);
        }
        if let Some(work) = agent.work {
            self.running.remove(&(work.due, agent_id));
            self.interrupt(home_id, &agent, work.task, work.step, now);
        }
        Ok(agent)
    }

    fn interrupt(&mut self, home_id: Uuid, agent: &AgentRec, task_id: Uuid, step: usize, now: Moment) {
        let Some(home) = self.swarms.get_mut(&home_id) else { return };
        let alone = home.agents.is_empty();
        let Some(task) = home.tasks.get_mut(&task_id) else { return };
        let Some(lost) = task.steps.get_mut(step) else { return };
        lost.state = StepState::Waiting;
        lost.interruptions += 1;
        let (name, number) = (&agent.name, step + 1);
        let reason = if alone {
            format!("agent {name} was terminated in step {number} and no agent is left to take over")
        } else if lost.interruptions >= INTERRUPTIONS_MAX {
            format!("step {number} lost its agent {INTERRUPTIONS_MAX} times, at last {name}")
        } else {
            return self.assign_waiting(home_id, now);
        };
        self.end_task(home_id, task_id, TaskState::Failed, Some(reason), now);
    }
}
