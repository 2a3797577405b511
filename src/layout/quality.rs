//! Numbers for how good a layout is: stress, preserved neighbourhoods, gaps, roundness, the hub's place,
//! levels.
//!
//! For tests and benchmarks. Everything is exact and O(n²) or worse; not for the tick.

use std::collections::VecDeque;

use super::{LayoutGraph, Vec3};

/// Normalised stress at the best scale, 0 = every distance as the graph has it. Pairs without a path do not
/// count.
///
/// `min over s of Σ w (s·dist - d)² / Σ w d²` with `w = 1 / d²`, d the number of links between two nodes.
#[must_use]
pub fn stress(graph: &LayoutGraph, at: &[Vec3]) -> f64 {
    let (mut xx, mut xd, mut dd) = (0.0, 0.0, 0.0);
    for (i, hops) in hops(graph).iter().enumerate() {
        for (j, d) in hops.iter().enumerate().filter(|(j, _)| *j > i) {
            if let (Some(d), Some(a), Some(b)) = (d, at.get(i), at.get(j)) {
                let (d, x) = (f64::from(*d), distance(*a, *b));
                xx += x * x / (d * d);
                xd += x / d;
                dd += 1.0;
            }
        }
    }
    if xx > 0.0 && dd > 0.0 { 1.0 - xd * xd / (xx * dd) } else { 0.0 }
}

/// Mean share of a node's linked neighbours among its nearest nodes (Jaccard), 0–1.
#[must_use]
pub fn neighbourhood_preservation(graph: &LayoutGraph, at: &[Vec3]) -> f64 {
    let (mut sum, mut counted) = (0.0, 0.0);
    for (i, hops) in hops(graph).iter().enumerate() {
        let linked: Vec<usize> = (0..at.len()).filter(|j| hops.get(*j) == Some(&Some(1))).collect();
        let Some(here) = at.get(i) else { continue };
        let mut near: Vec<(f64, usize)> =
            at.iter().enumerate().filter(|(j, _)| *j != i).map(|(j, p)| (distance(*here, *p), j)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let common = near.iter().take(linked.len()).filter(|(_, j)| linked.contains(j)).count();
        if !linked.is_empty() {
            sum += common as f64 / (2 * linked.len() - common) as f64;
            counted += 1.0;
        }
    }
    if counted > 0.0 { sum / counted } else { 1.0 }
}

/// The smallest distance between two nodes, layout units; infinite for fewer than two.
#[must_use]
pub fn min_distance(at: &[Vec3]) -> f64 {
    let pairs = at.iter().enumerate().flat_map(|(i, a)| at.iter().skip(i + 1).map(move |b| distance(*a, *b)));
    pairs.fold(f64::INFINITY, f64::min)
}

/// Largest deviation from a circle in the plane of the screen, as a share of its radius; 0 is a perfect
/// circle.
///
/// Covers distance from the centre, height over the plane, and spacing along the circle (as a share of the
/// even spacing, scaled to the radius).
#[must_use]
pub fn ring_deviation(at: &[Vec3]) -> f64 {
    let centre = centroid(at);
    let flat = |p: &Vec3| -> (f64, f64) {
        let [x, y, _] = *p;
        (f64::from(x) - centre.0, f64::from(y) - centre.1)
    };
    let radius = at.iter().map(|p| flat(p).0.hypot(flat(p).1)).sum::<f64>() / at.len().max(1) as f64;
    let off = at.iter().map(|p| {
        let [_, _, z] = *p;
        let round = (flat(p).0.hypot(flat(p).1) - radius).abs();
        round.max((f64::from(z) - centre.2).abs())
    });
    let steps: Vec<f64> = at.iter().zip(at.iter().cycle().skip(1)).map(|(a, b)| distance(*a, *b)).collect();
    let even = 2.0 * radius * (std::f64::consts::PI / at.len().max(1) as f64).sin();
    let spacing = steps.iter().map(|step| (step - even).abs()).fold(0.0, f64::max);
    off.fold(spacing, f64::max) / radius
}

/// Distance of node `hub` from the centroid of the others, as a share of their mean distance from it; 0 is
/// the very middle.
#[must_use]
pub fn hub_offset(at: &[Vec3], hub: usize) -> f64 {
    let Some(hub_at) = at.get(hub).copied() else { return f64::INFINITY };
    let others: Vec<Vec3> = at.iter().enumerate().filter(|(i, _)| *i != hub).map(|(_, p)| *p).collect();
    let (x, y, z) = centroid(&others);
    let [hx, hy, hz] = hub_at.map(f64::from);
    let reach = others.iter().map(|p| distance(hub_at, *p)).sum::<f64>() / others.len().max(1) as f64;
    ((hx - x).powi(2) + (hy - y).powi(2) + (hz - z).powi(2)).sqrt() / reach
}

/// Clear height between a hierarchy's levels, as a share of the mean height between them: 1 = flat levels, ≤
/// 0 = they mix.
#[must_use]
pub fn level_separation(graph: &LayoutGraph, at: &[Vec3]) -> f64 {
    let depth = graph.nodes().iter().map(|node| node.level).max().unwrap_or(0);
    let heights = |level: u16| {
        graph
            .nodes()
            .iter()
            .zip(at)
            .filter(move |(node, _)| node.level == level)
            .map(|(_, [_, y, _])| f64::from(*y))
    };
    let mean = |level: u16| heights(level).sum::<f64>() / heights(level).count().max(1) as f64;
    let gap = (mean(0) - mean(depth)) / f64::from(depth.max(1));
    let clear = |level: u16| {
        heights(level).fold(f64::INFINITY, f64::min) - heights(level + 1).fold(f64::NEG_INFINITY, f64::max)
    };
    (0..depth).map(clear).fold(f64::INFINITY, f64::min) / gap
}

/// Number of links on the shortest path between each two nodes.
fn hops(graph: &LayoutGraph) -> Vec<Vec<Option<u32>>> {
    let n = graph.nodes().len();
    let mut near: Vec<Vec<usize>> = vec![Vec::new(); n];
    for link in graph.links() {
        for (from, to) in [(link.a, link.b), (link.b, link.a)] {
            if let Some(list) = near.get_mut(from as usize) {
                list.push(to as usize);
            }
        }
    }
    if graph.all_pairs() > 0.0 {
        near = (0..n).map(|i| (0..n).filter(|j| *j != i).collect()).collect();
    }
    (0..n)
        .map(|start| {
            let mut found = vec![None; n];
            let mut queue = VecDeque::from([(start, 0)]);
            while let Some((node, d)) = queue.pop_front() {
                if let Some(entry @ None) = found.get_mut(node) {
                    *entry = Some(d);
                    queue.extend(near.get(node).into_iter().flatten().map(|next| (*next, d + 1)));
                }
            }
            found
        })
        .collect()
}

fn centroid(at: &[Vec3]) -> (f64, f64, f64) {
    let n = at.len().max(1) as f64;
    let axis = |pick: fn(&Vec3) -> f32| at.iter().map(|p| f64::from(pick(p))).sum::<f64>() / n;
    (axis(|[x, _, _]| *x), axis(|[_, y, _]| *y), axis(|[_, _, z]| *z))
}

fn distance([ax, ay, az]: Vec3, [bx, by, bz]: Vec3) -> f64 {
    let (x, y, z) =
        (f64::from(ax) - f64::from(bx), f64::from(ay) - f64::from(by), f64::from(az) - f64::from(bz));
    (x * x + y * y + z * z).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{LinkSpec, NodeSpec, Shape};

    fn path(n: u32) -> LayoutGraph {
        let nodes = (0..n).map(|slot| NodeSpec::new(slot, 0)).collect();
        let links = (1..n).map(|b| LinkSpec { a: b - 1, b, weight: 1.0 }).collect();
        LayoutGraph::new(nodes, links, Shape::Ring).unwrap()
    }

    #[test]
    fn a_straight_path_is_perfect_at_any_scale_and_a_shuffled_one_is_not() {
        let line: Vec<Vec3> = (0..6_u8).map(|i| [f32::from(i) * 7.0, 0.0, 0.0]).collect();
        assert!(stress(&path(6), &line) < 1e-12);
        assert!((neighbourhood_preservation(&path(6), &line) - 1.0).abs() < 0.35);
        let shuffled = [0, 3, 5, 1, 4, 2].map(|i: usize| line[i]);
        assert!(stress(&path(6), &shuffled) > 0.1);
        assert!(
            neighbourhood_preservation(&path(6), &shuffled) < neighbourhood_preservation(&path(6), &line)
        );
    }

    #[test]
    fn measures_see_what_they_are_for() {
        let square = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];
        assert!(ring_deviation(&square) < 1e-6);
        let mut lifted = square;
        lifted[1][2] = 0.5;
        assert!(ring_deviation(&lifted) > 0.3);
        let swapped = [square[0], square[2], square[1], square[3]];
        assert!(ring_deviation(&swapped) > 0.5, "order along the circle counts");
        assert!((min_distance(&square) - 2f64.sqrt()).abs() < 1e-6);
        let mut star = vec![[0.0; 3]];
        star.extend(square);
        assert!(hub_offset(&star, 0) < 1e-6 && hub_offset(&star, 1) > 0.5);
    }
}
