//! One swarm: its states, what may follow each, and what a client may ask of it.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{DomainError, SwarmId, Timestamp, Topology, limits};

words! {
    /// What a swarm is up to.
    SwarmState as "swarm state" {
        /// Persisted; the runtime has not confirmed it yet.
        Creating = "creating",
        /// Works.
        Active = "active",
        /// The runtime can't be reached; state is cached, layout goes on.
        Degraded = "degraded",
        /// A client stopped it: no work is fed.
        Paused = "paused",
        /// Nobody used it for a while: its actor sleeps, any use wakes it.
        Idle = "idle",
        /// Ended by an error; `restart` clears it.
        Failed = "failed",
        /// On its way out.
        Deleting = "deleting",
    }
}

words! {
    /// How the runtime distributes work within the swarm.
    SwarmStrategy as "strategy" {
        /// Evenly.
        Balanced = "balanced",
        /// By capability.
        Specialized = "specialized",
        /// As load and success suggest.
        Adaptive = "adaptive",
    }
}

impl SwarmState {
    /// Whether `next` may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use SwarmState::{Active, Creating, Degraded, Deleting, Failed, Idle, Paused};
        match (self, next) {
            (Deleting, _) => false,
            (_, Deleting) => true,
            (Creating, Active | Failed) => true,
            (Active, Degraded | Paused | Idle | Failed) => true,
            (Degraded, Active | Paused | Idle | Failed) => true,
            (Paused, Active | Degraded | Idle | Failed) => true,
            (Idle, Active | Degraded | Paused | Failed) => true,
            (Failed, Creating | Active) => true,
            _ => false,
        }
    }

    /// Whether it takes new agents and tasks. An idle one does: use wakes it.
    #[must_use]
    pub const fn takes_work(self) -> bool {
        matches!(self, Self::Active | Self::Degraded | Self::Idle)
    }
}

/// One swarm, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swarm {
    /// Stable for the swarm's life.
    pub id: SwarmId,
    /// The JWT subject that created it.
    pub owner: String,
    /// 1 to 50 characters.
    pub name: String,
    /// How its agents are linked.
    pub topology: Topology,
    /// How the runtime distributes work.
    pub strategy: SwarmStrategy,
    /// Most agents.
    pub max_agents: u32,
    /// What it is up to.
    pub status: SwarmState,
    /// Why it failed or is degraded.
    pub reason: Option<String>,
    /// The runtime's own id, once it said one.
    pub runtime_id: Option<String>,
    /// Rises with every start of its actor; frames and replies of an earlier one are stale.
    pub epoch: u32,
    /// Rises with every change that a client can see; its entity tag.
    pub version: i64,
    /// The next agent's slot.
    pub next_slot: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// The last command, task, subscriber or agent change.
    pub last_used_at: Timestamp,
}

/// What a client asks for when it creates a swarm; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSwarm {
    /// 1 to 50 characters.
    pub name: String,
    /// How its agents are linked.
    pub topology: Topology,
    /// How the runtime distributes work.
    pub strategy: SwarmStrategy,
    /// 1 to `MAX_AGENTS_PER_SWARM`.
    pub max_agents: u32,
}

impl NewSwarm {
    /// Checks the words and limits of a creation; `cap` is `MAX_AGENTS_PER_SWARM`, also the default.
    ///
    /// # Errors
    /// [`DomainError::Length`], [`DomainError::ControlCharacter`], [`DomainError::UnknownWord`] or
    /// [`DomainError::OutOfRange`], each naming its field.
    pub fn parse(
        name: String,
        topology: Option<&str>,
        strategy: Option<&str>,
        max_agents: Option<u64>,
        default_topology: Topology,
        cap: u32,
    ) -> Result<Self, DomainError> {
        check_name(&name)?;
        let value = max_agents.unwrap_or(cap.into());
        let max_agents = u32::try_from(value)
            .ok()
            .filter(|n| (1..=cap).contains(n))
            .ok_or(DomainError::OutOfRange { field: "max_agents", value, min: 1, max: cap.into() })?;
        Ok(Self {
            name,
            topology: topology.map_or(Ok(default_topology), str::parse)?,
            strategy: strategy.map_or(Ok(SwarmStrategy::Adaptive), str::parse)?,
            max_agents,
        })
    }

    /// The swarm that it becomes, before anything has happened.
    #[must_use]
    pub fn accept(self, id: SwarmId, owner: String, now: Timestamp) -> Swarm {
        Swarm {
            id,
            owner,
            name: self.name,
            topology: self.topology,
            strategy: self.strategy,
            max_agents: self.max_agents,
            status: SwarmState::Creating,
            reason: None,
            runtime_id: None,
            epoch: 0,
            version: 1,
            next_slot: 0,
            created_at: now,
            updated_at: now,
            last_used_at: now,
        }
    }
}

/// Checks a swarm's name: 1 to 50 characters, and not blanks alone.
///
/// # Errors
/// [`DomainError::Length`] or [`DomainError::ControlCharacter`].
fn check_name(name: &str) -> Result<(), DomainError> {
    limits::check_chars("name", name, 1, limits::NAME_CHARS_MAX)?;
    limits::check_chars("name", name.trim(), 1, limits::NAME_CHARS_MAX)
}

impl Swarm {
    /// Moves the swarm on, when its state allows that; says whether it did.
    pub fn advance(&mut self, next: SwarmState, reason: Option<String>, now: Timestamp) -> bool {
        if !self.status.may_become(next) {
            return false;
        }
        self.status = next;
        self.reason = reason.map(|text| limits::cut(&text, limits::REASON_CHARS_MAX));
        self.touch(now);
        true
    }

    /// Counts one change that a client can see.
    pub fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, topology: Option<&str>, max: Option<u64>) -> Result<NewSwarm, DomainError> {
        NewSwarm::parse(name.into(), topology, None, max, Topology::Mesh, 200)
    }

    #[test]
    fn names_have_1_to_50_characters_whatever_their_bytes() {
        assert!(new("", None, None).is_err());
        assert!(new("   ", None, None).is_err());
        assert!(new(&"ü".repeat(50), None, None).is_ok());
        assert!(new(&"ü".repeat(51), None, None).is_err());
        assert!(new("a\0b", None, None).is_err());
    }

    #[test]
    fn the_cap_is_default_and_limit() {
        assert_eq!(new("a", None, None).unwrap().max_agents, 200);
        assert_eq!(new("a", None, Some(200)).unwrap().max_agents, 200);
        for wrong in [0, 201, u64::MAX] {
            assert!(new("a", None, Some(wrong)).unwrap_err().to_string().contains("allowed: 1 to 200"));
        }
        assert!(
            new("a", Some("torus"), None).unwrap_err().to_string().contains("mesh, hierarchical, ring, star")
        );
    }

    #[test]
    fn deleting_is_the_end_and_can_follow_anything_else() {
        for state in SwarmState::ALL {
            assert!(!SwarmState::Deleting.may_become(*state));
            assert_eq!(state.may_become(SwarmState::Deleting), *state != SwarmState::Deleting);
        }
    }
}
