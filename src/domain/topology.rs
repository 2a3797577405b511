//! The four topologies, as links between slots.

use super::words::words;
use super::{AgentType, Link, limits};

words! {
    /// How the agents of a swarm are linked.
    Topology as "topology" {
        /// All pairs.
        Mesh = "mesh",
        /// A balanced tree under the queen or coordinator.
        Hierarchical = "hierarchical",
        /// A cycle in the order of joining.
        Ring = "ring",
        /// One hub with everybody linked to it.
        Star = "star",
    }
}

/// What a topology needs to know of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The agent's slot; slots rise in the order of joining.
    pub slot: u32,
    /// The agent's type: queens and coordinators lead.
    pub kind: AgentType,
}

/// The structural links among `members`, sorted by (a, b), each pair once.
///
/// The leader (root of a tree, hub of a star) is the first queen, else the first coordinator, else the
/// first to join; so it stays the same while others come and go.
#[must_use]
pub fn links(topology: Topology, members: &[Member]) -> Vec<Link> {
    let ordered = leader_first(members);
    let mut links = match topology {
        Topology::Mesh => mesh(&ordered),
        Topology::Hierarchical => tree(&ordered),
        Topology::Ring => ring(members),
        Topology::Star => star(&ordered),
    };
    links.sort_unstable_by_key(|link| (link.a, link.b));
    links
}

/// How far each slot is from the leader, in links: the levels of a tree, hub and rim of a star, 0 elsewhere.
#[must_use]
pub fn levels(topology: Topology, members: &[Member]) -> Vec<(u32, u16)> {
    let level = |n: usize| match topology {
        Topology::Mesh | Topology::Ring => 0,
        Topology::Star => u16::from(n > 0),
        Topology::Hierarchical => {
            let parents =
                std::iter::successors(Some(n), |n| n.checked_sub(1).map(|n| n / limits::HIERARCHY_FAN_OUT));
            u16::try_from(parents.skip(1).count()).unwrap_or(u16::MAX)
        }
    };
    leader_first(members).into_iter().enumerate().map(|(n, slot)| (slot, level(n))).collect()
}

/// The slots in the order of joining, the leader moved to the front.
fn leader_first(members: &[Member]) -> Vec<u32> {
    let mut slots: Vec<u32> = sorted_slots(members);
    let first_of = |kind| members.iter().filter(|m| m.kind == kind).map(|m| m.slot).min();
    if let Some(leader) = first_of(AgentType::Queen).or_else(|| first_of(AgentType::Coordinator)) {
        slots.retain(|slot| *slot != leader);
        slots.insert(0, leader);
    }
    slots
}

fn sorted_slots(members: &[Member]) -> Vec<u32> {
    let mut slots: Vec<u32> = members.iter().map(|m| m.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

fn mesh(slots: &[u32]) -> Vec<Link> {
    let mut links = Vec::with_capacity(slots.len() * slots.len().saturating_sub(1) / 2);
    for (n, one) in slots.iter().enumerate() {
        links.extend(slots.iter().skip(n + 1).map(|other| Link::structural(*one, *other)));
    }
    links
}

/// A complete tree: the parent of position `n` is at `(n - 1) / fan-out`.
fn tree(slots: &[u32]) -> Vec<Link> {
    let parent_of = |n: usize| slots.get((n - 1) / limits::HIERARCHY_FAN_OUT);
    slots
        .iter()
        .enumerate()
        .skip(1)
        .filter_map(|(n, slot)| parent_of(n).map(|parent| Link::structural(*parent, *slot)))
        .collect()
}

fn ring(members: &[Member]) -> Vec<Link> {
    let slots = sorted_slots(members);
    let mut links: Vec<Link> =
        slots.windows(2).filter_map(|w| Some(Link::structural(*w.first()?, *w.get(1)?))).collect();
    // two agents make one link, not a cycle of two
    if let (3.., Some(first), Some(last)) = (slots.len(), slots.first(), slots.last()) {
        links.push(Link::structural(*first, *last));
    }
    links
}

fn star(slots: &[u32]) -> Vec<Link> {
    let Some((hub, rest)) = slots.split_first() else { return Vec::new() };
    rest.iter().map(|slot| Link::structural(*hub, *slot)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn members(kinds: &[AgentType]) -> Vec<Member> {
        (0..).zip(kinds).map(|(slot, kind)| Member { slot, kind: *kind }).collect()
    }

    fn degree(links: &[Link], slot: u32) -> usize {
        links.iter().filter(|l| l.a == slot || l.b == slot).count()
    }

    fn connected(links: &[Link], n: usize) -> bool {
        let mut seen = BTreeSet::from([0u32]);
        while let Some(next) = links.iter().find_map(|l| match (seen.contains(&l.a), seen.contains(&l.b)) {
            (true, false) => Some(l.b),
            (false, true) => Some(l.a),
            (true, true) | (false, false) => None,
        }) {
            seen.insert(next);
        }
        seen.len() == n.max(1)
    }

    #[test]
    fn the_hub_of_a_star_is_the_queen_then_the_coordinator_then_the_first() {
        use AgentType::{Coder, Coordinator, Queen, Tester};
        let hub = |kinds: &[AgentType]| {
            let all = links(Topology::Star, &members(kinds));
            (0u32..).zip(kinds).map(|(slot, _)| slot).find(|s| degree(&all, *s) == kinds.len() - 1)
        };
        assert_eq!(hub(&[Coder, Coordinator, Tester, Queen]), Some(3));
        assert_eq!(hub(&[Coder, Tester, Coordinator, Coder]), Some(2));
        assert_eq!(hub(&[Coder, Tester, Coder]), Some(0));
    }

    #[test]
    fn a_tree_never_exceeds_its_fan_out() {
        let all = links(Topology::Hierarchical, &members(&[AgentType::Coder; 200]));
        assert_eq!(all.len(), 199);
        for slot in 0..200 {
            assert!(degree(&all, slot) <= limits::HIERARCHY_FAN_OUT + 1, "slot {slot}");
        }
    }

    #[test]
    fn levels_count_links_from_the_leader() {
        let of = |topology, n| levels(topology, &members(&vec![AgentType::Coder; n]));
        let depths: Vec<u16> = of(Topology::Hierarchical, 32).into_iter().map(|(_, level)| level).collect();
        assert_eq!(depths.iter().filter(|d| **d == 0).count(), 1);
        assert_eq!(depths.iter().filter(|d| **d == 1).count(), 5);
        assert_eq!(depths.iter().filter(|d| **d == 2).count(), 25);
        assert_eq!(depths.last(), Some(&3));
        assert_eq!(of(Topology::Star, 3), [(0, 0), (1, 1), (2, 1)]);
        assert_eq!(of(Topology::Ring, 2), [(0, 0), (1, 0)]);
    }

    proptest! {
        #[test]
        fn every_topology_connects_everybody_once(n in 0usize..60, which in 0usize..4) {
            let topology = Topology::ALL[which];
            let all = links(topology, &members(&vec![AgentType::Coder; n]));
            let pairs: BTreeSet<_> = all.iter().map(|l| (l.a, l.b)).collect();
            prop_assert_eq!(pairs.len(), all.len());
            prop_assert!(all.iter().all(|l| l.a < l.b));
            prop_assert!(connected(&all, n));
            let expected = match topology {
                Topology::Mesh => n * n.saturating_sub(1) / 2,
                Topology::Ring if n > 2 => n,
                Topology::Ring | Topology::Hierarchical | Topology::Star => n.saturating_sub(1),
            };
            prop_assert_eq!(all.len(), expected);
        }
    }
}
