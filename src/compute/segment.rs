//! One swarm of the world, and how warm an edit leaves it.

use super::spans::Span;
use crate::layout::{
    ALPHA_JOIN, ALPHA_RESHAPE, ALPHA_RESUME, ALPHA_START, ALPHA_TUNE, Field, ForceParams, LayoutGraph,
    Motion, Vec3,
};

/// One swarm.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) graph: LayoutGraph,
    pub(crate) params: ForceParams,
    pub(crate) field: Field,
    pub(crate) revision: u32,
    pub(crate) span: Span,
    pub(crate) motion: Motion,
    /// Number of the edit that last changed more than positions.
    pub(crate) edition: u64,
    /// To be published.
    pub(crate) changed: bool,
    /// Positions differ from those last published.
    pub(crate) moved: bool,
}

impl Segment {
    /// Its places in the columns.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.span.start..self.span.start + self.graph.nodes().len()
    }
}

/// Heat of a swarm that the world did not know: less when its positions were restored.
pub(crate) fn first_heat(known: &[Option<Vec3>]) -> f32 {
    let restored = known.iter().flatten().count();
    match restored {
        0 => ALPHA_START,
        all if all == known.len() => ALPHA_RESUME,
        _ => ALPHA_JOIN,
    }
}

/// Motion of a known swarm after its graph changed: the smaller the change, the less heat. `None` when nobody
/// stays.
pub(crate) fn next_motion(old: Option<&Segment>, graph: &LayoutGraph) -> Option<Motion> {
    let old = old?;
    let diff = old.graph.diff(graph);
    if diff.stayed.is_empty() {
        return None;
    }
    let heat = if diff.reshaped {
        ALPHA_RESHAPE
    } else if diff.joined.is_empty() && diff.left.is_empty() && !diff.relinked {
        ALPHA_TUNE
    } else {
        ALPHA_JOIN
    };
    let mut motion = old.motion;
    motion.wake(heat);
    Some(motion)
}
