//! What a tick publishes: the positions of the swarms that changed, to be shared and never written again.

use std::sync::Arc;

use super::{Batch, World};

/// Ticks kept for reuse. A tick whose readers are all gone is filled again instead of being allocated anew.
pub const POOL_MAX: usize = 64;

/// One swarm in a [`Tick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickSegment {
    /// The swarm's key.
    pub swarm: u128,
    /// Revision of the graph that these positions belong to, as it was set.
    pub revision: u32,
    /// First place in the tick's arrays.
    pub start: usize,
    /// Number of nodes.
    pub len: usize,
    /// False when the positions are the same as in the swarm's last segment.
    pub moved: bool,
    /// True when the swarm came to rest: no further segment follows until it is edited.
    pub asleep: bool,
}

/// Positions after one step of one batch: only swarms that moved, were edited or fell asleep.
#[derive(Debug, Default)]
pub struct Tick {
    /// Ascending by one per tick published in this process.
    pub number: u64,
    /// The swarms, ascending by key.
    pub segments: Vec<TickSegment>,
    /// Slot of each node.
    pub slots: Vec<u32>,
    /// Positions, layout units, to the right.
    pub x: Vec<f32>,
    /// Positions, layout units, up.
    pub y: Vec<f32>,
    /// Positions, layout units, towards the viewer.
    pub z: Vec<f32>,
}

impl Tick {
    /// Slots and positions of one of this tick's segments; `None` for a segment of another tick that does not
    /// fit.
    #[must_use]
    pub fn positions(&self, segment: &TickSegment) -> Option<super::Positions<'_>> {
        let range = segment.start..segment.start.checked_add(segment.len)?;
        Some(super::Positions {
            slots: self.slots.get(range.clone())?,
            x: self.x.get(range.clone())?,
            y: self.y.get(range.clone())?,
            z: self.z.get(range)?,
        })
    }

    fn clear(&mut self, number: u64) {
        self.number = number;
        self.segments.clear();
        self.slots.clear();
        for axis in [&mut self.x, &mut self.y, &mut self.z] {
            axis.clear();
        }
    }
}

/// Fills ticks and hands them out, reusing those that nobody reads any more.
#[derive(Debug, Default)]
pub struct Publisher {
    number: u64,
    pool: Vec<Arc<Tick>>,
    next: usize,
    allocated: u64,
}

impl Publisher {
    /// A publisher whose first tick has number 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ticks allocated so far; stands still while readers keep up.
    #[must_use]
    pub const fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Publishes the swarms of a batch that changed since they were last published; `None` when none did.
    pub fn publish(&mut self, world: &mut World, batch: &Batch<'_>) -> Option<Arc<Tick>> {
        let mut slot = self.vacant();
        let tick = Arc::get_mut(&mut slot)?;
        tick.clear(self.number + 1);
        for swarm in batch.swarms {
            world.publish_into(*swarm, tick);
        }
        let empty = tick.segments.is_empty();
        let published = (!empty).then(|| Arc::clone(&slot));
        self.number += u64::from(!empty);
        self.put_back(slot);
        published
    }

    /// Takes a tick without readers out of the pool, or allocates one.
    fn vacant(&mut self) -> Arc<Tick> {
        for index in 0..self.pool.len() {
            if self.pool.get_mut(index).is_some_and(|tick| Arc::get_mut(tick).is_some()) {
                return self.pool.swap_remove(index);
            }
        }
        self.allocated += 1;
        Arc::new(Tick::default())
    }

    /// Keeps a tick for reuse; with a full pool it takes the place of one that its readers still hold.
    fn put_back(&mut self, tick: Arc<Tick>) {
        if self.pool.len() < POOL_MAX {
            self.pool.push(tick);
            return;
        }
        self.next = (self.next + 1) % POOL_MAX;
        if let Some(place) = self.pool.get_mut(self.next) {
            *place = tick;
        }
    }
}
