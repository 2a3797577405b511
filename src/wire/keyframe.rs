//! The body of a keyframe: the grid, and for each agent its slot, place and predictor, so that whoever joins now decodes the
//! deltas that all others get.
//!
//! | offset | size | type | field | meaning |
//! |---|---|---|---|---|
//! | 0 | 1 | u8 | coding | 1 |
//! | 1 | 3 | 3 × u8 | reserved | 0 |
//! | 4 | 4 | f32 | step | layout units, a power of two |
//! | 8 | 12 | 3 × i32 | origin | x, y, z, in steps |
//! | 20 | … | varint | agents | 10 per agent, see below |
//!
//! Per agent in ascending order of slots: slot gap (the first slot itself, then slot − previous slot − 1), then for x, y, z:
//! zigzag(q), zigzag(estimate − 64·q), zigzag(velocity).

use super::bits::{VarintReader, write_varint, zigzag};
use super::error::WireError;
use super::frame::{FrameKind, read_fixed, write_fixed};
use super::predict::{Axis, FRACTION_BITS};
use super::quantize::Grid;
use bincode::{Decode, Encode};

/// The only coding of keyframes so far.
pub const KEYFRAME_CODING: u8 = 1;
/// Bytes before the agents.
pub const KEYFRAME_PREFIX_BYTES: usize = 20;
/// Varints, and so bytes at least, per agent.
const NUMBERS_PER_AGENT: usize = 10;

#[derive(Debug, Clone, Copy, Encode, Decode)]
struct Prefix {
    coding: u8,
    reserved: [u8; 3],
    step: f32,
    origin: [i32; 3],
}

/// Appends the body for this state. The slots ascend and every axis is as long as they are.
pub(crate) fn write(grid: &Grid, slots: &[u32], axes: &[Axis; 3], out: &mut Vec<u8>) {
    let prefix = Prefix { coding: KEYFRAME_CODING, reserved: [0; 3], step: grid.step(), origin: grid.origin };
    write_fixed::<KEYFRAME_PREFIX_BYTES, _>(&prefix, out);
    let [x, y, z] = axes;
    let mut expected = 0_u32;
    for (slot, ((x, y), z)) in slots.iter().zip(numbers(x).zip(numbers(y)).zip(numbers(z))) {
        write_varint(slot.wrapping_sub(expected), out);
        expected = slot.wrapping_add(1);
        for number in x.into_iter().chain(y).chain(z) {
            write_varint(zigzag(number), out);
        }
    }
}

fn numbers(axis: &Axis) -> impl Iterator<Item = [i32; 3]> {
    axis.q
        .iter()
        .zip(&axis.estimate)
        .zip(&axis.velocity)
        .map(|((&q, &estimate), &velocity)| [q, estimate.wrapping_sub(q << FRACTION_BITS), velocity])
}

/// Reads the body of a keyframe of `count` agents into the state, reusing its memory. On an error the state is in pieces.
///
/// # Errors
/// [`WireError::Unknown`] for a later coding, [`WireError::BadBody`] for anything that the table does not allow.
pub(crate) fn read(
    body: &[u8],
    count: usize,
    slots: &mut Vec<u32>,
    axes: &mut [Axis; 3],
) -> Result<Grid, WireError> {
    let bad = |what| WireError::BadBody { kind: FrameKind::Keyframe, what };
    let (prefix, agents) = read_fixed::<Prefix>(body).ok_or(bad("shorter than its prefix"))?;
    if prefix.coding != KEYFRAME_CODING {
        return Err(WireError::Unknown(prefix.coding));
    }
    let grid =
        Grid::from_step(prefix.step, prefix.origin).ok_or(bad("the step is no power of two in range"))?;
    // Checked before anything is allocated: a small frame cannot ask for a large state.
    if agents.len() < count.saturating_mul(NUMBERS_PER_AGENT) {
        return Err(bad("fewer bytes than its count needs"));
    }
    slots.clear();
    slots.reserve(count);
    for axis in axes.iter_mut() {
        for column in [&mut axis.q, &mut axis.estimate, &mut axis.velocity] {
            column.clear();
            column.reserve(count);
        }
    }
    let mut reader = VarintReader::new(agents);
    let mut expected = Some(0_u32);
    for _ in 0..count {
        let gap = reader.next_u32().ok_or(bad("a slot is cut short"))?;
        let slot = expected.and_then(|from| from.checked_add(gap)).ok_or(bad("a slot is over 32 bits"))?;
        expected = slot.checked_add(1);
        slots.push(slot);
        for axis in axes.iter_mut() {
            let mut number = || reader.next_i32().ok_or(bad("a coordinate is cut short"));
            let (q, above, velocity) = (number()?, number()?, number()?);
            axis.q.push(q);
            axis.estimate.push((q << FRACTION_BITS).wrapping_add(above));
            axis.velocity.push(velocity);
        }
    }
    if reader.is_empty() { Ok(grid) } else { Err(bad("bytes behind the last agent")) }
}
