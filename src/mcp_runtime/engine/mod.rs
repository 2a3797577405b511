//! The state of the agent runtime and every rule about it: swarms, their agents and tasks, keys, limits.
//!
//! Pure: time and new ids come in as arguments, nothing waits. One value of [`Engine`] lives behind a mutex. A
//! mutex and not a task with a queue, since every call is a matter of microseconds, never waits, and a queue
//! would be one more thing to bound; connections have their back-pressure where they write.

mod agents;
mod error;
mod keys;
#[cfg(test)]
mod random_tests;
mod records;
mod schedule;
mod swarms;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use self::keys::EndedKeys;
use super::executor::WorkTiming;
use crate::domain::Timestamp;

pub(crate) use self::agents::AgentSpec;
pub(crate) use self::error::EngineError;
pub(crate) use self::records::{AgentRec, SwarmRec, TaskRec};
pub(crate) use self::swarms::SwarmSpec;
pub(crate) use self::tasks::TaskSpec;

/// Longest idempotency key, in characters.
pub(crate) const KEY_CHARS_MAX: usize = 128;

/// Most things of each kind that the runtime keeps in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Swarms at once.
    pub swarms: usize,
    /// Agents at once, over all swarms.
    pub agents: usize,
    /// Largest `maxAgents` of a swarm.
    pub agents_per_swarm: u32,
    /// Tasks of a swarm that have not ended.
    pub open_tasks_per_swarm: usize,
    /// Ended tasks of a swarm that can still be asked for; the oldest go first.
    pub ended_tasks_per_swarm: usize,
    /// Keys of ended agents and of forgotten tasks, over all swarms; the oldest go first.
    pub ended_keys: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            swarms: 1_000,
            agents: 20_000,
            agents_per_swarm: 200,
            open_tasks_per_swarm: 1_000,
            ended_tasks_per_swarm: 200,
            ended_keys: 20_000,
        }
    }
}

/// One moment by both clocks: `at` is told to clients, `elapsed` decides what is due and never jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// UTC.
    pub(crate) at: Timestamp,
    /// Since the start of the runtime.
    pub(crate) elapsed: Duration,
}

impl Moment {
    /// The earlier moment `elapsed`, or this one if that is not earlier.
    fn back_to(self, elapsed: Duration) -> Self {
        let earlier = elapsed.min(self.elapsed);
        let by = chrono::TimeDelta::from_std(self.elapsed.saturating_sub(earlier)).unwrap_or_default();
        Self { at: self.at.checked_sub_signed(by).unwrap_or(self.at), elapsed: earlier }
    }
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) swarms: usize,
    pub(crate) agents: usize,
    pub(crate) busy_agents: usize,
    pub(crate) open_tasks: usize,
    pub(crate) tasks: usize,
}

/// The whole state. Nothing of it outlives the process; clients make it again, by their keys.
#[derive(Debug)]
pub(crate) struct Engine {
    limits: EngineLimits,
    timing: WorkTiming,
    /// By id, so in the order of creation.
    swarms: BTreeMap<Uuid, SwarmRec>,
    swarm_keys: HashMap<String, Uuid>,
    /// The swarm of each agent and of each kept task.
    agent_home: HashMap<Uuid, Uuid>,
    task_home: HashMap<Uuid, Uuid>,
    /// When each working agent's step ends.
    running: BTreeSet<(Duration, Uuid)>,
    ended_keys: EndedKeys,
}

impl Engine {
    /// Starts with nothing.
    pub(crate) fn new(limits: EngineLimits, timing: WorkTiming) -> Self {
        Self {
            limits,
            timing,
            swarms: BTreeMap::new(),
            swarm_keys: HashMap::new(),
            agent_home: HashMap::new(),
            task_home: HashMap::new(),
            running: BTreeSet::new(),
            ended_keys: EndedKeys::new(limits.ended_keys),
        }
    }

    /// Counts everything.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            swarms: self.swarms.len(),
            agents: self.agent_home.len(),
            busy_agents: self.running.len(),
            open_tasks: self.swarms.values().map(SwarmRec::open_tasks).sum(),
            tasks: self.task_home.len(),
        }
    }

    /// Every swarm, oldest first.
    pub(crate) fn swarms(&self) -> impl Iterator<Item = &SwarmRec> {
        self.swarms.values()
    }

    /// The swarm with this id.
    pub(crate) fn swarm(&self, id: &str) -> Result<&SwarmRec, EngineError> {
        parse_id("swarm-", id)
            .and_then(|uuid| self.swarms.get(&uuid))
            .ok_or_else(|| EngineError::swarm_not_found(id))
    }

    /// The agent with this id and its swarm; with `swarm`, only there.
    pub(crate) fn agent(&self, id: &str, swarm: Option<&str>) -> Result<(&SwarmRec, &AgentRec), EngineError> {
        let missing = || EngineError::agent_not_found(id);
        let uuid = parse_id("agent-", id).ok_or_else(missing)?;
        let home = self.home(self.agent_home.get(&uuid), swarm)?.ok_or_else(missing)?;
        Ok((home, home.agents.get(&uuid).ok_or_else(missing)?))
    }

    /// The task with this id and its swarm; with `swarm`, only there.
    pub(crate) fn task(&self, id: &str, swarm: Option<&str>) -> Result<(&SwarmRec, &TaskRec), EngineError> {
        let missing = || EngineError::task_not_found(id);
        let uuid = parse_id("task-", id).ok_or_else(missing)?;
        let home = self.home(self.task_home.get(&uuid), swarm)?.ok_or_else(missing)?;
        Ok((home, home.tasks.get(&uuid).ok_or_else(missing)?))
    }

    fn home(&self, home: Option<&Uuid>, asked: Option<&str>) -> Result<Option<&SwarmRec>, EngineError> {
        let asked = asked.map(|id| self.swarm(id)).transpose()?;
        let home = home.and_then(|id| self.swarms.get(id));
        Ok(home.filter(|home| asked.is_none_or(|asked| asked.id == home.id)))
    }
}

/// Reads an id that the runtime gave out; anything else names nothing.
fn parse_id(prefix: &str, id: &str) -> Option<Uuid> {
    id.strip_prefix(prefix).and_then(|rest| Uuid::try_parse(rest).ok())
}
