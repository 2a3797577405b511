//! Links between two agents of a swarm.

use super::words::words;
use serde::{Deserialize, Serialize};

words! {
    /// Where a link comes from.
    LinkKind as "link kind" {
        /// The topology asks for it.
        Structural = "structural",
        /// The two agents exchange messages.
        Traffic = "traffic",
    }
}

/// An undirected link between two slots, `a < b`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The smaller slot.
    pub a: u32,
    /// The greater slot.
    pub b: u32,
    /// Strength relative to a structural link, 0 to 16.
    pub weight: f32,
    /// Where it comes from.
    pub kind: LinkKind,
}

impl Link {
    /// A structural link of weight 1, its ends in order.
    #[must_use]
    pub const fn structural(one: u32, other: u32) -> Self {
        let (a, b) = if one < other { (one, other) } else { (other, one) };
        Self { a, b, weight: 1.0, kind: LinkKind::Structural }
    }
}
