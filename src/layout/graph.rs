//! Who is in a swarm and who is linked, checked and in one normal form, so that equal graphs compare equal.
//!
//! Nodes are named by *slot* (a small number that stays with an agent for its life) and referred to by
//! *index* (the position in [`LayoutGraph::nodes`]) in links. Not for what agents and links mean.

use std::collections::BTreeMap;

use super::{Vec3, integrate::POSITION_LIMIT};

/// Most nodes in one graph. Forces are exact, so a step costs nodes² pairs: about 1e9 pairs per second and
/// core.
pub const NODES_MAX: usize = 100_000;

/// Most links in one graph, duplicates included.
pub const LINKS_MAX: usize = 2_000_000;

/// Largest link weight; merged duplicates are cut to it.
pub const WEIGHT_MAX: f32 = 1000.0;

/// Smallest and largest node mass.
const MASS: std::ops::RangeInclusive<f32> = 0.1..=100.0;

/// What the topology should look like; it decides seeds and targets, never the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A ball of equals.
    Mesh,
    /// Levels one below the other, by [`NodeSpec::level`].
    Hierarchical,
    /// A circle facing the viewer, in node order.
    Ring,
    /// The node of level 0 in the middle, the others around it.
    Star,
}

/// One node of a graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeSpec {
    /// The agent's slot, unique in the graph.
    pub slot: u32,
    /// Depth: 0 is the root of a hierarchy or the hub of a star. Mesh and ring do not look at it.
    pub level: u16,
    /// How hard this node pushes others away, 0.1–100; 1 is ordinary.
    pub mass: f32,
    /// Where a user has fixed this node, layout units; `None` lets it move.
    pub pinned: Option<Vec3>,
}

impl NodeSpec {
    /// An ordinary free node.
    #[must_use]
    pub const fn new(slot: u32, level: u16) -> Self {
        Self { slot, level, mass: 1.0, pinned: None }
    }
}

/// An undirected link between two nodes, by index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkSpec {
    /// Index of one end in the node list.
    pub a: u32,
    /// Index of the other end.
    pub b: u32,
    /// How much this link counts beside others, above 0 and up to [`WEIGHT_MAX`]; 1 is ordinary.
    pub weight: f32,
}

/// Why a graph was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// More nodes than [`NODES_MAX`].
    #[error("graph has {count} nodes, at most {NODES_MAX} are allowed")]
    TooManyNodes {
        /// Nodes given.
        count: usize,
    },
    /// More links than [`LINKS_MAX`].
    #[error("graph has {count} links, at most {LINKS_MAX} are allowed")]
    TooManyLinks {
        /// Links given.
        count: usize,
    },
    /// Two nodes share a slot.
    #[error("slot {slot} appears twice")]
    DuplicateSlot {
        /// The slot.
        slot: u32,
    },
    /// A node's mass is out of range or not a number.
    #[error("mass of slot {slot} is {mass}, allowed are 0.1 to 100")]
    Mass {
        /// The node's slot.
        slot: u32,
        /// What was given.
        mass: f32,
    },
    /// A node is pinned at a point that is not finite or too far out.
    #[error("slot {slot} is pinned at a point outside the layout")]
    Pin {
        /// The node's slot.
        slot: u32,
    },
    /// A link ends at an index that has no node.
    #[error("link {a}-{b} leaves the list of {nodes} nodes")]
    LinkOutOfRange {
        /// One end.
        a: u32,
        /// The other end.
        b: u32,
        /// Nodes in the graph.
        nodes: usize,
    },
    /// A link joins a node with itself.
    #[error("node {index} is linked with itself")]
    SelfLink {
        /// The node's index.
        index: u32,
    },
    /// A link's weight is out of range or not a number.
    #[error("weight of link {a}-{b} is {weight}, allowed are above 0 to {WEIGHT_MAX}")]
    Weight {
        /// One end.
        a: u32,
        /// The other end.
        b: u32,
        /// What was given.
        weight: f32,
    },
}

/// A checked graph in normal form: unique slots, links sorted with `a < b` and without duplicates.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutGraph {
    nodes: Vec<NodeSpec>,
    links: Vec<LinkSpec>,
    all_pairs: f32,
    shape: Shape,
}

impl LayoutGraph {
    /// Checks and normalises a graph.
    ///
    /// Duplicate links are merged and their weights added. The links of a complete mesh are folded into one
    /// number ([`LayoutGraph::all_pairs`]), and only what exceeds it stays a link, since a spring per pair
    /// would cost more than it shows.
    ///
    /// # Errors
    /// [`GraphError`] names the first node or link that breaks a rule.
    pub fn new(nodes: Vec<NodeSpec>, links: Vec<LinkSpec>, shape: Shape) -> Result<Self, GraphError> {
        check_nodes(&nodes)?;
        let links = normal_links(links, nodes.len())?;
        let mut graph = Self { nodes, links, all_pairs: 0.0, shape };
        if shape == Shape::Mesh {
            graph.fold();
        }
        Ok(graph)
    }

    /// The same graph with every pair of nodes linked by `weight` without listing the links.
    ///
    /// For meshes, so that a caller need not build a list of nodes² / 2 links.
    ///
    /// # Errors
    /// [`GraphError::Weight`] when the weight is not above 0 and up to [`WEIGHT_MAX`].
    pub fn with_all_pairs(mut self, weight: f32) -> Result<Self, GraphError> {
        check_weight(&LinkSpec { a: 0, b: 0, weight })?;
        self.all_pairs = weight;
        Ok(self)
    }

    /// Nodes in the order given; links refer to positions in it.
    #[must_use]
    pub fn nodes(&self) -> &[NodeSpec] {
        &self.nodes
    }

    /// Links beyond [`LayoutGraph::all_pairs`], sorted, `a < b`.
    #[must_use]
    pub fn links(&self) -> &[LinkSpec] {
        &self.links
    }

    /// Weight of the link that every pair has; 0 when there is none.
    #[must_use]
    pub const fn all_pairs(&self) -> f32 {
        self.all_pairs
    }

    /// What the topology should look like.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Fixes or frees a node in place; true when that changed anything.
    ///
    /// # Errors
    /// [`GraphError::Pin`] when the point is outside the layout. `Ok(None)` when the slot is not in the graph.
    pub(crate) fn pin(&mut self, slot: u32, at: Option<Vec3>) -> Result<Option<bool>, GraphError> {
        if !at.is_none_or(in_layout) {
            return Err(GraphError::Pin { slot });
        }
        Ok(self.nodes.iter_mut().find(|node| node.slot == slot).map(|node| {
            let changed = node.pinned != at;
            node.pinned = at;
            changed
        }))
    }

    /// What changes when this graph is replaced by `next`.
    #[must_use]
    pub fn diff(&self, next: &Self) -> GraphDiff {
        let index = |graph: &Self| -> BTreeMap<u32, NodeSpec> {
            graph.nodes.iter().map(|node| (node.slot, *node)).collect()
        };
        let (old, new) = (index(self), index(next));
        let mut diff = GraphDiff { reshaped: self.shape != next.shape, ..GraphDiff::default() };
        for slot in new.keys() {
            if old.contains_key(slot) { diff.stayed.push(*slot) } else { diff.joined.push(*slot) }
        }
        diff.left = old.keys().filter(|slot| !new.contains_key(slot)).copied().collect();
        diff.relinked = self.pairs() != next.pairs() || (self.all_pairs > 0.0) != (next.all_pairs > 0.0);
        diff.tuned = self != next;
        diff
    }

    /// Linked pairs by slot, whatever the order of nodes.
    fn pairs(&self) -> std::collections::BTreeSet<(u32, u32)> {
        let slot =
            |index: u32| usize::try_from(index).ok().and_then(|i| self.nodes.get(i)).map(|node| node.slot);
        let pair = |link: &LinkSpec| Some((slot(link.a)?, slot(link.b)?));
        self.links.iter().filter_map(pair).map(|(a, b)| (a.min(b), a.max(b))).collect()
    }

    fn fold(&mut self) {
        let n = self.nodes.len();
        if n < 2 || self.links.len() != n * (n - 1) / 2 {
            return;
        }
        self.all_pairs = self.links.iter().map(|link| link.weight).fold(WEIGHT_MAX, f32::min);
        for link in &mut self.links {
            link.weight -= self.all_pairs;
        }
        self.links.retain(|link| link.weight > 0.0);
    }
}

/// What changes from one graph to the next; slots ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphDiff {
    /// Slots in both graphs.
    pub stayed: Vec<u32>,
    /// Slots only in the new graph.
    pub joined: Vec<u32>,
    /// Slots only in the old graph.
    pub left: Vec<u32>,
    /// Other pairs are linked than before.
    pub relinked: bool,
    /// The shape changed.
    pub reshaped: bool,
    /// Anything at all differs, be it a weight.
    pub tuned: bool,
}

fn check_nodes(nodes: &[NodeSpec]) -> Result<(), GraphError> {
    if nodes.len() > NODES_MAX {
        return Err(GraphError::TooManyNodes { count: nodes.len() });
    }
    let mut slots: Vec<u32> = nodes.iter().map(|node| node.slot).collect();
    slots.sort_unstable();
    if let Some((slot, _)) = slots.iter().zip(slots.iter().skip(1)).find(|(a, b)| a == b) {
        return Err(GraphError::DuplicateSlot { slot: *slot });
    }
    for node in nodes {
        if !MASS.contains(&node.mass) {
            return Err(GraphError::Mass { slot: node.slot, mass: node.mass });
        }
        if !node.pinned.is_none_or(in_layout) {
            return Err(GraphError::Pin { slot: node.slot });
        }
    }
    Ok(())
}

fn in_layout(point: Vec3) -> bool {
    point.iter().all(|c| c.abs() < POSITION_LIMIT)
}

fn check_weight(link: &LinkSpec) -> Result<(), GraphError> {
    if link.weight > 0.0 && link.weight <= WEIGHT_MAX {
        return Ok(());
    }
    Err(GraphError::Weight { a: link.a, b: link.b, weight: link.weight })
}

fn normal_links(mut links: Vec<LinkSpec>, nodes: usize) -> Result<Vec<LinkSpec>, GraphError> {
    if links.len() > LINKS_MAX {
        return Err(GraphError::TooManyLinks { count: links.len() });
    }
    let known = |index: u32| usize::try_from(index).is_ok_and(|i| i < nodes);
    for link in &mut links {
        let LinkSpec { a, b, .. } = *link;
        if !known(a) || !known(b) {
            return Err(GraphError::LinkOutOfRange { a, b, nodes });
        }
        if a == b {
            return Err(GraphError::SelfLink { index: a });
        }
        check_weight(link)?;
        (link.a, link.b) = (a.min(b), a.max(b));
    }
    links.sort_by(|l, r| (l.a, l.b).cmp(&(r.a, r.b)).then(l.weight.total_cmp(&r.weight)));
    links.dedup_by(|next, kept| {
        let same = (next.a, next.b) == (kept.a, kept.b);
        if same {
            kept.weight = (kept.weight + next.weight).min(WEIGHT_MAX);
        }
        same
    });
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: u32) -> Vec<NodeSpec> {
        (0..n).map(|slot| NodeSpec::new(slot * 3, 0)).collect()
    }

    fn link(a: u32, b: u32, weight: f32) -> LinkSpec {
        LinkSpec { a, b, weight }
    }

    #[test]
    fn links_are_normalised_and_merged() {
        let given = vec![link(2, 1, 1.0), link(0, 1, 2.0), link(1, 2, 0.5), link(1, 0, 999.0)];
        let graph = LayoutGraph::new(nodes(4), given, Shape::Ring).unwrap();
        assert_eq!(graph.links(), [link(0, 1, WEIGHT_MAX), link(1, 2, 1.5)]);
    }

    #[test]
    fn order_of_links_does_not_matter() {
        let mut given: Vec<_> =
            (0..5).flat_map(|a| [link(a, (a + 1) % 6, 0.1), link((a + 1) % 6, a, 0.7)]).collect();
        let one = LayoutGraph::new(nodes(6), given.clone(), Shape::Ring).unwrap();
        given.reverse();
        assert_eq!(one, LayoutGraph::new(nodes(6), given, Shape::Ring).unwrap());
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let refuse = |nodes, links| LayoutGraph::new(nodes, links, Shape::Mesh).unwrap_err();
        assert_eq!(
            refuse(nodes(2), vec![link(0, 2, 1.0)]),
            GraphError::LinkOutOfRange { a: 0, b: 2, nodes: 2 }
        );
        assert_eq!(refuse(nodes(2), vec![link(1, 1, 1.0)]), GraphError::SelfLink { index: 1 });
        for weight in [0.0, -1.0, f32::NAN, f32::INFINITY, WEIGHT_MAX * 2.0] {
            assert!(matches!(
                refuse(nodes(2), vec![link(0, 1, weight)]),
                GraphError::Weight { a: 0, b: 1, .. }
            ));
        }
        let mut twice = nodes(3);
        twice[2].slot = 3;
        assert_eq!(refuse(twice, vec![]), GraphError::DuplicateSlot { slot: 3 });
        let mut heavy = nodes(1);
        heavy[0].mass = f32::NAN;
        assert!(matches!(refuse(heavy, vec![]), GraphError::Mass { slot: 0, .. }));
        let mut far = nodes(1);
        far[0].pinned = Some([0.0, f32::INFINITY, 0.0]);
        assert_eq!(refuse(far, vec![]), GraphError::Pin { slot: 0 });
        let many = (0..=u32::try_from(NODES_MAX).unwrap()).map(|slot| NodeSpec::new(slot, 0)).collect();
        assert_eq!(refuse(many, vec![]), GraphError::TooManyNodes { count: NODES_MAX + 1 });
    }

    #[test]
    fn a_complete_mesh_folds_and_keeps_its_traffic() {
        let mut links: Vec<_> = (0..5).flat_map(|a| (0..a).map(move |b| link(a, b, 1.0))).collect();
        links.push(link(3, 1, 4.0));
        let graph = LayoutGraph::new(nodes(5), links, Shape::Mesh).unwrap();
        assert_eq!((graph.all_pairs().to_bits(), graph.links()), (1f32.to_bits(), &[link(1, 3, 4.0)][..]));
        let listed = LayoutGraph::new(nodes(5), vec![link(1, 3, 4.0)], Shape::Mesh).unwrap();
        assert_eq!(graph, listed.with_all_pairs(1.0).unwrap());
    }

    #[test]
    fn diff_names_who_stays_joins_and_leaves() {
        let old = LayoutGraph::new(nodes(4), vec![link(0, 1, 1.0)], Shape::Ring).unwrap();
        let mut moved: Vec<_> = nodes(5).into_iter().skip(1).collect();
        moved.reverse();
        let new = LayoutGraph::new(moved, vec![link(0, 1, 1.0)], Shape::Ring).unwrap();
        let diff = old.diff(&new);
        assert_eq!((diff.stayed, diff.joined, diff.left), (vec![3, 6, 9], vec![12], vec![0]));
        assert!(diff.relinked && !diff.reshaped && diff.tuned);
        assert_eq!(old.diff(&old), GraphDiff { stayed: vec![0, 3, 6, 9], ..GraphDiff::default() });
    }
}
