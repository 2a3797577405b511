//! The same step in f64, written plainly and apart from the fast one: the oracle that every backend is tested
//! against.
//!
//! One loop per force, straight from its formula, nothing shared with `force` and `integrate` but the
//! constants of the model. Far too slow to ship frames with.

use super::{Field, ForceParams, field::MESH_REST, force, integrate::FAR_SPEED};

/// State of one swarm in f64.
#[derive(Clone, Debug)]
pub struct State {
    /// Positions, layout units.
    pub at: Vec<[f64; 3]>,
    /// Velocities, layout units per tick.
    pub velocity: Vec<[f64; 3]>,
    /// How hard each node pushes others away.
    pub mass: Vec<f64>,
    /// False for pinned nodes.
    pub free: Vec<bool>,
    /// Where the shape wants each node.
    pub target: Vec<[f64; 3]>,
}

/// Moves `state` by one tick at heat `alpha`; gives the greatest speed, layout units per tick.
#[expect(
    clippy::indexing_slicing,
    reason = "an oracle reads best with indices, and a panic fails the test as it should"
)]
pub fn step(state: &mut State, field: &Field, params: &ForceParams, alpha: f64) -> f64 {
    let n = state.at.len();
    let decay = f64::from(params.settings().velocity_decay);
    let change: Vec<[f64; 3]> = (0..n).map(|i| change(state, field, params, alpha, i)).collect();
    let mut greatest = 0.0_f64;
    for (i, change) in change.into_iter().enumerate() {
        if !state.free[i] {
            state.velocity[i] = [0.0; 3];
            continue;
        }
        let mut v = [0, 1, 2].map(|c| (state.velocity[i][c] + change[c]) * (1.0 - decay));
        let speed = norm(v);
        let cap = f64::from(field.speed_max).max(norm(state.at[i]) * f64::from(FAR_SPEED));
        if speed > cap {
            v = v.map(|c| c * cap / speed);
        }
        state.velocity[i] = v;
        state.at[i] = [0, 1, 2].map(|c| state.at[i][c] + v[c]);
        greatest = greatest.max(norm(v));
    }
    greatest
}

/// Change of velocity of node `i`.
#[expect(
    clippy::indexing_slicing,
    reason = "an oracle reads best with indices, and a panic fails the test as it should"
)]
#[must_use]
pub fn change(state: &State, field: &Field, params: &ForceParams, alpha: f64, i: usize) -> [f64; 3] {
    let n = state.at.len();
    let p = params.settings();
    let mut sum = [0.0; 3];
    let mut add = |d: [f64; 3], by: f64| (0..3).for_each(|c| sum[c] += d[c] * by);
    let soft = f64::from(force::SOFTENING);
    let reach2 = (2.0 * f64::from(p.collide_radius)).powi(2);
    for j in (0..n).filter(|j| *j != i) {
        let d = between(state.at[j], state.at[i]);
        let r2 = norm(d).powi(2) + soft;
        add(d, -f64::from(p.many_body_strength) * f64::from(field.charge) * alpha * state.mass[j] / r2);
        if reach2 > 0.0 && r2 < reach2 + soft {
            add(d, f64::from(force::COLLIDE_PUSH) * ((reach2 + soft) / r2 - 1.0));
        }
    }
    let springs = &field.springs;
    for e in springs.row[i] as usize..springs.row[i + 1] as usize {
        let d = between(state.at[i], state.at[springs.col[e] as usize]);
        let r = (norm(d).powi(2) + f64::from(force::LENGTH_MIN)).sqrt();
        add(
            d,
            f64::from(p.link_strength) * alpha * f64::from(springs.k[e]) * (r - f64::from(p.link_distance))
                / r,
        );
    }
    if field.all_pairs > 0.0 {
        let centre = [0, 1, 2].map(|c| state.at.iter().map(|at| at[c]).sum::<f64>() / n as f64);
        let d = between(state.at[i], centre);
        let r = (norm(d).powi(2) + f64::from(force::LENGTH_MIN)).sqrt();
        add(d, f64::from(field.all_pairs) * alpha * (r - f64::from(MESH_REST * p.link_distance)) / r);
    }
    [0, 1, 2].map(|c| {
        let pull = field.axes[c];
        let to_target = state.target[i][c] - state.at[i][c];
        sum[c] * f64::from(pull.freedom) + to_target * f64::from(pull.strength) * alpha
    })
}

fn between([ax, ay, az]: [f64; 3], [bx, by, bz]: [f64; 3]) -> [f64; 3] {
    [bx - ax, by - ay, bz - az]
}

fn norm([x, y, z]: [f64; 3]) -> f64 {
    (x * x + y * y + z * z).sqrt()
}
