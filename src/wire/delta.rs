//! The body of a delta: how each agent's coordinates differ from what the predictor says, in adaptive Rice codes.
//!
//! | offset | size | type | field | meaning |
//! |---|---|---|---|---|
//! | 0 | 1 | u8 | coding | 1: Rice codes as below; others may follow |
//! | 1 | 1 | u8 | `k` | Rice parameter of residuals, 0–24 |
//! | 2 | 1 | u8 | `run_k` | Rice parameter of runs, 0–24, or 255: no runs, every agent has residuals |
//! | 3 | 1 | u8 | reserved | 0 |
//! | 4 | … | bits | codes | highest bit of each byte first, zero-padded |
//!
//! The encoder picks `k` and `run_k` per frame by the exact size that each would give. Another `coding` may replace everything
//! behind byte 0 without a new version of the protocol; a receiver that does not know it resyncs.

use super::bits::{BitReader, BitWriter, RICE_K_MAX, rice_bits};
use super::error::WireError;
use super::frame::{FrameKind, read_fixed, write_fixed};
use bincode::{Decode, Encode};

/// Coding of deltas: adaptive Rice with runs.
pub const DELTA_CODING_RICE: u8 = 1;
/// Bytes before the codes.
pub const DELTA_PREFIX_BYTES: usize = 4;
/// The `run_k` that says that every agent has residuals.
pub const NO_RUNS: u8 = 255;

#[derive(Debug, Clone, Copy, Encode, Decode)]
struct Prefix {
    coding: u8,
    k: u8,
    run_k: u8,
    reserved: u8,
}

/// Appends the body for these zigzagged residuals, and gives how many agents were not predicted exactly.
///
/// `gaps` is scratch memory, reused between frames.
pub(crate) fn write(residual: &[Vec<u32>; 3], gaps: &mut Vec<u32>, out: &mut Vec<u8>) -> usize {
    let [x, y, z] = residual;
    let agents = || x.iter().zip(y).zip(z).map(|((&x, &y), &z)| [x, y, z]);
    gaps.clear();
    let mut gap = 0_u32;
    for [x, y, z] in agents() {
        if x | y | z == 0 {
            gap += 1;
        } else {
            gaps.push(gap);
            gap = 0;
        }
    }
    let moved = gaps.len();
    if gap > 0 {
        gaps.push(gap);
    }
    let moving = || agents().filter(|[x, y, z]| x | y | z != 0).flatten();
    let (k_runs, residual_bits) = best_k(moving);
    let (run_k, run_bits) = best_k(|| gaps.iter().copied());
    let (k_all, all_bits) = best_k(|| agents().flatten());
    let runs = residual_bits + run_bits < all_bits;
    let (k, run_k) = if runs { (k_runs, run_k) } else { (k_all, NO_RUNS) };

    write_fixed::<DELTA_PREFIX_BYTES, _>(&Prefix { coding: DELTA_CODING_RICE, k, run_k, reserved: 0 }, out);
    let mut bits = BitWriter::new(out);
    let mut gap = 0_u32;
    for agent in agents() {
        if runs {
            if agent == [0; 3] {
                gap += 1;
                continue;
            }
            bits.rice(gap, run_k);
            gap = 0;
        }
        for value in agent {
            bits.rice(value, k);
        }
    }
    if runs && gap > 0 {
        bits.rice(gap, run_k);
    }
    bits.finish();
    moved
}

/// Gives the best parameter for these values, and its exact cost in bits.
///
/// A first guess comes from how many values have each bit length, which one outlier among many small values cannot spoil as
/// it would a mean; then the guess and its neighbours are costed exactly.
fn best_k<I: Iterator<Item = u32>>(values: impl Fn() -> I) -> (u8, u64) {
    let mut lengths = [0_u32; 33];
    for value in values() {
        let length = usize::try_from(u32::BITS - value.leading_zeros()).unwrap_or(0);
        if let Some(count) = lengths.get_mut(length) {
            *count += 1;
        }
    }
    let rough = |k: u8| -> u64 {
        let middles = (0..33_u32).map(|length| 3_u64 << length >> 2);
        middles
            .zip(lengths)
            .filter(|&(_, count)| count > 0)
            .map(|(middle, count)| {
                let value = u32::try_from(middle).unwrap_or(u32::MAX);
                u64::from(count) * u64::from(rice_bits(value, k))
            })
            .sum()
    };
    let longest = lengths.iter().rposition(|&count| count > 0).unwrap_or(0);
    let top = u8::try_from(longest).unwrap_or(RICE_K_MAX).min(RICE_K_MAX);
    let guess = (0..=top).min_by_key(|&k| rough(k)).unwrap_or(0);
    let low = guess.saturating_sub(1);
    let ks = [low, (low + 1).min(RICE_K_MAX), (low + 2).min(RICE_K_MAX)];
    let mut costs = [0_u64; 3];
    for value in values() {
        for (cost, &k) in costs.iter_mut().zip(&ks) {
            *cost += u64::from(rice_bits(value, k));
        }
    }
    ks.into_iter().zip(costs).min_by_key(|&(_, cost)| cost).unwrap_or((0, 0))
}

/// Reads the body of a delta over `count` agents into zigzagged residuals, reusing their memory.
///
/// # Errors
/// [`WireError::Unknown`] for a later coding, [`WireError::BadBody`] for anything that the table does not allow. Nothing
/// but `residual` was changed.
pub(crate) fn read(body: &[u8], count: usize, residual: &mut [Vec<u32>; 3]) -> Result<(), WireError> {
    let bad = |what| WireError::BadBody { kind: FrameKind::Delta, what };
    let (prefix, codes) = read_fixed::<Prefix>(body).ok_or(bad("shorter than its prefix"))?;
    if prefix.coding != DELTA_CODING_RICE {
        return Err(WireError::Unknown(prefix.coding));
    }
    let runs = prefix.run_k != NO_RUNS;
    if prefix.k > RICE_K_MAX || (runs && prefix.run_k > RICE_K_MAX) {
        return Err(bad("a rice parameter is out of range"));
    }
    for axis in residual.iter_mut() {
        axis.clear();
        axis.resize(count, 0);
    }
    let [x, y, z] = residual;
    let mut agents = x.iter_mut().zip(y).zip(z);
    let mut bits = BitReader::new(codes);
    let mut left = count;
    while left > 0 {
        if runs {
            let gap = usize::try_from(bits.rice(prefix.run_k)).unwrap_or(usize::MAX);
            if gap > left {
                return Err(bad("a run leads behind the last agent"));
            }
            left -= gap;
            if left == 0 {
                break;
            }
            if gap > 0 {
                agents.nth(gap - 1);
            }
        }
        let Some(((x, y), z)) = agents.next() else { break };
        *x = bits.rice(prefix.k);
        *y = bits.rice(prefix.k);
        *z = bits.rice(prefix.k);
        left -= 1;
        if bits.ran_out() {
            return Err(bad("the codes are cut short"));
        }
    }
    if bits.ended_well() { Ok(()) } else { Err(bad("the codes do not end in the last byte")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(residual: &[Vec<u32>; 3]) -> usize {
        let mut out = Vec::new();
        write(residual, &mut Vec::new(), &mut out);
        let mut back = [vec![9], Vec::new(), Vec::new()];
        read(&out, residual[0].len(), &mut back).unwrap();
        assert_eq!(&back, residual);
        out.len()
    }

    #[test]
    fn agents_at_rest_cost_well_under_a_bit() {
        let mut x = vec![0; 1000];
        x[500] = 3;
        let bytes = round_trip(&[x, vec![0; 1000], vec![0; 1000]]);
        assert!(bytes <= 4 + 8, "{bytes} bytes for one of a thousand");
        assert!(round_trip(&[vec![0; 1000], vec![0; 1000], vec![0; 1000]]) <= 4 + 3);
        round_trip(&[vec![], vec![], vec![]]);
        round_trip(&[vec![u32::MAX], vec![0], vec![1]]);
    }

    proptest! {
        #[test]
        fn any_residuals_round_trip(rows in prop::collection::vec((any::<[u32; 3]>(), 0_u32..40), 0..200)) {
            let shifted = |axis: usize| {
                rows.iter().map(|(row, shift)| row[axis].checked_shr(*shift).unwrap_or(0)).collect::<Vec<_>>()
            };
            round_trip(&[shifted(0), shifted(1), shifted(2)]);
        }

        #[test]
        fn any_bytes_are_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..64), count in 0_usize..300) {
            let mut residual = [Vec::new(), Vec::new(), Vec::new()];
            let first = read(&body, count, &mut residual);
            let mut fixed = body;
            if let Some(coding) = fixed.first_mut() {
                *coding = DELTA_CODING_RICE;
                drop(read(&fixed, count, &mut residual));
            }
            prop_assert!(first.is_err() || residual[0].len() == count);
        }
    }
}
