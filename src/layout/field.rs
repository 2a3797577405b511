//! The forces that act on one swarm, worked out once per edit: directed springs, the pull of the shape, the
//! speed cap.
//!
//! Springs are gathered: each node has a row with the nodes that pull it and how hard, so a step needs no
//! scatter and no atomics on any processor, and each sum has one order.

use super::{ForceParams, LayoutGraph, Shape};

/// A mesh counts like this many links when a node's traffic links share out its strength.
const MESH_DEGREE: f32 = 8.0;

/// Rest length of the pull to the centre that stands for all springs of a mesh, in link distances: the mean
/// distance component between points spread evenly on a sphere is two thirds.
pub(crate) const MESH_REST: f32 = 2.0 / 3.0;

/// Share of the other forces that an axis held by the shape still feels.
const HELD_FREEDOM: f32 = 0.15;

/// A hierarchy's levels lie on top of each other, so they push less than a ball of as many nodes would ...
const LEVEL_CHARGE: f32 = 0.6;

/// ... and are drawn to the vertical axis this many times harder, or wide levels would grow far wider than
/// the whole is tall.
const LEVEL_GRAVITY: f32 = 8.0;

/// Fastest a node moves, in link distances per tick.
const SPEED_LINKS: f32 = 2.0;

/// Fastest a node moves, as a share of the layout's extent per tick, when that is more.
const SPEED_EXTENT: f32 = 1.0 / 16.0;

/// Springs as compressed rows: row `i` is `col[row[i]..row[i + 1]]` with strengths `k`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Springs {
    /// Start of each row, `nodes + 1` long.
    pub row: Vec<u32>,
    /// Index of the node at the other end.
    pub col: Vec<u32>,
    /// Share of the stretch that the row's node takes per tick at full heat; a row sums to at most 1.
    pub k: Vec<f32>,
}

impl Springs {
    /// Directed springs of a graph, with d3's strengths: a link counts less at a node with many, and the
    /// busier end moves less.
    fn new(graph: &LayoutGraph) -> Self {
        let n = graph.nodes().len();
        let base = graph.all_pairs() * MESH_DEGREE;
        let mut total = vec![base; n];
        let mut row = vec![0_u32; n + 1];
        for (node, weight, _) in directed(graph) {
            if let Some(sum) = total.get_mut(node) {
                *sum += weight;
            }
            if let Some(count) = row.get_mut(node + 1) {
                *count += 1;
            }
        }
        let mut end = 0;
        for count in &mut row {
            end += *count;
            *count = end;
        }
        let mut next = row.clone();
        let mut springs =
            Self { row, col: vec![0; graph.links().len() * 2], k: vec![0.0; graph.links().len() * 2] };
        for (node, weight, other) in directed(graph) {
            springs.put(&mut next, &total, (node, other), weight);
        }
        springs
    }

    fn put(&mut self, next: &mut [u32], total: &[f32], (node, other): (usize, usize), weight: f32) {
        let (Some(at), Some(own), Some(far)) = (next.get_mut(node), total.get(node), total.get(other)) else {
            return;
        };
        let entry = usize::try_from(*at).unwrap_or(usize::MAX);
        *at += 1;
        if let (Some(col), Some(k)) = (self.col.get_mut(entry), self.k.get_mut(entry)) {
            *col = u32::try_from(other).unwrap_or(0);
            *k = weight / own.min(*far) * far / (own + far);
        }
    }
}

/// Each link from both of its ends: node, weight, other node.
fn directed(graph: &LayoutGraph) -> impl Iterator<Item = (usize, f32, usize)> {
    graph.links().iter().flat_map(|link| {
        let (a, b) =
            (usize::try_from(link.a).unwrap_or(usize::MAX), usize::try_from(link.b).unwrap_or(usize::MAX));
        [(a, link.weight, b), (b, link.weight, a)]
    })
}

/// How one axis is drawn to the nodes' targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisPull {
    /// Pull per layout unit from the target, at full heat.
    pub strength: f32,
    /// Share of the other forces along this axis that is felt.
    pub freedom: f32,
}

/// Everything that acts on one swarm and stays the same between two edits.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Springs of the listed links.
    pub springs: Springs,
    /// Pull per layout unit towards the centroid that stands for all springs of a mesh; 0 without one.
    pub all_pairs: f32,
    /// Share of the many-body strength that is felt.
    pub charge: f32,
    /// Pull along x, y and z.
    pub axes: [AxisPull; 3],
    /// Fastest a node may move, layout units per tick, unless it is far out.
    pub speed_max: f32,
}

impl Field {
    /// The field of a graph whose targets reach `extent` layout units from the origin.
    #[must_use]
    pub fn new(graph: &LayoutGraph, params: &ForceParams, extent: f32) -> Self {
        let settings = params.settings();
        let free = AxisPull { strength: settings.gravity, freedom: 1.0 };
        let inward = AxisPull { strength: settings.gravity * LEVEL_GRAVITY, freedom: 1.0 };
        let loosening = settings.shape_strength.min(HELD_FREEDOM) / HELD_FREEDOM;
        let held = AxisPull {
            strength: settings.gravity.max(settings.shape_strength),
            freedom: 1.0 - (1.0 - HELD_FREEDOM) * loosening,
        };
        let axes = match graph.shape() {
            Shape::Mesh | Shape::Star => [free; 3],
            Shape::Hierarchical => [inward, held, inward],
            Shape::Ring => [held; 3],
        };
        // Nodes are at most NODES_MAX, exact in f32.
        let n = graph.nodes().len() as f32;
        let all_pairs = if graph.all_pairs() > 0.0 && n > 1.0 { 0.5 * n / (n - 1.0) } else { 0.0 };
        Self {
            springs: Springs::new(graph),
            all_pairs: all_pairs * settings.link_strength,
            charge: if graph.shape() == Shape::Hierarchical { LEVEL_CHARGE } else { 1.0 },
            axes,
            speed_max: (SPEED_LINKS * settings.link_distance).max(SPEED_EXTENT * extent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{LinkSpec, NodeSpec};

    fn star(n: u32) -> LayoutGraph {
        let nodes = (0..n).map(|slot| NodeSpec::new(slot, u16::from(slot > 0))).collect();
        let links = (1..n).map(|b| LinkSpec { a: 0, b, weight: 1.0 }).collect();
        LayoutGraph::new(nodes, links, Shape::Star).unwrap()
    }

    #[test]
    fn rows_hold_each_link_from_both_ends_and_sum_to_at_most_one() {
        let springs = Springs::new(&star(10));
        assert_eq!(springs.row, [0, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
        assert_eq!(springs.col[..9], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(springs.col[9..].iter().all(|hub| *hub == 0));
        let hub: f32 = springs.k[..9].iter().sum();
        assert!(
            (hub - 0.9).abs() < 1e-6 && (springs.k[9] - 0.9).abs() < 1e-6,
            "d3's bias: the busy end moves less"
        );
    }

    #[test]
    fn a_heavier_link_pulls_harder() {
        let nodes = (0..3).map(|slot| NodeSpec::new(slot, 0)).collect();
        let links = vec![LinkSpec { a: 0, b: 1, weight: 1.0 }, LinkSpec { a: 0, b: 2, weight: 4.0 }];
        let springs = Springs::new(&LayoutGraph::new(nodes, links, Shape::Mesh).unwrap());
        assert!(springs.k[1] > 2.0 * springs.k[0], "{springs:?}");
    }
}
