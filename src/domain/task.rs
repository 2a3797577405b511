//! One task of a swarm and the order of its states.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{AgentId, CommandStage, DomainError, SwarmId, TaskId, Timestamp, limits};

words! {
    /// What has become of a task.
    TaskState as "task state" {
        /// Accepted by us; the runtime has not taken it yet.
        Pending = "pending",
        /// The runtime has it and named agents for it.
        Assigned = "assigned",
        /// Agents work on it.
        InProgress = "in_progress",
        /// Done.
        Completed = "completed",
        /// Ended without a result.
        Failed = "failed",
        /// Ended by a client.
        Cancelled = "cancelled",
    }
}

words! {
    /// Which task goes first.
    Priority as "priority" {
        /// When nothing else waits.
        Low = "low",
        /// The default.
        Medium = "medium",
        /// Before others.
        High = "high",
        /// Before everything.
        Critical = "critical",
    }
}

words! {
    /// How a task is spread over agents.
    TaskStrategy as "task strategy" {
        /// All at once.
        Parallel = "parallel",
        /// One after another.
        Sequential = "sequential",
        /// As the runtime sees fit.
        Adaptive = "adaptive",
    }
}

impl TaskState {
    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether `next` may follow: states only move forward, and a final one stays.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        !self.is_final() && next > self
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Stable for the task's life.
    pub id: TaskId,
    /// The swarm that works on it.
    pub swarm_id: SwarmId,
    /// What is to be done.
    pub description: String,
    /// Which goes first.
    pub priority: Priority,
    /// How it is spread.
    pub strategy: TaskStrategy,
    /// Most agents that may take it; `None` leaves it to the runtime.
    pub max_agents: Option<u32>,
    /// What has become of it.
    pub status: TaskState,
    /// How far the last command on it has come.
    pub stage: CommandStage,
    /// 0 to 1, as the runtime said; `None` when it did not.
    pub progress: Option<f32>,
    /// The runtime's result text.
    pub result: Option<String>,
    /// Why it failed or was cancelled.
    pub reason: Option<String>,
    /// Agents that work on it.
    pub assigned_agents: Vec<AgentId>,
    /// The runtime's own id, once it said one.
    pub runtime_id: Option<String>,
    /// When the runtime last spoke of it.
    pub observed_at: Option<Timestamp>,
    /// When we accepted it.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// What a client asks for when it submits a task; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// 1 to [`limits::TASK_DESCRIPTION_CHARS_MAX`] characters.
    pub description: String,
    /// Which goes first.
    pub priority: Priority,
    /// How it is spread.
    pub strategy: TaskStrategy,
    /// 1 to [`limits::TASK_AGENTS_MAX`].
    pub max_agents: Option<u32>,
}

impl NewTask {
    /// Checks the words and lengths of a task.
    ///
    /// # Errors
    /// [`DomainError::Length`], [`DomainError::ControlCharacter`], [`DomainError::UnknownWord`] or
    /// [`DomainError::OutOfRange`], each naming its field.
    pub fn parse(
        description: String,
        priority: Option<&str>,
        strategy: Option<&str>,
        max_agents: Option<u32>,
    ) -> Result<Self, DomainError> {
        limits::check_chars("description", &description, 1, limits::TASK_DESCRIPTION_CHARS_MAX)?;
        if let Some(n) = max_agents {
            let max = limits::TASK_AGENTS_MAX as u64;
            if n == 0 || u64::from(n) > max {
                return Err(DomainError::OutOfRange { field: "max_agents", value: n.into(), min: 1, max });
            }
        }
        Ok(Self {
            description,
            priority: priority.map_or(Ok(Priority::Medium), str::parse)?,
            strategy: strategy.map_or(Ok(TaskStrategy::Adaptive), str::parse)?,
            max_agents,
        })
    }
}

impl Task {
    /// Moves the task on, when its state allows that; says whether it did.
    pub fn advance(&mut self, next: TaskState, now: Timestamp) -> bool {
        if !self.status.may_become(next) {
            return false;
        }
        self.status = next;
        self.updated_at = now;
        if next.is_final() {
            self.finished_at = Some(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_state_stays_and_no_state_goes_back() {
        for one in TaskState::ALL {
            for next in TaskState::ALL {
                let allowed = one.may_become(*next);
                if one.is_final() || next <= one {
                    assert!(!allowed, "{one} -> {next}");
                } else {
                    assert!(allowed, "{one} -> {next}");
                }
            }
        }
    }

    #[test]
    fn limits_of_a_new_task_name_the_field() {
        let of = |d: &str, p, s, n| NewTask::parse(d.into(), p, s, n).unwrap_err().to_string();
        assert!(of("", None, None, None).starts_with("description has 0 characters"));
        assert!(of("x", Some("urgent"), None, None).contains("allowed: low, medium, high, critical"));
        assert!(of("x", None, None, Some(0)).contains("max_agents is 0"));
        assert!(of(&"x".repeat(4001), None, None, None).contains("4001"));
    }
}
