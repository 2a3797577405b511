//! What the engine knows of a swarm, an agent, a task and one step of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{AgentType, Priority, SwarmStrategy, TaskState, TaskStrategy, Timestamp, Topology};

/// One swarm with all that belongs to it.
#[derive(Debug)]
pub(crate) struct SwarmRec {
    pub(crate) id: Uuid,
    pub(crate) key: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) topology: Topology,
    pub(crate) strategy: SwarmStrategy,
    pub(crate) max_agents: u32,
    pub(crate) created_at: Timestamp,
    /// By id, so in the order of joining.
    pub(crate) agents: BTreeMap<Uuid, AgentRec>,
    /// By id, so in the order of submission.
    pub(crate) tasks: BTreeMap<Uuid, TaskRec>,
    /// Agents that ever joined; numbers the names.
    pub(super) joined: u64,
    pub(super) agent_keys: HashMap<String, Uuid>,
    pub(super) task_keys: HashMap<String, Uuid>,
    /// Open tasks in the order in which they get agents.
    pub(super) queue: BTreeSet<(Reverse<Priority>, Uuid)>,
}

impl SwarmRec {
    /// Its id as clients know it.
    pub(crate) fn public_id(&self) -> String {
        format!("swarm-{}", self.id)
    }

    /// Tasks that have not ended.
    pub(crate) fn open_tasks(&self) -> usize {
        self.queue.len()
    }

    /// Agents that work on a step.
    pub(crate) fn busy_agents(&self) -> usize {
        self.agents.values().filter(|agent| agent.work.is_some()).count()
    }

    /// Kept tasks in this state.
    pub(crate) fn tasks_in(&self, status: TaskState) -> usize {
        self.tasks.values().filter(|task| task.status == status).count()
    }
}

/// The step that an agent works on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) task: Uuid,
    pub(super) step: usize,
    pub(super) since: Duration,
    pub(super) due: Duration,
}

/// One agent.
#[derive(Debug)]
pub(crate) struct AgentRec {
    pub(crate) id: Uuid,
    pub(crate) key: Option<String>,
    pub(crate) name: String,
    pub(crate) kind: AgentType,
    pub(crate) capabilities: Vec<String>,
    pub(crate) created_at: Timestamp,
    /// Since the start of the runtime.
    pub(crate) created: Duration,
    /// `None` is idle.
    pub(crate) work: Option<Work>,
    /// Steps that it finished.
    pub(crate) steps_done: u64,
    /// Tasks it took part in that were completed.
    pub(crate) tasks_completed: u64,
    /// Tasks it took part in that failed.
    pub(crate) tasks_failed: u64,
    /// Time in steps that are over, finished or not.
    pub(super) busy: Duration,
}

impl AgentRec {
    /// Its id as clients know it.
    pub(crate) fn public_id(&self) -> String {
        format!("agent-{}", self.id)
    }

    /// `busy` or `idle`.
    pub(crate) const fn status(&self) -> &'static str {
        if self.work.is_some() { "busy" } else { "idle" }
    }

    /// Time spent in steps until `now`, the one under way included.
    pub(crate) fn busy_until(&self, now: Duration) -> Duration {
        self.busy + self.work.map_or(Duration::ZERO, |work| now.saturating_sub(work.since))
    }
}

/// How far one step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepState {
    /// Nobody works on it.
    Waiting,
    /// This agent works on it.
    Running(Uuid),
    /// Finished.
    Done,
}

/// One step of a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// How long it takes.
    pub(super) takes: Duration,
    pub(super) state: StepState,
    /// How often its agent was terminated in it.
    pub(super) interruptions: u32,
}

/// One task.
#[derive(Debug)]
pub(crate) struct TaskRec {
    pub(crate) id: Uuid,
    pub(crate) key: Option<String>,
    pub(crate) description: String,
    pub(crate) priority: Priority,
    pub(crate) strategy: TaskStrategy,
    pub(crate) max_agents: Option<u32>,
    pub(crate) status: TaskState,
    /// Every agent that ever took a step, in the order of the first.
    pub(crate) assigned: Vec<Uuid>,
    pub(crate) result: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(super) steps: Vec<Step>,
    /// Present agents that count against `max_agents`.
    pub(super) team: BTreeSet<Uuid>,
}

impl TaskRec {
    /// Its id as clients know it.
    pub(crate) fn public_id(&self) -> String {
        format!("task-{}", self.id)
    }

    /// Steps that are finished.
    pub(crate) fn steps_done(&self) -> usize {
        self.steps.iter().filter(|step| step.state == StepState::Done).count()
    }

    /// Steps there are.
    pub(crate) fn steps_total(&self) -> usize {
        self.steps.len()
    }

    /// Agents that work on it now.
    pub(crate) fn working(&self) -> impl Iterator<Item = Uuid> {
        self.steps.iter().filter_map(|step| match step.state {
            StepState::Running(agent) => Some(agent),
            StepState::Waiting | StepState::Done => None,
        })
    }

    /// 0 to 1: finished steps among all.
    pub(crate) fn progress(&self) -> f64 {
        let [done, total] =
            [self.steps_done(), self.steps_total()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        if total == 0 { 0.0 } else { f64::from(done) / f64::from(total) }
    }
}
