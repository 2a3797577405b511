//! A swarm with its agents and tasks: how commands and observations change it.
//!
//! The swarm's actor holds one [`SwarmModel`], calls it for every decision and turns what it returns into
//! rows, messages and events. Nothing here is lost when the actor is: all of it is rebuilt from the store.

use std::collections::BTreeMap;

use super::{
    Agent, AgentId, AgentState, CommandStage, DomainError, EventKind, Figures, Link, Member, NewAgent,
    NewTask, Observation, Source, Swarm, Task, TaskId, TaskState, Timestamp, limits, topology,
};

/// One agent as a complete answer of the runtime lists it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentReport {
    /// The runtime's id.
    pub runtime_id: String,
    /// Our own id, when the runtime was given it and gives it back.
    pub key: Option<AgentId>,
    /// Its state; `None` when the runtime named none that we know.
    pub state: Option<AgentState>,
    /// What it works on.
    pub current_task: Option<String>,
    /// Its figures.
    pub figures: Figures,
}

/// What an observation changed.
#[derive(Debug, Default, PartialEq)]
pub struct ObservedDiff {
    /// Agents to be saved.
    pub changed: Vec<Agent>,
    /// Agents to be taken out of the layout and the store's live set.
    pub removed: Vec<AgentId>,
    /// What to tell.
    pub events: Vec<EventKind>,
}

/// The swarm's actor's whole knowledge.
#[derive(Debug, Clone)]
pub struct SwarmModel {
    /// The swarm itself.
    pub swarm: Swarm,
    agents: BTreeMap<u32, Agent>,
    tasks: BTreeMap<TaskId, Task>,
}

impl SwarmModel {
    /// Takes what the store holds: the swarm, its present agents, its open and recent tasks.
    #[must_use]
    pub fn new(swarm: Swarm, agents: Vec<Agent>, tasks: Vec<Task>) -> Self {
        Self {
            swarm,
            agents: agents.into_iter().map(|agent| (agent.slot, agent)).collect(),
            tasks: tasks.into_iter().map(|task| (task.id, task)).collect(),
        }
    }

    /// The agents in the order of their slots.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// How many agents there are.
    #[must_use]
    pub fn agent_count(&self) -> usize {
        self.agents.len()
    }

    /// The tasks in the order of their creation.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// The agent with this id.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.values().find(|agent| agent.id == *id)
    }

    /// The task with this id, if it is open or recent.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// The structural links that the topology asks for.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        topology::links(self.swarm.topology, &self.members())
    }

    /// How far each slot is from the leader, in links.
    #[must_use]
    pub fn levels(&self) -> Vec<(u32, u16)> {
        topology::levels(self.swarm.topology, &self.members())
    }

    fn members(&self) -> Vec<Member> {
        self.agents.values().map(|a| Member { slot: a.slot, kind: a.kind }).collect()
    }

    /// Marks everything as known from before the start, until the runtime is heard again.
    pub fn note_loaded(&mut self) {
        self.agents.values_mut().for_each(Agent::note_loaded);
    }

    /// Takes in a new agent: its slot is used up even if it is forgotten again.
    ///
    /// # Errors
    /// [`DomainError::WrongSwarmState`] or [`DomainError::AgentLimit`].
    pub fn accept_agent(&mut self, new: NewAgent, id: AgentId, now: Timestamp) -> Result<Agent, DomainError> {
        self.check_takes_work("agent")?;
        let max = self.swarm.max_agents as usize;
        if self.agents.len() >= max {
            return Err(DomainError::AgentLimit { agents: self.agents.len(), max });
        }
        let slot = self.swarm.next_slot;
        self.swarm.next_slot += 1;
        let agent = Agent {
            id,
            swarm_id: self.swarm.id,
            slot,
            name: new.name.unwrap_or_else(|| format!("{}-{}", new.kind, slot + 1)),
            kind: new.kind,
            capabilities: new.capabilities,
            state: AgentState::Initializing,
            stage: CommandStage::Accepted,
            runtime_id: None,
            current_task: None,
            figures: Figures::default(),
            observation: None,
            stale: false,
            missed_polls: 0,
            created_at: now,
            updated_at: now,
        };
        self.agents.insert(slot, agent.clone());
        self.used(now);
        Ok(agent)
    }

    /// Takes an agent out.
    pub fn forget_agent(&mut self, id: &AgentId, now: Timestamp) -> Option<Agent> {
        let slot = self.agents.values().find(|agent| agent.id == *id)?.slot;
        self.swarm.touch(now);
        self.agents.remove(&slot)
    }

    /// Notes how far the last command on an agent has come.
    pub fn set_agent_stage(
        &mut self,
        id: &AgentId,
        stage: CommandStage,
        runtime_id: Option<String>,
        now: Timestamp,
    ) -> Option<Agent> {
        let agent = self.agents.values_mut().find(|agent| agent.id == *id)?;
        agent.stage = stage;
        if runtime_id.is_some() {
            agent.runtime_id = runtime_id;
        }
        agent.updated_at = now;
        let agent = agent.clone();
        self.swarm.touch(now);
        Some(agent)
    }

    /// Marks an agent as told to end.
    ///
    /// # Errors
    /// [`DomainError::NoAgent`].
    pub fn begin_removal(&mut self, id: &AgentId, now: Timestamp) -> Result<Agent, DomainError> {
        let agent = self.agents.values_mut().find(|agent| agent.id == *id);
        let Some(agent) = agent else { return Err(DomainError::NoAgent(id.clone())) };
        agent.state = AgentState::Terminating;
        agent.stage = CommandStage::Accepted;
        agent.missed_polls = 0;
        agent.updated_at = now;
        let agent = agent.clone();
        self.used(now);
        Ok(agent)
    }

    /// Takes in a new task.
    ///
    /// # Errors
    /// [`DomainError::WrongSwarmState`] or [`DomainError::TaskLimit`].
    pub fn accept_task(&mut self, new: NewTask, id: TaskId, now: Timestamp) -> Result<Task, DomainError> {
        self.check_takes_work("task")?;
        let open = self.tasks.values().filter(|task| !task.status.is_final()).count();
        if open >= limits::OPEN_TASKS_MAX {
            return Err(DomainError::TaskLimit { open, max: limits::OPEN_TASKS_MAX });
        }
        let task = Task {
            id,
            swarm_id: self.swarm.id,
            description: new.description,
            priority: new.priority,
            strategy: new.strategy,
            max_agents: new.max_agents,
            status: TaskState::Pending,
            stage: CommandStage::Accepted,
            progress: None,
            result: None,
            reason: None,
            assigned_agents: Vec::new(),
            runtime_id: None,
            observed_at: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        self.tasks.insert(id, task.clone());
        self.trim_tasks();
        self.used(now);
        Ok(task)
    }

    /// Changes a task in place and returns it; `None` when there is none.
    pub fn change_task(
        &mut self,
        id: TaskId,
        now: Timestamp,
        change: impl FnOnce(&mut Task),
    ) -> Option<Task> {
        let task = self.tasks.get_mut(&id)?;
        change(task);
        task.updated_at = now;
        let task = task.clone();
        self.swarm.touch(now);
        Some(task)
    }

    /// Takes a task out again, as when it could not be persisted.
    pub fn forget_task(&mut self, id: TaskId, now: Timestamp) {
        if self.tasks.remove(&id).is_some() {
            self.swarm.touch(now);
        }
    }

    /// Ends a task at a client's wish.
    ///
    /// # Errors
    /// [`DomainError::NoTask`], or [`DomainError::WrongTaskState`] when it has ended already.
    pub fn cancel_task(&mut self, id: TaskId, now: Timestamp) -> Result<Task, DomainError> {
        let task = self.tasks.get_mut(&id).ok_or(DomainError::NoTask(id))?;
        if !task.advance(TaskState::Cancelled, now) {
            return Err(DomainError::WrongTaskState { state: task.status, command: "cancel" });
        }
        let task = task.clone();
        self.used(now);
        Ok(task)
    }

    /// Compares a complete answer of the runtime with what is known.
    ///
    /// An agent that the answer lacks is never removed at once: two complete answers in a row without it
    /// do that, and an empty answer counts only against agents that were told to end.
    pub fn observe(&mut self, reports: &[AgentReport], now: Timestamp) -> ObservedDiff {
        let mut diff = ObservedDiff::default();
        for agent in self.agents.values_mut() {
            let report = reports.iter().find(|r| {
                r.key.as_ref() == Some(&agent.id) || agent.runtime_id.as_ref() == Some(&r.runtime_id)
            });
            match report {
                Some(report) => seen(agent, report, now, &mut diff),
                None => missed(agent, reports.is_empty(), now, &mut diff),
            }
        }
        for id in &diff.removed {
            self.agents.retain(|_, agent| agent.id != *id);
        }
        if !diff.events.is_empty() || !diff.removed.is_empty() {
            self.swarm.touch(now);
        }
        diff
    }

    /// Marks agents whose last observation is older than `max_age`; tells each once.
    pub fn mark_stale(&mut self, max_age: chrono::TimeDelta, now: Timestamp) -> ObservedDiff {
        let mut diff = ObservedDiff::default();
        for agent in self.agents.values_mut() {
            let seen_at = agent.observation.map_or(agent.created_at, |seen| seen.observed_at);
            if !agent.stale && now - seen_at > max_age {
                agent.stale = true;
                diff.changed.push(agent.clone());
                diff.events.push(EventKind::AgentStale { agent_id: agent.id.clone() });
            }
        }
        if !diff.events.is_empty() {
            self.swarm.touch(now);
        }
        diff
    }

    fn check_takes_work(&self, command: &'static str) -> Result<(), DomainError> {
        let state = self.swarm.status;
        if state.takes_work() { Ok(()) } else { Err(DomainError::WrongSwarmState { state, command }) }
    }

    fn used(&mut self, now: Timestamp) {
        self.swarm.last_used_at = now;
        self.swarm.touch(now);
    }

    /// Drops the oldest finished tasks beyond what is kept in memory.
    fn trim_tasks(&mut self) {
        let finished: Vec<TaskId> =
            self.tasks.values().filter(|task| task.status.is_final()).map(|task| task.id).collect();
        for id in finished.iter().take(finished.len().saturating_sub(limits::RECENT_TASKS_MAX)) {
            self.tasks.remove(id);
        }
    }
}

/// The runtime lists the agent: that verifies a spawn, and belies a termination.
fn seen(agent: &mut Agent, report: &AgentReport, now: Timestamp, diff: &mut ObservedDiff) {
    let before = (agent.state, agent.stage, agent.stale, agent.figures, agent.current_task.clone());
    agent.observation = Some(Observation { observed_at: now, source: Source::Mcp });
    agent.runtime_id = Some(report.runtime_id.clone());
    agent.figures = report.figures;
    agent.current_task.clone_from(&report.current_task);
    agent.stale = false;
    if agent.state == AgentState::Terminating {
        agent.missed_polls += 1;
        if agent.stage == CommandStage::Acknowledged && agent.missed_polls >= limits::UNVERIFIED_POLLS {
            agent.stage = CommandStage::Unverified;
        }
    } else {
        agent.missed_polls = 0;
        agent.stage = CommandStage::Verified;
        agent.state = report.state.unwrap_or(AgentState::Active);
    }
    note_changes(agent, &before, now, diff);
}

type Before = (AgentState, CommandStage, bool, Figures, Option<String>);

fn note_changes(agent: &mut Agent, before: &Before, now: Timestamp, diff: &mut ObservedDiff) {
    let id = || agent.id.clone();
    if agent.state != before.0 {
        diff.events.push(EventKind::AgentStateChanged { agent_id: id(), from: before.0, to: agent.state });
    }
    if agent.stage != before.1 {
        diff.events.push(EventKind::AgentStageChanged { agent_id: id(), stage: agent.stage });
    }
    if (agent.state, agent.stage, agent.stale, agent.figures, agent.current_task.clone()) != *before {
        agent.updated_at = now;
        diff.changed.push(agent.clone());
    }
}

fn missed(agent: &mut Agent, empty_answer: bool, now: Timestamp, diff: &mut ObservedDiff) {
    let told_to_end = agent.state == AgentState::Terminating;
    // nothing was sent yet, so nothing can be expected in the answer
    if matches!(agent.stage, CommandStage::Accepted | CommandStage::Sent) || (empty_answer && !told_to_end) {
        return;
    }
    agent.missed_polls += 1;
    // a termination that the runtime acknowledged is confirmed by the first answer without the agent
    if told_to_end
        || (agent.stage == CommandStage::Verified && agent.missed_polls >= limits::MISSING_POLLS_TO_GONE)
    {
        let reason = if told_to_end { "terminated" } else { "the runtime no longer lists it" };
        diff.removed.push(agent.id.clone());
        diff.events.push(EventKind::AgentRemoved { agent_id: agent.id.clone(), reason: reason.into() });
    } else if agent.stage == CommandStage::Acknowledged && agent.missed_polls >= limits::UNVERIFIED_POLLS {
        agent.stage = CommandStage::Unverified;
        agent.updated_at = now;
        diff.changed.push(agent.clone());
        diff.events.push(EventKind::AgentStageChanged { agent_id: agent.id.clone(), stage: agent.stage });
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
