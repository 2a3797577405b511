//! The fast step against the f64 oracle, and rest for all parameters, on random graphs.

use proptest::prelude::*;

use super::{
    hash::Stream,
    reference,
    tests::{SHAPES, Sim, columns, scattered},
    *,
};

/// A random graph, positions, velocities and parameters out of one seed.
fn random(n: usize, seed: u64) -> (Sim, f32) {
    let mut stream = Stream::new(u128::from(seed), 1);
    let mut between = |min: f32, max: f32| min + (max - min) * stream.unit();
    let [push, distance, strength, gravity, collide, shape_strength, alpha_decay, decay] =
        RANGES.map(|range| between(range.min, range.max.min(range.min + 100.0)));
    let settings = ForceSettings {
        many_body_strength: push + 900.0 * between(0.0, 1.0),
        link_distance: distance,
        link_strength: strength,
        gravity,
        collide_radius: collide * 0.2,
        shape_strength,
        alpha_decay,
        velocity_decay: decay,
    };
    let nodes: Vec<_> = (0..n)
        .map(|i| {
            let pinned = (between(0.0, 1.0) < 0.1).then(|| [between(-50.0, 50.0), 5.0, 5.0]);
            let slot = u32::try_from(i).unwrap() * 7;
            NodeSpec { slot, level: u16::from(i > 0), mass: between(0.1, 5.0), pinned }
        })
        .collect();
    let mut numbers = Stream::new(u128::from(seed), 2);
    let mut pick = |count: usize| usize::try_from(numbers.next_u64() >> 1).unwrap() % count;
    let shape = SHAPES[pick(4)];
    let mut end = || u32::try_from(pick(n)).unwrap();
    let links = (0..2 * n).map(|_| LinkSpec { a: end(), b: end(), weight: between(0.1, 9.0) });
    let graph = LayoutGraph::new(nodes, links.filter(|l| l.a != l.b).collect(), shape).unwrap();
    let graph =
        if between(0.0, 1.0) < 0.3 { graph.with_all_pairs(between(0.5, 2.0)).unwrap() } else { graph };
    let size = 10_f32.powf(between(0.0, 3.0));
    let mut sim = Sim::with(graph, &scattered(n, seed, size), 1.0, ForceParams::new(settings).unwrap());
    sim.velocity = columns(&scattered(n, !seed, 5.0));
    sim.motion.alpha = between(0.001, 1.0);
    (sim, size)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// One f32 step stays within 2e-4 of the f64 oracle, as a share of the largest velocity or position in
    /// play.
    #[test]
    fn the_step_agrees_with_the_oracle(n in 1_usize..70, seed: u64) {
        let (mut sim, size) = random(n, seed);
        let wide = |axes: &[Vec<f32>; 3]| -> Vec<[f64; 3]> {
            (0..n).map(|i| [0, 1, 2].map(|c| f64::from(axes[c][i]))).collect()
        };
        let mut state = reference::State {
            at: wide(&sim.at),
            velocity: wide(&sim.velocity),
            mass: sim.mass.iter().map(|m| f64::from(*m)).collect(),
            free: sim.free.iter().map(|f| *f > 0.5).collect(),
            target: wide(&sim.target),
        };
        let alpha = f64::from(sim.motion.alpha);
        let speed = reference::step(&mut state, &sim.field, &sim.params, alpha);
        let report = sim.step(&mut Scratch::default());
        let scale = speed.max(f64::from(size)).max(1.0);
        prop_assert_eq!(report.repaired, 0);
        prop_assert!((f64::from(report.max_speed) - speed).abs() <= 2e-4 * scale, "speed {} against {speed}", report.max_speed);
        for (fast, slow) in [(wide(&sim.at), &state.at), (wide(&sim.velocity), &state.velocity)] {
            for (a, b) in fast.iter().zip(slow) {
                for c in 0..3 {
                    prop_assert!((a[c] - b[c]).abs() <= 2e-4 * scale, "seed {seed}: {a:?} against {b:?} at scale {scale}");
                }
            }
        }
    }

    /// Any parameters in range bring any graph to rest.
    #[test]
    fn all_parameters_in_range_settle(n in 1_usize..24, seed: u64) {
        let (mut sim, _) = random(n, seed);
        sim.motion = Motion::new(ALPHA_START);
        let mut scratch = Scratch::default();
        while !sim.motion.asleep {
            sim.step(&mut scratch);
        }
        prop_assert!(sim.motion.ticks < SETTLE_TICKS_MAX, "seed {seed}: speed {} {:?}", sim.motion.max_speed, sim.params);
        prop_assert!(sim.points().into_iter().all(is_sound));
    }
}
