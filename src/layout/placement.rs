//! Where nodes start and where the topology wants them, worked out from a swarm's seed and nothing else.
//!
//! [`seeds`] gives a whole swarm its starting points, [`targets`] the points that keep a ring round and
//! levels apart, [`place_newcomers`] fits joiners in beside their linked neighbours so that the rest moves
//! little. Not for motion.

use std::collections::BTreeMap;

use super::{ForceParams, LayoutGraph, NodeSpec, Shape, Vec3, hash::Stream};

/// Least height between two levels of a hierarchy, in link distances.
const LEVEL_GAP: f32 = 1.3;

/// Height between two levels in link distances, per root of the number of nodes: a wide tree must be tall to
/// be read.
const LEVEL_GAP_ROOT: f32 = 0.2;

/// Room along a level's circle for each of its nodes, in link distances.
const LEVEL_ROOM: f32 = 0.6;

/// Jitter of a seed, in link distances: breaks symmetry, hardly shows.
const JITTER: f32 = 0.05;

/// Directions tried for a newcomer; the emptiest wins.
const CANDIDATES: usize = 16;

/// Newcomers times nodes up to which empty places are looked for (about 50 ms); beyond it newcomers start at
/// their seeds.
const PLACE_PAIRS_MAX: usize = 1_000_000;

/// Jitter of a target on the axes that the shape leaves free, in link distances.
///
/// It gives each node a slightly different pull, so that nodes on one point part and a swarm that starts in a
/// line or a plane leaves it.
const TARGET_JITTER: f32 = 0.02;

/// The angle between neighbours on a Fibonacci sphere.
const GOLDEN_ANGLE: f32 = 2.399_963_1;

/// Starting points of a whole swarm, layout units, in node order. Pinned nodes start where they are pinned.
#[must_use]
pub fn seeds(graph: &LayoutGraph, params: &ForceParams, seed: u128) -> Vec<Vec3> {
    let n = graph.nodes().len();
    let distance = params.settings().link_distance;
    let mut points = match graph.shape() {
        Shape::Mesh => (0..n).map(|i| spread(i, n, params)).collect(),
        Shape::Ring => ring(n, distance, 0.0),
        Shape::Star => star(graph, params),
        Shape::Hierarchical => hierarchy(graph, distance),
    };
    for (point, node) in points.iter_mut().zip(graph.nodes()) {
        let jitter = Stream::new(seed, u64::from(node.slot)).direction();
        let moved = add(*point, scale(jitter, JITTER * distance));
        *point = node.pinned.unwrap_or(moved);
    }
    points
}

/// Where the shape wants each node, layout units, in node order; a hair from 0 on axes that it leaves free.
///
/// `known` holds where nodes are now: a ring is turned so that it fits them best, so that nobody travels round it.
#[must_use]
pub fn targets(graph: &LayoutGraph, params: &ForceParams, known: &[Option<Vec3>]) -> Vec<Vec3> {
    let n = graph.nodes().len();
    let distance = params.settings().link_distance;
    let loose =
        |node: &NodeSpec| scale(Stream::new(0, u64::from(node.slot)).direction(), TARGET_JITTER * distance);
    match graph.shape() {
        Shape::Mesh | Shape::Star => graph.nodes().iter().map(loose).collect(),
        Shape::Hierarchical => {
            let nodes = graph.nodes().iter().zip(heights(graph, distance));
            nodes.map(|(node, y)| held(Shape::Hierarchical, [0.0, y, 0.0], loose(node))).collect()
        }
        Shape::Ring => {
            let flat = ring(n, distance, 0.0);
            let (mut dot, mut cross) = (0.0, 0.0);
            for ([tx, ty, _], at) in flat.iter().zip(known) {
                let [x, y, _] = at.unwrap_or_default();
                dot += tx * x + ty * y;
                cross += tx * y - ty * x;
            }
            ring(n, distance, f32::atan2(cross, dot))
        }
    }
}

/// The largest distance of a target from the origin, layout units.
#[must_use]
pub fn extent(targets: &[Vec3]) -> f32 {
    targets.iter().map(|point| length(*point)).fold(0.0, f32::max)
}

/// Gives a place to every node that has none, beside its linked neighbours, away from the others.
///
/// `known` has one entry per node; deterministic in it, the graph and the seed.
#[must_use]
pub fn place_newcomers(
    graph: &LayoutGraph,
    params: &ForceParams,
    seed: u128,
    targets: &[Vec3],
    known: &[Option<Vec3>],
) -> Vec<Vec3> {
    let missing = known.iter().filter(|at| at.is_none()).count();
    let mut places: Vec<Option<Vec3>> =
        known.iter().zip(graph.nodes()).map(|(at, node)| node.pinned.or(*at)).collect();
    if missing.saturating_mul(known.len()) > PLACE_PAIRS_MAX {
        return places
            .into_iter()
            .zip(seeds(graph, params, seed))
            .map(|(at, seed)| at.unwrap_or(seed))
            .collect();
    }
    let neighbours = neighbours(graph);
    for (index, (node, target)) in graph.nodes().iter().zip(targets).enumerate() {
        if places.get(index).is_some_and(Option::is_some) {
            continue;
        }
        let beside = Beside::new(graph, params, &neighbours, &places, index);
        let mut stream = Stream::new(seed, u64::from(node.slot) | 1 << 40);
        let candidate = (0..CANDIDATES)
            .map(|_| {
                held(graph.shape(), *target, add(beside.centre, scale(stream.direction(), beside.radius)))
            })
            .map(|point| (nearest(point, &places), point))
            .fold(None, |best: Option<(f32, Vec3)>, next| match best {
                Some(best) if best.0 >= next.0 => Some(best),
                Some(_) | None => Some(next),
            });
        if let (Some(place), Some((_, point))) = (places.get_mut(index), candidate) {
            *place = Some(point);
        }
    }
    places.into_iter().map(Option::unwrap_or_default).collect()
}

/// The neighbourhood into which one newcomer is put.
struct Beside {
    centre: Vec3,
    radius: f32,
}

impl Beside {
    fn new(
        graph: &LayoutGraph,
        params: &ForceParams,
        neighbours: &BTreeMap<usize, Vec<usize>>,
        places: &[Option<Vec3>],
        index: usize,
    ) -> Self {
        let distance = params.settings().link_distance;
        let placed = |of: usize| {
            let list = neighbours.get(&of).map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(|other| Some((*other, (*places.get(*other)?)?))).collect::<Vec<_>>()
        };
        let own = placed(index);
        if graph.all_pairs() > 0.0 || own.is_empty() {
            let all: Vec<Vec3> = places.iter().copied().flatten().collect();
            let centre = mean(&all).unwrap_or_default();
            let radius = mean_distance(centre, &all).unwrap_or(distance);
            return Self { centre, radius: radius.max(0.5 * distance) };
        }
        let points: Vec<Vec3> = own.iter().map(|(_, point)| *point).collect();
        let centre = mean(&points).unwrap_or_default();
        // With one neighbour, stand where its other neighbours stand; between several, close to the middle.
        let radius = match own.as_slice() {
            [(only, at)] => {
                let siblings: Vec<Vec3> = placed(*only).into_iter().map(|(_, point)| point).collect();
                mean_distance(*at, &siblings).unwrap_or(distance)
            }
            _ => 0.25 * distance,
        };
        Self { centre, radius }
    }
}

fn neighbours(graph: &LayoutGraph) -> BTreeMap<usize, Vec<usize>> {
    let mut lists: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for link in graph.links() {
        if let (Ok(a), Ok(b)) = (usize::try_from(link.a), usize::try_from(link.b)) {
            lists.entry(a).or_default().push(b);
            lists.entry(b).or_default().push(a);
        }
    }
    lists
}

/// A newcomer starts on its target along the axes that the shape holds.
const fn held(shape: Shape, target: Vec3, point: Vec3) -> Vec3 {
    let ([x, _, z], [_, ty, _]) = (point, target);
    match shape {
        Shape::Mesh | Shape::Star | Shape::Ring => point,
        Shape::Hierarchical => [x, ty, z],
    }
}

fn nearest(point: Vec3, places: &[Option<Vec3>]) -> f32 {
    places.iter().flatten().map(|at| length2(sub(*at, point))).fold(f32::MAX, f32::min)
}

/// Place of node `index` of `n` on the sphere on which a mesh comes to rest, layout units.
#[must_use]
pub(crate) fn spread(index: usize, n: usize, params: &ForceParams) -> Vec3 {
    scale(
        fibonacci(index, n),
        sphere_radius(n, 0.5, params.settings().link_distance * super::field::MESH_REST, params),
    )
}

/// Radius at which springs of rest length `rest` and strength `k` hold `n` nodes against their push.
fn sphere_radius(n: usize, k: f32, rest: f32, params: &ForceParams) -> f32 {
    let push = -params.settings().many_body_strength * n as f32 / (2.0 * k);
    0.5 * rest + (0.25 * rest * rest + push).sqrt()
}

/// Point `index` of `n`, spread evenly on the unit sphere.
fn fibonacci(index: usize, n: usize) -> Vec3 {
    if n <= 3 {
        // The spiral is lopsided for so few.
        let (sin, cos) = (index as f32 * std::f32::consts::TAU / n.max(1) as f32).sin_cos();
        return [cos, sin, 0.0];
    }
    let z = 1.0 - (2.0 * index as f32 + 1.0) / n.max(1) as f32;
    let r = (1.0 - z * z).max(0.0).sqrt();
    let (sin, cos) = (index as f32 * GOLDEN_ANGLE).sin_cos();
    [r * cos, r * sin, z]
}

/// A circle in the plane of the screen on which neighbours are `distance` apart; node 0 at the top, then
/// clockwise.
fn ring(n: usize, distance: f32, turn: f32) -> Vec<Vec3> {
    let slice = std::f32::consts::TAU / n.max(1) as f32;
    let radius = if n > 1 { 0.5 * distance / (0.5 * slice).sin() } else { 0.0 };
    (0..n)
        .map(|i| {
            let (sin, cos) = (std::f32::consts::FRAC_PI_2 + turn - i as f32 * slice).sin_cos();
            [radius * cos, radius * sin, 0.0]
        })
        .collect()
}

fn star(graph: &LayoutGraph, params: &ForceParams) -> Vec<Vec3> {
    let n = graph.nodes().len();
    let radius = sphere_radius(n, 1.0, params.settings().link_distance, params);
    let mut leaf = 0;
    let mut place = |level: u16| {
        if level == 0 {
            return [0.0; 3];
        }
        leaf += 1;
        scale(fibonacci(leaf - 1, n - 1), radius)
    };
    graph.nodes().iter().map(|node| place(node.level)).collect()
}

/// Height of each node's level, the middle of the hierarchy at 0.
fn heights(graph: &LayoutGraph, distance: f32) -> Vec<f32> {
    let depth = graph.nodes().iter().map(|node| node.level).max().unwrap_or(0);
    let gap = distance * LEVEL_GAP.max(LEVEL_GAP_ROOT * (graph.nodes().len() as f32).sqrt());
    graph.nodes().iter().map(|node| (0.5 * f32::from(depth) - f32::from(node.level)) * gap).collect()
}

/// Levels as circles one below the other, children under their parents.
fn hierarchy(graph: &LayoutGraph, distance: f32) -> Vec<Vec3> {
    let angles = sectors(graph);
    let mut counts: BTreeMap<u16, f32> = BTreeMap::new();
    for node in graph.nodes() {
        *counts.entry(node.level).or_default() += 1.0;
    }
    let radius = |level: u16| {
        let count = counts.get(&level).copied().unwrap_or(0.0);
        let wanted = count * LEVEL_ROOM * distance / std::f32::consts::TAU;
        if count > 1.0 { wanted.max(0.5 * distance) } else { 0.0 }
    };
    let points = graph.nodes().iter().zip(angles).zip(heights(graph, distance));
    points
        .map(|((node, angle), y)| {
            let (sin, cos) = angle.sin_cos();
            [radius(node.level) * cos, y, radius(node.level) * sin]
        })
        .collect()
}

/// Angle of each node round the vertical axis: every leaf gets an equal slice, a parent stands amid its own.
#[expect(clippy::indexing_slicing, reason = "parents and order hold indices of the checked graph only")]
fn sectors(graph: &LayoutGraph) -> Vec<f32> {
    let nodes = graph.nodes();
    let parent = parents(graph);
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|i| nodes[*i].level);
    let mut width = vec![0.0_f32; nodes.len()];
    for i in order.iter().rev() {
        width[*i] = width[*i].max(1.0);
        if let Some(up) = parent[*i] {
            width[up] += width[*i];
        }
    }
    let roots: f32 = order.iter().filter(|i| parent[**i].is_none()).map(|i| width[*i]).sum();
    let slice = std::f32::consts::TAU / roots.max(1.0);
    // `start` is where the next child of a node begins.
    let (mut next_root, mut start, mut angle) = (0.0, vec![0.0_f32; nodes.len()], vec![0.0; nodes.len()]);
    for i in order {
        let begin = parent[i].map_or(next_root, |up| start[up]);
        match parent[i] {
            Some(up) => start[up] += width[i],
            None => next_root += width[i],
        }
        start[i] = begin;
        angle[i] = (begin + 0.5 * width[i]) * slice;
    }
    angle
}

/// The heaviest linked node one level up, the first of equals.
#[expect(clippy::indexing_slicing, reason = "links hold indices of the checked graph only")]
fn parents(graph: &LayoutGraph) -> Vec<Option<usize>> {
    let nodes = graph.nodes();
    let mut best: Vec<Option<(f32, usize)>> = vec![None; nodes.len()];
    for link in graph.links() {
        let (Ok(a), Ok(b)) = (usize::try_from(link.a), usize::try_from(link.b)) else { continue };
        for (child, up) in [(a, b), (b, a)] {
            let above = nodes[child].level.checked_sub(1) == Some(nodes[up].level);
            if above && best[child].is_none_or(|(weight, _)| link.weight > weight) {
                best[child] = Some((link.weight, up));
            }
        }
    }
    best.into_iter().map(|found| found.map(|(_, up)| up)).collect()
}

fn mean(points: &[Vec3]) -> Option<Vec3> {
    let sum = points.iter().fold([0.0; 3], |sum, point| add(sum, *point));
    (!points.is_empty()).then(|| scale(sum, 1.0 / points.len() as f32))
}

fn mean_distance(from: Vec3, points: &[Vec3]) -> Option<f32> {
    let sum: f32 = points.iter().map(|point| length(sub(*point, from))).sum();
    (!points.is_empty()).then(|| sum / points.len() as f32)
}

const fn add([ax, ay, az]: Vec3, [bx, by, bz]: Vec3) -> Vec3 {
    [ax + bx, ay + by, az + bz]
}

const fn sub([ax, ay, az]: Vec3, [bx, by, bz]: Vec3) -> Vec3 {
    [ax - bx, ay - by, az - bz]
}

const fn scale([x, y, z]: Vec3, by: f32) -> Vec3 {
    [x * by, y * by, z * by]
}

const fn length2([x, y, z]: Vec3) -> f32 {
    x * x + y * y + z * z
}

fn length(point: Vec3) -> f32 {
    length2(point).sqrt()
}
