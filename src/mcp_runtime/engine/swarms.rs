//! Making and ending swarms.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::records::SwarmRec;
use super::{Engine, EngineError, KEY_CHARS_MAX, Moment};
use crate::domain::{DomainError, SwarmStrategy, Topology, limits};

/// `maxAgents` of a swarm that names none, as claude-flow has it.
const MAX_AGENTS_DEFAULT: u32 = 8;

/// What a swarm is asked to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct SwarmSpec {
    pub(crate) key: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) topology: Option<Topology>,
    pub(crate) strategy: Option<SwarmStrategy>,
    pub(crate) max_agents: Option<u64>,
}

/// What went with a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destroyed {
    pub(crate) agents: usize,
    pub(crate) open_tasks: usize,
}

/// Checks a key's length and characters.
pub(super) fn check_key(key: Option<&str>) -> Result<(), EngineError> {
    match key {
        Some(key) => Ok(limits::check_chars("idempotencyKey", key, 1, KEY_CHARS_MAX)?),
        None => Ok(()),
    }
}

impl Engine {
    /// Makes a swarm, or finds the one with the same key and brings it to what is asked; the flag says "found".
    ///
    /// A call that comes twice changes nothing the second time. Fewer agents than there are may be allowed: it ends
    /// none of them.
    pub(crate) fn swarm_init(
        &mut self,
        id: Uuid,
        spec: SwarmSpec,
        now: Moment,
    ) -> Result<(&SwarmRec, bool), EngineError> {
        check_key(spec.key.as_deref())?;
        if let Some(name) = &spec.name {
            limits::check_chars("name", name, 1, limits::NAME_CHARS_MAX)?;
        }
        let max_agents = spec.max_agents.map(|value| self.check_max_agents(value)).transpose()?;
        let known = spec.key.as_ref().and_then(|key| self.swarm_keys.get(key)).copied();
        let found = known.is_some_and(|known| self.swarms.contains_key(&known));
        if !found && self.swarms.len() >= self.limits.swarms {
            return Err(EngineError::SwarmLimit { live: self.swarms.len(), max: self.limits.swarms });
        }
        let id = known.filter(|_| found).unwrap_or(id);
        if let Some(key) = &spec.key {
            self.swarm_keys.insert(key.clone(), id);
        }
        let default_max = MAX_AGENTS_DEFAULT.min(self.limits.agents_per_swarm);
        let swarm = self.swarms.entry(id).or_insert_with(|| SwarmRec {
            id,
            key: spec.key,
            name: None,
            topology: Topology::Mesh,
            strategy: SwarmStrategy::Balanced,
            max_agents: default_max,
            created_at: now.at,
            agents: BTreeMap::new(),
            tasks: BTreeMap::new(),
            joined: 0,
            agent_keys: HashMap::new(),
            task_keys: HashMap::new(),
            queue: BTreeSet::new(),
        });
        swarm.name = spec.name.or_else(|| swarm.name.take());
        swarm.topology = spec.topology.unwrap_or(swarm.topology);
        swarm.strategy = spec.strategy.unwrap_or(swarm.strategy);
        swarm.max_agents = max_agents.unwrap_or(swarm.max_agents);
        Ok((swarm, found))
    }

    fn check_max_agents(&self, value: u64) -> Result<u32, EngineError> {
        let max = self.limits.agents_per_swarm;
        let fits = u32::try_from(value).ok().filter(|n| (1..=max).contains(n));
        Ok(fits.ok_or(DomainError::OutOfRange { field: "maxAgents", value, min: 1, max: max.into() })?)
    }

    /// Ends a swarm with its agents and tasks, and forgets it with all its keys.
    pub(crate) fn swarm_destroy(&mut self, id: &str) -> Result<Destroyed, EngineError> {
        let id = self.swarm(id)?.id;
        let Some(swarm) = self.swarms.remove(&id) else { return Err(EngineError::swarm_not_found("")) };
        if let Some(key) = &swarm.key {
            self.swarm_keys.remove(key);
        }
        for agent in swarm.agents.values() {
            self.agent_home.remove(&agent.id);
            if let Some(work) = agent.work {
                self.running.remove(&(work.due, agent.id));
            }
        }
        for task in swarm.tasks.keys() {
            self.task_home.remove(task);
        }
        self.ended_keys.forget_swarm(id);
        Ok(Destroyed { agents: swarm.agents.len(), open_tasks: swarm.open_tasks() })
    }
}
