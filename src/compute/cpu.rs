//! The backend that every machine has: exact forces on one core, in place.

use super::{Batch, StepStats, World, backend::BackendError, backend::ForceBackend};
use crate::layout::{self, CALM_TICKS, Scratch};

/// Steps swarms one after the other on the calling thread; a steady tick allocates nothing.
#[derive(Debug, Default)]
pub struct CpuBackend {
    scratch: Scratch,
}

impl CpuBackend {
    /// A backend with empty buffers, which grow to the largest swarm.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ForceBackend for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn describe(&self) -> String {
        format!("exact forces on one {} core", std::env::consts::ARCH)
    }

    fn step(&mut self, world: &mut World, batch: &Batch<'_>) -> Result<StepStats, BackendError> {
        let mut stats = StepStats::default();
        for swarm in batch.swarms {
            let Some(mut segment) = world.awake_mut(*swarm) else { continue };
            let nodes = u64::try_from(segment.body.x.len()).unwrap_or(u64::MAX);
            for _ in 0..batch.steps {
                if segment.motion.asleep {
                    break;
                }
                let report = layout::step(
                    &mut segment.body,
                    segment.field,
                    segment.params,
                    segment.motion,
                    &mut self.scratch,
                );
                stats.repaired += report.repaired;
                stats.pairs += nodes * nodes;
            }
            stats.swarms += 1;
            stats.nodes += nodes;
            stats.fell_asleep += u32::from(segment.motion.asleep);
            stats.cut_short += u32::from(segment.motion.asleep && segment.motion.calm_ticks < CALM_TICKS);
        }
        Ok(stats)
    }
}
