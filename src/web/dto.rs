//! What requests carry and answers show, where that differs from the domain's own JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fields::Fields;
use super::problem::ApiError;
use crate::actors::directory::SwarmView;
use crate::domain::{
    DomainError, Link, NewAgent, NewSwarm, NewTask, Swarm, SwarmId, SwarmState, SwarmStrategy, Timestamp,
    Topology, limits,
};
use crate::wire::metadata::task_counts;

/// Reads the body of a swarm's creation.
///
/// # Errors
/// [`ApiError`] that names each wrong field.
pub(crate) fn new_swarm(text: &[u8], topology: Topology, cap: u32) -> Result<NewSwarm, ApiError> {
    let mut fields = Fields::parse(text)?;
    let name = fields.text("name");
    let given = fields.optional_text("topology");
    let max_agents = fields.optional_whole("max_agents");
    let strategy = fields.optional_text("strategy");
    fields.finish()?;
    Ok(NewSwarm::parse(name, given.as_deref(), strategy.as_deref(), max_agents, topology, cap)?)
}

/// Reads the body of an agent's spawn.
///
/// # Errors
/// As for [`new_swarm`].
pub(crate) fn new_agent(text: &[u8]) -> Result<NewAgent, ApiError> {
    let mut fields = Fields::parse(text)?;
    let kind = fields.text("type");
    let name = fields.optional_text("name");
    let capabilities = fields.texts("capabilities");
    fields.finish()?;
    Ok(NewAgent::parse(&kind, name, capabilities)?)
}

/// Reads the body of a task's submission.
///
/// # Errors
/// As for [`new_swarm`].
pub(crate) fn new_task(text: &[u8]) -> Result<NewTask, ApiError> {
    let mut fields = Fields::parse(text)?;
    let description = fields.text("description");
    let priority = fields.optional_text("priority");
    let strategy = fields.optional_text("strategy");
    let given = fields.optional_whole("max_agents");
    fields.finish()?;
    let max_agents = given.map(u32::try_from).transpose().map_err(|_too_large| DomainError::OutOfRange {
        field: "max_agents",
        value: given.unwrap_or(u64::MAX),
        min: 1,
        max: limits::TASK_AGENTS_MAX as u64,
    })?;
    Ok(NewTask::parse(description, priority.as_deref(), strategy.as_deref(), max_agents)?)
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// To be sent as `cursor` for the next page; `null` on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// A swarm as answers show it: the domain's fields that concern a client, and counts.
#[derive(Debug, Serialize)]
pub(crate) struct SwarmBody<'a> {
    id: SwarmId,
    name: &'a str,
    owner: &'a str,
    topology: Topology,
    strategy: SwarmStrategy,
    max_agents: u32,
    status: SwarmState,
    reason: Option<&'a str>,
    runtime_id: Option<&'a str>,
    epoch: u32,
    version: i64,
    agent_count: usize,
    /// Unfinished and recently finished tasks by state.
    task_counts: BTreeMap<&'static str, usize>,
    created_at: Timestamp,
    updated_at: Timestamp,
    last_used_at: Timestamp,
}

impl<'a> SwarmBody<'a> {
    pub(crate) fn new(view: &'a SwarmView) -> Self {
        let Swarm { name, owner, reason, runtime_id, .. } = &view.swarm;
        let swarm = &view.swarm;
        Self {
            id: swarm.id,
            name,
            owner,
            topology: swarm.topology,
            strategy: swarm.strategy,
            max_agents: swarm.max_agents,
            status: swarm.status,
            reason: reason.as_deref(),
            runtime_id: runtime_id.as_deref(),
            epoch: swarm.epoch,
            version: swarm.version,
            agent_count: view.agents.len(),
            task_counts: task_counts(&view.tasks),
            created_at: swarm.created_at,
            updated_at: swarm.updated_at,
            last_used_at: swarm.last_used_at,
        }
    }
}

/// A page of links, with the agents that the slots stand for.
#[derive(Debug, Serialize)]
pub(crate) struct LinksBody<'a> {
    pub(crate) items: Vec<Link>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) agents: Vec<SlotBody<'a>>,
}

/// Which agent has a slot.
#[derive(Debug, Serialize)]
pub(crate) struct SlotBody<'a> {
    pub(crate) slot: u32,
    pub(crate) id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentType, Priority};
    use crate::web::Code;

    fn swarm(text: &str) -> Result<NewSwarm, ApiError> {
        new_swarm(text.as_bytes(), Topology::Ring, 200)
    }

    #[test]
    fn the_guide_s_bodies_are_read() {
        let new = swarm(r#"{"topology": "mesh", "name": "test-swarm"}"#).unwrap();
        assert_eq!((new.name.as_str(), new.topology, new.max_agents), ("test-swarm", Topology::Mesh, 200));
        assert_eq!(swarm(r#"{"name":"a"}"#).unwrap().topology, Topology::Ring);
        let agent = new_agent(br#"{"type": "researcher", "capabilities": ["analysis"]}"#).unwrap();
        assert_eq!((agent.kind, agent.capabilities), (AgentType::Researcher, vec!["analysis".to_owned()]));
        let task = new_task(br#"{"description":"x","priority":"high","max_agents":3}"#).unwrap();
        assert_eq!((task.priority, task.max_agents), (Priority::High, Some(3)));
    }

    #[test]
    fn values_out_of_range_are_422() {
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(51));
        for text in
            [r#"{"name":""}"#, &long, r#"{"name":"a","topology":"torus"}"#, r#"{"name":"a","max_agents":0}"#]
        {
            assert_eq!(swarm(text).unwrap_err().code(), Code::ValidationFailed, "{text}");
        }
        for text in [
            r#"{"description":"x","max_agents":33}"#,
            r#"{"description":"x","max_agents":18446744073709551615}"#,
        ] {
            assert_eq!(new_task(text.as_bytes()).unwrap_err().code(), Code::ValidationFailed, "{text}");
        }
        assert_eq!(new_agent(br#"{"type":"wizard"}"#).unwrap_err().code(), Code::ValidationFailed);
        assert_eq!(new_agent(br#"{"kind":"coder","type":"coder"}"#).unwrap_err().code(), Code::UnknownField);
    }
}
