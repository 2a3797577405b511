//! One agent: its type, its states, what was seen of it and when.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{AgentId, DomainError, SwarmId, Timestamp, limits};

words! {
    /// What an agent is for.
    AgentType as "agent type" {
        /// Leads a part of the work.
        Coordinator = "coordinator",
        /// Finds things out.
        Researcher = "researcher",
        /// Writes programs.
        Coder = "coder",
        /// Reads data.
        Analyst = "analyst",
        /// Designs.
        Architect = "architect",
        /// Tests.
        Tester = "tester",
        /// Reviews.
        Reviewer = "reviewer",
        /// Makes things faster.
        Optimizer = "optimizer",
        /// Writes documents.
        Documenter = "documenter",
        /// Watches.
        Monitor = "monitor",
        /// Knows one field.
        Specialist = "specialist",
        /// Leads the swarm.
        Queen = "queen",
    }
}

words! {
    /// What an agent does, as the runtime last said.
    AgentState as "agent state" {
        /// Accepted by us, not yet seen in the runtime.
        Initializing = "initializing",
        /// Waits for work.
        Idle = "idle",
        /// Works on a task.
        Busy = "busy",
        /// Runs, with nothing more said.
        Active = "active",
        /// Says that it failed.
        Error = "error",
        /// Told to end, not yet seen gone.
        Terminating = "terminating",
        /// No longer in the runtime.
        Offline = "offline",
    }
}

words! {
    /// How far a command has come: only a second observation makes it verified.
    CommandStage as "command stage" {
        /// Persisted by us.
        Accepted = "accepted",
        /// Written to the runtime; its answer is not known.
        Sent = "sent",
        /// The runtime answered success.
        Acknowledged = "acknowledged",
        /// The runtime's own list shows the effect.
        Verified = "verified",
        /// The runtime answered success, and its list does not show the effect.
        Unverified = "unverified",
    }
}

words! {
    /// Who said what is known of an agent.
    Source as "source" {
        /// The agent runtime's answer.
        Mcp = "mcp",
        /// The database: seen before the last start.
        Db = "db",
    }
}

/// What the runtime reports of an agent; `None` is "not said", never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// 0 to 1.
    pub health: Option<f32>,
    /// 0 to 1.
    pub workload: Option<f32>,
    /// 0 to 1.
    pub success_rate: Option<f32>,
    /// 0 to 1 of one core.
    pub cpu_usage: Option<f32>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Tokens used since the start of the agent.
    pub tokens_used: Option<u64>,
    /// Tasks that it has finished.
    pub tasks_completed: Option<u64>,
}

/// When and by whom an agent was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The moment of the observation.
    pub observed_at: Timestamp,
    /// Who said it.
    pub source: Source,
}

/// One agent of a swarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Stable for the agent's life.
    pub id: AgentId,
    /// The swarm that it belongs to.
    pub swarm_id: SwarmId,
    /// Its small integer on the wire; never used twice within an epoch.
    pub slot: u32,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: AgentType,
    /// Its name, 1 to 50 characters.
    pub name: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The last known state.
    pub state: AgentState,
    /// How far the last command on it has come.
    pub stage: CommandStage,
    /// The runtime's own id, once it said one.
    pub runtime_id: Option<String>,
    /// The task it works on, as the runtime said.
    pub current_task: Option<String>,
    /// The runtime's figures.
    pub figures: Figures,
    /// When it was last seen; `None` until the first time.
    pub observation: Option<Observation>,
    /// Whether the observation is older than three poll periods.
    pub stale: bool,
    /// Complete answers in a row without it.
    pub missed_polls: u32,
    /// When the swarm accepted it.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}

/// What a client asks for when it spawns an agent; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// What it is for.
    pub kind: AgentType,
    /// Its name; made from its type and slot when missing.
    pub name: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
}

impl NewAgent {
    /// Checks the words and lengths of a spawn call.
    ///
    /// # Errors
    /// [`DomainError::UnknownWord`] for the type, [`DomainError::Length`] and
    /// [`DomainError::ControlCharacter`] for texts, [`DomainError::TooMany`] for capabilities.
    pub fn parse(kind: &str, name: Option<String>, capabilities: Vec<String>) -> Result<Self, DomainError> {
        let kind = kind.parse()?;
        if let Some(name) = &name {
            limits::check_chars("name", name, 1, limits::NAME_CHARS_MAX)?;
        }
        if capabilities.len() > limits::CAPABILITIES_MAX {
            return Err(DomainError::TooMany {
                field: "capabilities",
                count: capabilities.len(),
                max: limits::CAPABILITIES_MAX,
            });
        }
        for capability in &capabilities {
            limits::check_chars("capabilities", capability, 1, limits::CAPABILITY_CHARS_MAX)?;
        }
        Ok(Self { kind, name, capabilities })
    }
}

impl Agent {
    /// Marks it as known from before the start, until the runtime is heard again.
    pub fn note_loaded(&mut self) {
        if let Some(seen) = &mut self.observation {
            seen.source = Source::Db;
        }
    }

    /// Whether it counts against the limits and is part of the layout.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.state != AgentState::Offline
    }
}
