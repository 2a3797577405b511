//! The world's numbers as columns, one per quantity, resident from tick to tick.

use std::ops::Range;

use crate::layout::{Body, Vec3};

/// One `f32` column per quantity, all of the same length; a swarm owns a span of places in each.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    vx: Vec<f32>,
    vy: Vec<f32>,
    vz: Vec<f32>,
    mass: Vec<f32>,
    free: Vec<f32>,
    tx: Vec<f32>,
    ty: Vec<f32>,
    tz: Vec<f32>,
}

/// One node's place in every column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) at: Vec3,
    pub(crate) velocity: Vec3,
    pub(crate) mass: f32,
    pub(crate) free: f32,
    pub(crate) target: Vec3,
}

impl Columns {
    fn all(&mut self) -> [&mut Vec<f32>; 11] {
        let Self { x, y, z, vx, vy, vz, mass, free, tx, ty, tz } = self;
        [x, y, z, vx, vy, vz, mass, free, tx, ty, tz]
    }

    /// Makes every column at least `len` long.
    pub(crate) fn grow(&mut self, len: usize) {
        for column in self.all() {
            if column.len() < len {
                column.resize(len, 0.0);
            }
        }
    }

    /// Cuts every column to `len` and gives memory back when most of it is unused.
    pub(crate) fn shrink(&mut self, len: usize) {
        for column in self.all() {
            column.truncate(len);
            column.shrink_to(len.saturating_mul(2));
        }
    }

    /// Moves `len` places down from `from` to `to`; `from + len` must lie inside the columns and `to ≤ from`.
    pub(crate) fn shift(&mut self, from: usize, to: usize, len: usize) {
        for column in self.all() {
            column.copy_within(from..from + len, to);
        }
    }

    /// Writes `rows` from place `start` on; the columns must be long enough.
    pub(crate) fn write(&mut self, start: usize, rows: impl Iterator<Item = Row>) {
        for (place, row) in (start..).zip(rows) {
            let Row { at: [x, y, z], velocity: [vx, vy, vz], mass, free, target: [tx, ty, tz] } = row;
            for (column, value) in self.all().into_iter().zip([x, y, z, vx, vy, vz, mass, free, tx, ty, tz]) {
                if let Some(cell) = column.get_mut(place) {
                    *cell = value;
                }
            }
        }
    }

    /// Holds the node in a place at a point, at rest, or frees it where it is.
    pub(crate) fn pin(&mut self, place: usize, at: Option<Vec3>) {
        let Self { x, y, z, vx, vy, vz, free, .. } = self;
        let set = |column: &mut Vec<f32>, value: f32| {
            if let Some(cell) = column.get_mut(place) {
                *cell = value;
            }
        };
        set(free, f32::from(u8::from(at.is_none())));
        if let Some(at) = at {
            for (column, value) in [x, y, z].into_iter().zip(at) {
                set(column, value);
            }
        }
        for column in [vx, vy, vz] {
            set(column, 0.0);
        }
    }

    /// Positions in a range of places, one slice per axis.
    pub(crate) fn positions(&self, range: Range<usize>) -> Option<[&[f32]; 3]> {
        Some([self.x.get(range.clone())?, self.y.get(range.clone())?, self.z.get(range)?])
    }

    /// Velocities in a range of places, one slice per axis.
    pub(crate) fn velocities(&self, range: Range<usize>) -> Option<[&[f32]; 3]> {
        Some([self.vx.get(range.clone())?, self.vy.get(range.clone())?, self.vz.get(range)?])
    }

    /// A range of places as the layout steps it.
    pub(crate) fn body(&mut self, range: Range<usize>) -> Option<Body<'_>> {
        let r = || range.clone();
        Some(Body {
            x: self.x.get_mut(r())?,
            y: self.y.get_mut(r())?,
            z: self.z.get_mut(r())?,
            vx: self.vx.get_mut(r())?,
            vy: self.vy.get_mut(r())?,
            vz: self.vz.get_mut(r())?,
            mass: self.mass.get(r())?,
            free: self.free.get(r())?,
            tx: self.tx.get(r())?,
            ty: self.ty.get(r())?,
            tz: self.tz.get(r())?,
        })
    }
}
