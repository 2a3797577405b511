//! Splits the swarms with work to do into batches, each with its phase of the frame.
//!
//! Batches tick at different moments of a frame so that encoding and writing are spread over it. Not for
//! timing itself.

use super::World;

/// Most steps in one call of a backend.
pub const STEPS_MAX: u32 = 16;

/// Frame rate for which the default force parameters are tuned: one step per frame.
const RATE_TUNED: u32 = 60;

/// Steps per frame that make a layout settle about as fast in seconds at `fps` frames per second as at 60; 1
/// to [`STEPS_MAX`].
#[must_use]
pub const fn steps_for_rate(fps: u32) -> u32 {
    let fps = if fps == 0 { 1 } else { fps };
    let steps = (RATE_TUNED + fps / 2) / fps;
    if steps < 1 {
        1
    } else if steps > STEPS_MAX {
        STEPS_MAX
    } else {
        steps
    }
}

/// When in the frame a batch is due: `index / count` of the frame after its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Position among the frame's batches, from 0.
    pub index: u32,
    /// Batches in the frame, at least 1.
    pub count: u32,
}

/// Swarms that are stepped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// When in the frame it is due.
    pub phase: Phase,
    /// Steps to do in one go, 1 to [`STEPS_MAX`].
    pub steps: u32,
    /// Keys of the swarms, ascending.
    pub swarms: &'a [u128],
}

/// The batches of one frame; its buffer is reused from frame to frame.
#[derive(Debug)]
pub struct Batches {
    swarms: Vec<u128>,
    size: usize,
    steps: u32,
}

impl Batches {
    /// Batches of at most `size` swarms (at least 1) with `steps` steps each, which is cut to 1 to
    /// [`STEPS_MAX`].
    #[must_use]
    pub fn new(size: usize, steps: u32) -> Self {
        Self { swarms: Vec::new(), size: size.max(1), steps: steps.clamp(1, STEPS_MAX) }
    }

    /// Takes down which swarms have work: those awake and those edited. Sleeping swarms cost nothing from
    /// here on.
    pub fn plan(&mut self, world: &mut World) {
        self.swarms.clear();
        self.swarms.extend_from_slice(world.active());
    }

    /// Number of batches planned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.swarms.len().div_ceil(self.size)
    }

    /// True when no swarm has work.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.swarms.is_empty()
    }

    /// One planned batch by its position in the frame.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Batch<'_>> {
        let count = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let swarms = self.swarms.chunks(self.size).nth(index)?;
        let index = u32::try_from(index).ok()?;
        Some(Batch { phase: Phase { index, count }, steps: self.steps, swarms })
    }

    /// All planned batches in the order of their phases.
    pub fn iter(&self) -> impl Iterator<Item = Batch<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}
