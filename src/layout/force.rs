//! The forces in f32: many-body and collide over all pairs, link springs by rows, the pull to centre and
//! targets.
//!
//! The pair loop takes [`LANES`] targets at a time in local arrays and one source after another, so the
//! compiler vectorises it at any width while each target still sums its sources in index order: the result is
//! the same bits on every processor (no fused or reordered arithmetic, so no FMA among its targets). It is
//! compiled for several widths and chosen at run time. Not for integration in time.

use super::{
    field::{Field, MESH_REST},
    integrate::Body,
    params::ForceParams,
};

/// Targets per pass of the pair loop.
pub const LANES: usize = 16;

/// Softens the many-body force below this distance, layout units² (d3's `distanceMin` of 1).
pub(crate) const SOFTENING: f32 = 1.0;

/// Share of an overlap that each of the two nodes clears in one tick, for small overlaps.
pub(crate) const COLLIDE_PUSH: f32 = 0.25;

/// Keeps the direction of a spring finite when its ends coincide.
pub(crate) const LENGTH_MIN: f32 = 1e-6;

/// Buffers of a step, reused so that a steady tick allocates nothing. One per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Positions padded to whole passes.
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    /// Push of each node at the present heat.
    charge: Vec<f32>,
    /// Change of velocity, padded to whole passes.
    pub(crate) fx: Vec<f32>,
    pub(crate) fy: Vec<f32>,
    pub(crate) fz: Vec<f32>,
}

impl Scratch {
    fn load(&mut self, body: &Body<'_>, many_body: f32) {
        let padded = body.x.len().next_multiple_of(LANES);
        for (own, theirs) in [(&mut self.x, &*body.x), (&mut self.y, &*body.y), (&mut self.z, &*body.z)] {
            own.clear();
            own.extend_from_slice(theirs);
            own.resize(padded, 0.0);
        }
        for force in [&mut self.fx, &mut self.fy, &mut self.fz] {
            force.clear();
            force.resize(padded, 0.0);
        }
        self.charge.clear();
        self.charge.extend(body.mass.iter().map(|mass| mass * many_body));
    }
}

/// Fills `scratch.f*` with the change of velocity that every force asks for at heat `alpha`.
pub(crate) fn forces(
    body: &Body<'_>,
    field: &Field,
    params: &ForceParams,
    alpha: f32,
    scratch: &mut Scratch,
) {
    let settings = params.settings();
    scratch.load(body, -settings.many_body_strength * field.charge * alpha);
    let reach = 2.0 * settings.collide_radius;
    pairs(scratch, body.x.len(), reach * reach);
    links(body, field, settings.link_distance, settings.link_strength * alpha, scratch);
    if field.all_pairs > 0.0 {
        mesh(body, field.all_pairs * alpha, MESH_REST * settings.link_distance, scratch);
    }
    let [px, py, pz] = field.axes;
    for (force, at, target, pull) in [
        (&mut scratch.fx, &*body.x, body.tx, px),
        (&mut scratch.fy, &*body.y, body.ty, py),
        (&mut scratch.fz, &*body.z, body.tz, pz),
    ] {
        let strength = pull.strength * alpha;
        for ((f, p), t) in force.iter_mut().zip(at).zip(target) {
            *f = *f * pull.freedom + (t - p) * strength;
        }
    }
}

/// Many-body push (charge · d / (r² + softening)) and collide push, over all pairs.
///
/// Collide is not cooled, so that nothing overlaps at rest: it asks for `COLLIDE_PUSH · d · (reach² / r² -
/// 1)` inside its reach, which shares the division with the many-body force and clears half of a small
/// overlap on each side.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
#[expect(clippy::indexing_slicing, reason = "lanes of fixed arrays; checks would keep the loop scalar")]
fn pairs(scratch: &mut Scratch, n: usize, reach2: f32) {
    let Scratch { x, y, z, charge, fx, fy, fz } = scratch;
    let reach2 = if reach2 > 0.0 { reach2 + SOFTENING } else { 0.0 };
    let (tx, ty, tz) = (x.as_chunks::<LANES>().0, y.as_chunks::<LANES>().0, z.as_chunks::<LANES>().0);
    let (ox, oy, oz) =
        (fx.as_chunks_mut::<LANES>().0, fy.as_chunks_mut::<LANES>().0, fz.as_chunks_mut::<LANES>().0);
    let targets = tx.iter().zip(ty).zip(tz).zip(ox.iter_mut().zip(oy).zip(oz));
    for (((px, py), pz), ((ox, oy), oz)) in targets {
        let (mut ax, mut ay, mut az) = ([0_f32; LANES], [0_f32; LANES], [0_f32; LANES]);
        for (((qx, qy), qz), qc) in x.iter().zip(y.iter()).zip(z.iter()).zip(charge.iter()).take(n) {
            for l in 0..LANES {
                let (dx, dy, dz) = (px[l] - qx, py[l] - qy, pz[l] - qz);
                let inverse = 1.0 / (dx * dx + dy * dy + dz * dz + SOFTENING);
                let overlap = reach2 * inverse - 1.0;
                let collide = if overlap > 0.0 { overlap } else { 0.0 };
                let push = qc * inverse + COLLIDE_PUSH * collide;
                ax[l] += dx * push;
                ay[l] += dy * push;
                az[l] += dz * push;
            }
        }
        (*ox, *oy, *oz) = (ax, ay, az);
    }
}

/// Springs of the listed links, gathered row by row.
fn links(body: &Body<'_>, field: &Field, distance: f32, strength: f32, scratch: &mut Scratch) {
    let springs = &field.springs;
    let rows = springs.row.iter().zip(springs.row.iter().skip(1));
    let nodes = body.x.iter().zip(&*body.y).zip(&*body.z);
    let out = scratch.fx.iter_mut().zip(&mut scratch.fy).zip(&mut scratch.fz);
    for (((start, end), ((x, y), z)), ((fx, fy), fz)) in rows.zip(nodes).zip(out) {
        let range = usize::try_from(*start).unwrap_or(usize::MAX)..usize::try_from(*end).unwrap_or(0);
        let (Some(col), Some(k)) = (springs.col.get(range.clone()), springs.k.get(range)) else { continue };
        for (other, k) in col.iter().zip(k) {
            let other = usize::try_from(*other).unwrap_or(usize::MAX);
            let (Some(ox), Some(oy), Some(oz)) = (body.x.get(other), body.y.get(other), body.z.get(other))
            else {
                continue;
            };
            let (dx, dy, dz) = (ox - x, oy - y, oz - z);
            let length = (dx * dx + dy * dy + dz * dz + LENGTH_MIN).sqrt();
            let pull = strength * k * (length - distance) / length;
            *fx += dx * pull;
            *fy += dy * pull;
            *fz += dz * pull;
        }
    }
}

/// The springs between all pairs of a mesh, in closed form: a spring from each node to the centroid.
///
/// For springs without rest length this is exact; the rest lengths add a constant push outwards, which for
/// nodes spread evenly on a sphere is two thirds of a link distance.
fn mesh(body: &Body<'_>, strength: f32, rest: f32, scratch: &mut Scratch) {
    let n = body.x.len() as f32;
    let [cx, cy, cz] = [&*body.x, &*body.y, &*body.z].map(|axis| axis.iter().sum::<f32>() / n);
    let nodes = body.x.iter().zip(&*body.y).zip(&*body.z);
    let out = scratch.fx.iter_mut().zip(&mut scratch.fy).zip(&mut scratch.fz);
    for (((x, y), z), ((fx, fy), fz)) in nodes.zip(out) {
        let (dx, dy, dz) = (cx - x, cy - y, cz - z);
        let length = (dx * dx + dy * dy + dz * dz + LENGTH_MIN).sqrt();
        let pull = strength * (length - rest) / length;
        *fx += dx * pull;
        *fy += dy * pull;
        *fz += dz * pull;
    }
}
