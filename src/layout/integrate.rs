//! Motion of one swarm in time: one tick, cooling, the speed cap, repair of broken numbers, and coming to
//! rest.
//!
//! Semi-implicit Euler as in d3-force: forces change the velocity, a share of it is lost, then the node
//! moves. Heat (`alpha`) scales every force but collide and decays, so a swarm always comes to rest; an edit
//! heats it up again.

use super::{Field, ForceParams, Scratch, Vec3, force::forces, placement};

/// Coordinates stay below this, layout units; beyond it (or NaN) a node is put back to its seed.
pub const POSITION_LIMIT: f32 = 1e7;

/// Heat of a swarm that was just seeded.
pub const ALPHA_START: f32 = 1.0;
/// Heat after the topology changed.
pub const ALPHA_RESHAPE: f32 = 0.8;
/// Heat after nodes joined or left.
pub const ALPHA_JOIN: f32 = 0.3;
/// Heat after weights or parameters changed, and after a wake without an edit.
pub const ALPHA_TUNE: f32 = 0.15;
/// Heat of a swarm whose positions were all restored: they were at rest or near it.
pub const ALPHA_RESUME: f32 = 0.05;

/// A node far out may move by this share of its distance from the origin per tick, whatever the field's cap.
pub(crate) const FAR_SPEED: f32 = 0.125;

/// A tick is calm when no node moves more than this share of a link distance.
const CALM_SPEED: f32 = 0.0005;

/// Calm ticks in a row after which a swarm falls asleep.
pub const CALM_TICKS: u32 = 20;

/// Ticks without an edit after which a swarm is put to sleep even if it still moves.
pub const SETTLE_TICKS_MAX: u32 = 6000;

/// The numbers of one swarm, one slice per axis, all of the same length.
#[derive(Debug)]
pub struct Body<'a> {
    /// Positions, layout units.
    pub x: &'a mut [f32],
    /// Positions, layout units.
    pub y: &'a mut [f32],
    /// Positions, layout units.
    pub z: &'a mut [f32],
    /// Velocities, layout units per tick.
    pub vx: &'a mut [f32],
    /// Velocities, layout units per tick.
    pub vy: &'a mut [f32],
    /// Velocities, layout units per tick.
    pub vz: &'a mut [f32],
    /// How hard each node pushes others away.
    pub mass: &'a [f32],
    /// 1 for a node that may move, 0 for a pinned one.
    pub free: &'a [f32],
    /// Where the shape wants each node; about 0 on axes that it leaves free.
    pub tx: &'a [f32],
    /// Where the shape wants each node; about 0 on axes that it leaves free.
    pub ty: &'a [f32],
    /// Where the shape wants each node; about 0 on axes that it leaves free.
    pub tz: &'a [f32],
}

/// How warm a swarm is and whether it is at rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    /// Heat, 0–1: scales every force but collide.
    pub alpha: f32,
    /// Fastest node in the last tick, layout units per tick.
    pub max_speed: f32,
    /// Calm ticks in a row.
    pub calm_ticks: u32,
    /// Ticks since the last edit.
    pub ticks: u32,
    /// At rest: no step is due until an edit.
    pub asleep: bool,
}

impl Motion {
    /// Awake at heat `alpha`.
    #[must_use]
    pub const fn new(alpha: f32) -> Self {
        Self { alpha, max_speed: 0.0, calm_ticks: 0, ticks: 0, asleep: false }
    }

    /// Awake, and at least as warm as `alpha`.
    pub const fn wake(&mut self, alpha: f32) {
        *self = Self { max_speed: self.max_speed, ..Self::new(self.alpha.max(alpha)) };
    }

    /// Cools by one tick and falls asleep after enough calm ticks, or when the time to settle is used up.
    pub fn after_step(&mut self, params: &ForceParams, max_speed: f32) {
        let settings = params.settings();
        self.alpha -= self.alpha * settings.alpha_decay;
        self.max_speed = max_speed;
        self.ticks = self.ticks.saturating_add(1);
        let calm = max_speed <= CALM_SPEED * settings.link_distance;
        self.calm_ticks = if calm { self.calm_ticks + 1 } else { 0 };
        self.asleep = self.calm_ticks >= CALM_TICKS || self.ticks >= SETTLE_TICKS_MAX;
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Fastest node, layout units per tick.
    pub max_speed: f32,
    /// Nodes that were put back to their seed because a number was not finite or too large.
    pub repaired: u32,
}

/// True when a point is finite and inside [`POSITION_LIMIT`].
#[must_use]
pub fn is_sound(point: Vec3) -> bool {
    point.iter().all(|c| c.abs() < POSITION_LIMIT)
}

/// Moves one swarm by one tick. Costs nodes² pairs; allocates nothing once `scratch` has grown.
///
/// The motion's heat and rest are updated; a sleeping swarm is stepped all the same, so ask before.
pub fn step(
    body: &mut Body<'_>,
    field: &Field,
    params: &ForceParams,
    motion: &mut Motion,
    scratch: &mut Scratch,
) -> StepReport {
    let repaired = repair(body, params);
    forces(body, field, params, motion.alpha, scratch);
    let max_speed = advance(body, scratch, 1.0 - params.settings().velocity_decay, field.speed_max);
    motion.after_step(params, max_speed);
    StepReport { max_speed, repaired }
}

/// Applies the velocity changes and moves every free node; gives the greatest speed.
fn advance(body: &mut Body<'_>, scratch: &Scratch, kept: f32, speed_max: f32) -> f32 {
    let mut greatest = 0.0_f32;
    let at = body.x.iter_mut().zip(body.y.iter_mut()).zip(body.z.iter_mut());
    let velocity = body.vx.iter_mut().zip(body.vy.iter_mut()).zip(body.vz.iter_mut());
    let change = scratch.fx.iter().zip(&scratch.fy).zip(&scratch.fz).zip(body.free);
    for ((((x, y), z), ((vx, vy), vz)), (((fx, fy), fz), free)) in at.zip(velocity).zip(change) {
        let (nx, ny, nz) = ((*vx + fx) * kept, (*vy + fy) * kept, (*vz + fz) * kept);
        let speed2 = nx * nx + ny * ny + nz * nz;
        let far2 = (*x * *x + *y * *y + *z * *z) * (FAR_SPEED * FAR_SPEED);
        let cap2 = (speed_max * speed_max).max(far2);
        let cap = if speed2 > cap2 { (cap2 / speed2).sqrt() } else { 1.0 };
        let scale = cap * free;
        (*vx, *vy, *vz) = (nx * scale, ny * scale, nz * scale);
        (*x, *y, *z) = (*x + *vx, *y + *vy, *z + *vz);
        let speed2 = speed2 * scale * scale;
        greatest = if speed2 > greatest { speed2 } else { greatest };
    }
    greatest.sqrt()
}

/// Puts nodes with broken numbers back to where they would be seeded, at rest; gives how many.
fn repair(body: &mut Body<'_>, params: &ForceParams) -> u32 {
    let n = body.x.len();
    let mut repaired = 0;
    let at = body.x.iter_mut().zip(body.y.iter_mut()).zip(body.z.iter_mut());
    let velocity = body.vx.iter_mut().zip(body.vy.iter_mut()).zip(body.vz.iter_mut());
    let target = body.tx.iter().zip(body.ty).zip(body.tz);
    for (index, ((((x, y), z), ((vx, vy), vz)), ((tx, ty), tz))) in at.zip(velocity).zip(target).enumerate() {
        let sound = is_sound([*x, *y, *z]) && is_sound([*vx, *vy, *vz]);
        if !sound {
            let [sx, sy, sz] = placement::spread(index, n, params);
            (*x, *y, *z) = (tx + sx, ty + sy, tz + sz);
            (*vx, *vy, *vz) = (0.0, 0.0, 0.0);
            repaired += 1;
        }
    }
    repaired
}
