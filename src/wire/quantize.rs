//! The grid that positions are rounded to: its step, its origin, and when it must change. Knows no bytes.
//!
//! The step is a power of two, at most the extent / 2^precision when chosen, and is kept while it is within a factor of two
//! of that: a swarm that breathes around a power of two does not re-quantise on every breath.

/// Largest coordinate in layout units, either side of zero; anything further out is clamped and counted.
pub const MAX_COORDINATE: f32 = 1.0e9;
/// Extents below this are treated as this, in layout units: a lone agent needs no finer grid.
pub const MIN_EXTENT: f64 = 1.0;
/// Largest |quantised coordinate| from the origin; beyond it the grid is re-centred.
pub const MAX_OFFSET: i32 = 1 << 20;
/// Default precision: the step is at most the extent / 2^12 = 1/4096.
pub const DEFAULT_PRECISION: u8 = 12;

/// Smallest and largest exponents of a step on the wire.
pub(crate) const STEP_EXPONENTS: std::ops::RangeInclusive<i32> = -40..=40;

/// Smallest and largest coordinate per axis, and what had to be repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) min: [f64; 3],
    pub(crate) max: [f64; 3],
    /// Coordinates that were not finite (taken as 0) or out of range (clamped).
    pub(crate) repaired: u32,
}

impl Bounds {
    /// Scans the coordinates of all axes.
    pub(crate) fn of(axes: [&[f32]; 3]) -> Self {
        let mut bounds = Self { min: [0.0; 3], max: [0.0; 3], repaired: 0 };
        for ((axis, min), max) in axes.iter().zip(&mut bounds.min).zip(&mut bounds.max) {
            let (mut low, mut high, mut bad) = (f32::INFINITY, f32::NEG_INFINITY, 0_u32);
            for &raw in *axis {
                let clean = repair(raw);
                bad += u32::from(clean.to_bits() != raw.to_bits());
                low = low.min(clean);
                high = high.max(clean);
            }
            if low <= high {
                (*min, *max) = (f64::from(low), f64::from(high));
            }
            bounds.repaired = bounds.repaired.saturating_add(bad);
        }
        bounds
    }

    fn extent(&self) -> f64 {
        self.min.iter().zip(&self.max).map(|(min, max)| max - min).fold(MIN_EXTENT, f64::max)
    }

    fn furthest(&self) -> f64 {
        self.min.iter().chain(&self.max).fold(0.0, |far, edge| far.max(edge.abs()))
    }
}

/// Gives a coordinate that is finite and in range: the same, the nearest limit, or 0 for a NaN.
#[inline]
pub(crate) fn repair(raw: f32) -> f32 {
    if raw.is_nan() { 0.0 } else { raw.clamp(-MAX_COORDINATE, MAX_COORDINATE) }
}

/// A grid: position = (origin + q) · 2^exponent, per axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Binary logarithm of the step in layout units.
    pub exponent: i32,
    /// Origin per axis, in steps.
    pub origin: [i32; 3],
}

impl Grid {
    /// Gives the step in layout units, an exact power of two.
    #[must_use]
    pub fn step(&self) -> f32 {
        let biased = u32::try_from((self.exponent + 127).clamp(1, 254)).unwrap_or(1);
        f32::from_bits(biased << 23)
    }

    /// Gives the grid whose step is exactly `step`; `None` unless it is a power of two between 2^-40 and 2^40.
    #[must_use]
    pub fn from_step(step: f32, origin: [i32; 3]) -> Option<Self> {
        let bits = step.to_bits();
        let exponent = i32::try_from(bits >> 23).ok()? - 127;
        (bits & 0x007f_ffff == 0 && STEP_EXPONENTS.contains(&exponent)).then_some(Self { exponent, origin })
    }

    /// Gives the position of quantised coordinate `q` on `axis` (0–2), in layout units.
    ///
    /// Computed in f64 and rounded once to f32, which every language with IEEE numbers does alike.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is what is wanted")]
    pub fn position(&self, axis: usize, q: i32) -> f32 {
        let origin = self.origin.get(axis).copied().unwrap_or(0);
        ((f64::from(origin) + f64::from(q)) * f64::from(self.step())) as f32
    }

    /// Rounds the coordinates of one axis to this grid, into `out`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float cast saturates; the grid keeps |q| under 2^21"
    )]
    pub(crate) fn quantize(&self, axis: usize, coordinates: &[f32], out: &mut Vec<i32>) {
        let origin = f64::from(self.origin.get(axis).copied().unwrap_or(0));
        let per_step = 1.0 / f64::from(self.step());
        out.clear();
        out.extend(coordinates.iter().map(|&raw| {
            let offset = f64::from(repair(raw)) * per_step - origin;
            (offset + 0.5_f64.copysign(offset)) as i32
        }));
    }

    /// Chooses the grid for a state with these bounds.
    #[expect(clippy::cast_possible_truncation, reason = "both are far inside i32 by the choice of the step")]
    pub(crate) fn choose(bounds: &Bounds, precision: u8) -> Self {
        let mut grid = Self { exponent: wanted_exponent(bounds, precision), origin: [0; 3] };
        let per_step = 1.0 / f64::from(grid.step());
        for ((origin, min), max) in grid.origin.iter_mut().zip(&bounds.min).zip(&bounds.max) {
            *origin = ((min + max) * 0.5 * per_step) as i32;
        }
        grid
    }

    /// Tells whether this grid still serves a state with these bounds: its step is neither too coarse nor more than twice
    /// finer than needed, and no coordinate is too far from the origin.
    pub(crate) fn serves(&self, bounds: &Bounds, precision: u8) -> bool {
        let wanted = wanted_exponent(bounds, precision);
        let per_step = 1.0 / f64::from(self.step());
        let near = self.origin.iter().zip(bounds.min.iter().zip(&bounds.max)).all(|(&origin, (min, max))| {
            let far =
                (max * per_step - f64::from(origin)).abs().max((min * per_step - f64::from(origin)).abs());
            far < f64::from(MAX_OFFSET)
        });
        near && (wanted - 1..=wanted).contains(&self.exponent)
    }
}

/// Gives the exponent of the coarsest step that is fine enough, and coarse enough for an origin within 2^29 steps.
fn wanted_exponent(bounds: &Bounds, precision: u8) -> i32 {
    let by_extent = floor_log2(bounds.extent()) - i32::from(precision);
    let by_distance = floor_log2(bounds.furthest().max(MIN_EXTENT)) - 28;
    by_extent.max(by_distance)
}

/// Gives the largest n with 2^n <= value, for finite normal values.
fn floor_log2(value: f64) -> i32 {
    i32::try_from(value.to_bits() >> 52 & 0x7ff).unwrap_or(0) - 1023
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(extent: f64) -> Bounds {
        Bounds { min: [0.0; 3], max: [extent, 0.0, 0.0], repaired: 0 }
    }

    #[test]
    fn step_is_at_most_the_extent_over_the_precision() {
        for extent in [1.0, 1.5, 3.9, 4.0, 658.99, 1.0e6, 2.0e9] {
            let grid = Grid::choose(&bounds(extent), 12);
            let step = f64::from(grid.step());
            assert!(step <= extent / 4096.0 && step > extent / 8192.0, "extent {extent}, step {step}");
            assert!(grid.serves(&bounds(extent), 12));
            assert_eq!(Grid::from_step(grid.step(), grid.origin), Some(grid));
        }
        assert_eq!(Grid::choose(&bounds(0.0), 12).exponent, -12, "a lone agent has the smallest extent");
    }

    #[test]
    fn breathing_around_a_power_of_two_changes_the_grid_once() {
        let mut grid = Grid::choose(&bounds(1030.0), 12);
        let mut changes = 0;
        for extent in [1030.0, 1020.0, 1030.0, 1020.0, 1900.0, 1020.0, 600.0].repeat(20) {
            if !grid.serves(&bounds(extent), 12) {
                grid = Grid::choose(&bounds(extent), 12);
                changes += 1;
            }
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn odd_numbers_are_repaired_and_counted() {
        let axis = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 5.0, -0.0];
        let bounds = Bounds::of([&axis, &[], &[1.0]]);
        assert_eq!(bounds.repaired, 3);
        assert_eq!(bounds.max.map(f64::to_bits), [f64::from(MAX_COORDINATE), 0.0, 1.0].map(f64::to_bits));
        let mut q = Vec::new();
        let grid = Grid::choose(&bounds, 12);
        grid.quantize(0, &axis, &mut q);
        assert!(grid.position(0, q[0]).abs() < grid.step());
    }

    #[test]
    fn steps_from_the_wire_are_checked() {
        for bad in [0.0, -1.0, 1.5, f32::NAN, f32::INFINITY, 1.0e-30, f32::MIN_POSITIVE] {
            assert_eq!(Grid::from_step(bad, [0; 3]), None, "{bad}");
        }
    }
}
