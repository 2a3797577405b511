//! The swarm as the layout sees it: nodes with levels, links by index, a shape.

use std::collections::BTreeMap;

use crate::domain::{SwarmModel, Topology};
use crate::layout::{GraphError, LayoutGraph, LinkSpec, NodeSpec, Shape};

/// Builds the graph that the topology asks for.
///
/// # Errors
/// [`GraphError`] when the model breaks a rule of the layout, which is a bug.
pub(super) fn build(model: &SwarmModel) -> Result<LayoutGraph, GraphError> {
    let levels: BTreeMap<u32, u16> = model.levels().into_iter().collect();
    let nodes: Vec<NodeSpec> = levels.iter().map(|(slot, level)| NodeSpec::new(*slot, *level)).collect();
    if model.swarm.topology == Topology::Mesh {
        // a spring per pair would cost more than it shows; the layout knows "everybody with everybody"
        let graph = LayoutGraph::new(nodes, Vec::new(), Shape::Mesh)?;
        return graph.with_all_pairs(1.0);
    }
    let index: BTreeMap<u32, u32> = levels.keys().copied().zip(0..).collect();
    let links = model.links().into_iter().filter_map(|link| {
        Some(LinkSpec { a: *index.get(&link.a)?, b: *index.get(&link.b)?, weight: link.weight })
    });
    let shape = match model.swarm.topology {
        Topology::Mesh => Shape::Mesh,
        Topology::Hierarchical => Shape::Hierarchical,
        Topology::Ring => Shape::Ring,
        Topology::Star => Shape::Star,
    };
    LayoutGraph::new(nodes, links.collect(), shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentId, AgentType, NewAgent, NewSwarm, SwarmId, SwarmState};

    #[test]
    fn every_topology_builds_from_empty_to_full_and_after_leaves() {
        let now = chrono::DateTime::from_timestamp(0, 0).unwrap();
        for topology in Topology::ALL {
            let new =
                NewSwarm::parse("s".into(), Some(topology.as_str()), None, None, *topology, 200).unwrap();
            let mut swarm = new.accept(SwarmId(uuid::Uuid::nil()), "a".into(), now);
            assert!(swarm.advance(SwarmState::Active, None, now));
            let mut model = SwarmModel::new(swarm, vec![], vec![]);
            assert_eq!(build(&model).unwrap().nodes().len(), 0);
            for n in 0..50 {
                let agent = NewAgent { kind: AgentType::Coder, name: None, capabilities: vec![] };
                model.accept_agent(agent, AgentId::parse(format!("a{n}")).unwrap(), now).unwrap();
            }
            for n in [0, 7, 49] {
                model.forget_agent(&AgentId::parse(format!("a{n}")).unwrap(), now).unwrap();
            }
            assert_eq!(build(&model).unwrap().nodes().len(), 47, "{topology}");
        }
    }
}
