//! All swarms' layouts: columns that stay from tick to tick, a span of them per swarm, edits between ticks.
//!
//! A sleeping swarm is not on the active list and costs nothing per tick. Which processor steps the world is
//! not its business.

use std::collections::BTreeMap;

use super::{
    Applied, Edit, EditError, Tick, TickSegment,
    columns::{Columns, Row},
    segment::{Segment, first_heat, next_motion},
    spans::{Span, Spans},
};
use crate::layout::{ALPHA_TUNE, Body, Field, ForceParams, LayoutGraph, Motion, Vec3, is_sound, placement};

/// Most nodes of all swarms together: 44 bytes each, so about 180 MB.
pub const WORLD_NODES_MAX: usize = 4_000_000;

/// Spans are a multiple of this many places, and have at least this much room for newcomers.
const SPAN_STEP: usize = 16;

/// A span has room for this share of its nodes to join before the swarm must move.
const SLACK_SHARE: usize = 8;

/// A swarm that fills less than this share of its span gets a smaller one.
const FILL_SHARE_MIN: usize = 4;

/// Unused places below which the columns are left as they are.
const WASTE_MIN: usize = 4096;

/// Slots and positions of one swarm's nodes, in graph order; all slices of the same length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Positions<'a> {
    /// Slots.
    pub slots: &'a [u32],
    /// Layout units, to the right.
    pub x: &'a [f32],
    /// Layout units, up.
    pub y: &'a [f32],
    /// Layout units, towards the viewer.
    pub z: &'a [f32],
}

/// How one swarm is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Revision of its graph, as it was set.
    pub revision: u32,
    /// Number of nodes.
    pub nodes: usize,
    /// Heat and rest.
    pub motion: Motion,
}

/// A swarm that is due for a step, as a backend sees it.
#[derive(Debug)]
pub struct AwakeSegment<'a> {
    /// Positions, velocities and what is fixed per node; lies at [`AwakeSegment::offset`] in the world.
    pub body: Body<'a>,
    /// Springs, pulls, speed cap.
    pub field: &'a Field,
    /// How forces act.
    pub params: &'a ForceParams,
    /// Heat and rest, for the backend to update.
    pub motion: &'a mut Motion,
    /// First place in the world's columns.
    pub offset: usize,
    /// Changes with every edit of this swarm: a copy elsewhere is stale when it is of another edition.
    pub edition: u64,
}

/// The layouts of all swarms.
#[derive(Debug, Default)]
pub struct World {
    columns: Columns,
    spans: Spans,
    segments: BTreeMap<u128, Segment>,
    slots: Vec<u32>,
    /// Keys of swarms that are awake or to be published, ascending.
    active: Vec<u128>,
    nodes: usize,
    edits: u64,
    layout_version: u64,
}

impl World {
    /// A world without swarms.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one edit. Costs time in proportion to the swarm, more when newcomers look for a place.
    ///
    /// # Errors
    /// [`EditError`] says what is unknown, wrong or too much; the world is then unchanged.
    pub fn apply(&mut self, edit: Edit) -> Result<Applied, EditError> {
        match edit {
            Edit::SetGraph { swarm, revision, graph, params, start } => {
                self.set_graph(swarm, revision, graph, params, start.unwrap_or_default())
            }
            Edit::Remove { swarm } => Ok(self.remove(swarm)),
            Edit::Pin { swarm, slot, at } => self.pin(swarm, slot, at),
            Edit::SetParams { swarm, params } => {
                let segment = self.segments.get(&swarm).ok_or(EditError::UnknownSwarm { swarm })?;
                let (revision, graph) = (segment.revision, segment.graph.clone());
                self.set_graph(swarm, revision, graph, params, Vec::new())
            }
            Edit::Wake { swarm } => {
                let segment = self.segments.get_mut(&swarm).ok_or(EditError::UnknownSwarm { swarm })?;
                segment.motion.wake(ALPHA_TUNE);
                self.activate(swarm);
                Ok(Applied::Changed)
            }
        }
    }

    /// Slots and positions of a swarm, awake or not.
    #[must_use]
    pub fn positions(&self, swarm: u128) -> Option<Positions<'_>> {
        let range = self.segments.get(&swarm)?.range();
        let [x, y, z] = self.columns.positions(range.clone())?;
        Some(Positions { slots: self.slots.get(range)?, x, y, z })
    }

    /// How a swarm is doing.
    #[must_use]
    pub fn status(&self, swarm: u128) -> Option<Status> {
        let segment = self.segments.get(&swarm)?;
        let nodes = segment.graph.nodes().len();
        Some(Status { revision: segment.revision, nodes, motion: segment.motion })
    }

    /// A swarm's graph and force parameters.
    #[must_use]
    pub fn graph(&self, swarm: u128) -> Option<(&LayoutGraph, &ForceParams)> {
        self.segments.get(&swarm).map(|segment| (&segment.graph, &segment.params))
    }

    /// Keys of all swarms, ascending.
    pub fn swarms(&self) -> impl Iterator<Item = u128> {
        self.segments.keys().copied()
    }

    /// Nodes of all swarms together.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// Changes whenever spans moved or the columns grew: a copy of the columns elsewhere must then be made
    /// anew.
    #[must_use]
    pub const fn layout_version(&self) -> u64 {
        self.layout_version
    }

    /// Places in the columns, used or not.
    #[must_use]
    pub const fn places(&self) -> usize {
        self.spans.end()
    }

    /// Keys of the swarms that are awake or have something to publish, ascending.
    pub fn active(&mut self) -> &[u128] {
        let Self { active, segments, .. } = self;
        active.retain(|swarm| segments.get(swarm).is_some_and(|s| s.changed || !s.motion.asleep));
        &self.active
    }

    /// A swarm that is due for a step; `None` when it sleeps or is gone. Marks it as moved, to be published.
    pub fn awake_mut(&mut self, swarm: u128) -> Option<AwakeSegment<'_>> {
        let segment = self.segments.get_mut(&swarm).filter(|segment| !segment.motion.asleep)?;
        let body = self.columns.body(segment.range())?;
        (segment.changed, segment.moved) = (true, true);
        Some(AwakeSegment {
            body,
            field: &segment.field,
            params: &segment.params,
            motion: &mut segment.motion,
            offset: segment.span.start,
            edition: segment.edition,
        })
    }

    /// Has every swarm published once more, also those at rest, as for a reader that has just come.
    pub fn publish_all(&mut self) {
        for segment in self.segments.values_mut() {
            segment.changed = true;
        }
        self.active = self.segments.keys().copied().collect();
    }

    /// Copies a swarm into a tick when it changed since it was last published.
    pub(crate) fn publish_into(&mut self, swarm: u128, tick: &mut Tick) {
        let Some(segment) = self.segments.get_mut(&swarm).filter(|segment| segment.changed) else { return };
        let range = segment.range();
        let Some(([x, y, z], slots)) = self.columns.positions(range.clone()).zip(self.slots.get(range))
        else {
            return;
        };
        tick.segments.push(TickSegment {
            swarm,
            revision: segment.revision,
            start: tick.slots.len(),
            len: slots.len(),
            moved: segment.moved,
            asleep: segment.motion.asleep,
        });
        (segment.changed, segment.moved) = (false, false);
        tick.slots.extend_from_slice(slots);
        for (axis, values) in [(&mut tick.x, x), (&mut tick.y, y), (&mut tick.z, z)] {
            axis.extend_from_slice(values);
        }
    }

    fn set_graph(
        &mut self,
        swarm: u128,
        revision: u32,
        graph: LayoutGraph,
        params: ForceParams,
        start: Vec<(u32, Vec3)>,
    ) -> Result<Applied, EditError> {
        if let Some(segment) =
            self.segments.get_mut(&swarm).filter(|s| s.graph == graph && s.params == params)
        {
            if segment.revision == revision {
                return Ok(Applied::Unchanged);
            }
            (segment.revision, segment.changed) = (revision, true);
            self.activate(swarm);
            return Ok(Applied::Relabelled);
        }
        let old = self.segments.get(&swarm);
        let wanted = self.nodes - old.map_or(0, |s| s.graph.nodes().len()) + graph.nodes().len();
        if wanted > WORLD_NODES_MAX {
            return Err(EditError::Full { wanted, max: WORLD_NODES_MAX });
        }
        let motion = next_motion(old, &graph);
        let rest: BTreeMap<u32, Vec3> = start.into_iter().filter(|(_, at)| is_sound(*at)).collect();
        let before = self.states(swarm);
        let known: Vec<Option<Vec3>> = (graph.nodes().iter())
            .map(|node| before.get(&node.slot).map(|(at, _)| *at).or_else(|| rest.get(&node.slot).copied()))
            .collect();
        let motion = motion.unwrap_or_else(|| Motion::new(first_heat(&known)));
        let targets = placement::targets(&graph, &params, &known);
        let places = if known.iter().all(Option::is_none) {
            placement::seeds(&graph, &params, swarm)
        } else {
            placement::place_newcomers(&graph, &params, swarm, &targets, &known)
        };
        let field = Field::new(&graph, &params, placement::extent(&targets));

        let span = self.fit(swarm, graph.nodes().len());
        let nodes = graph.nodes().iter();
        let rows = nodes.clone().zip(places).zip(targets).map(|((node, at), target)| Row {
            at,
            velocity: match (node.pinned, before.get(&node.slot)) {
                (None, Some((_, velocity))) => *velocity,
                (Some(_), _) | (None, None) => [0.0; 3],
            },
            mass: node.mass,
            free: f32::from(u8::from(node.pinned.is_none())),
            target,
        });
        self.columns.write(span.start, rows);
        for (place, node) in self.slots.iter_mut().skip(span.start).zip(nodes) {
            *place = node.slot;
        }
        self.nodes = wanted;
        self.edits += 1;
        let edition = self.edits;
        let segment =
            Segment { graph, params, field, revision, span, motion, edition, changed: true, moved: true };
        let replaced = self.segments.insert(swarm, segment);
        self.activate(swarm);
        self.compact_if_worth_it();
        Ok(if replaced.is_some() { Applied::Changed } else { Applied::Created })
    }

    fn pin(&mut self, swarm: u128, slot: u32, at: Option<Vec3>) -> Result<Applied, EditError> {
        let segment = self.segments.get_mut(&swarm).ok_or(EditError::UnknownSwarm { swarm })?;
        let changed = segment.graph.pin(slot, at).map_err(|source| EditError::Graph { swarm, source })?;
        let index = segment.graph.nodes().iter().position(|node| node.slot == slot);
        let (Some(changed), Some(index)) = (changed, index) else {
            return Err(EditError::UnknownSlot { swarm, slot });
        };
        if !changed {
            return Ok(Applied::Unchanged);
        }
        self.columns.pin(segment.span.start + index, at);
        self.edits += 1;
        (segment.edition, segment.changed, segment.moved) = (self.edits, true, true);
        segment.motion.wake(ALPHA_TUNE);
        self.activate(swarm);
        Ok(Applied::Changed)
    }

    fn remove(&mut self, swarm: u128) -> Applied {
        let Some(segment) = self.segments.remove(&swarm) else { return Applied::Unchanged };
        self.nodes -= segment.graph.nodes().len();
        self.spans.give(segment.span);
        if let Ok(index) = self.active.binary_search(&swarm) {
            self.active.remove(index);
        }
        self.compact_if_worth_it();
        Applied::Removed
    }

    fn activate(&mut self, swarm: u128) {
        if let Err(index) = self.active.binary_search(&swarm) {
            self.active.insert(index, swarm);
        }
    }

    /// Sound positions and velocities of a swarm's nodes by slot.
    fn states(&self, swarm: u128) -> BTreeMap<u32, (Vec3, Vec3)> {
        let Some(range) = self.segments.get(&swarm).map(Segment::range) else { return BTreeMap::new() };
        let columns = self.columns.positions(range.clone()).zip(self.columns.velocities(range.clone()));
        let Some(([x, y, z], [vx, vy, vz])) = columns else { return BTreeMap::new() };
        let at = x.iter().zip(y).zip(z).map(|((x, y), z)| [*x, *y, *z]);
        let velocity = vx.iter().zip(vy).zip(vz).map(|((x, y), z)| [*x, *y, *z]);
        let slots = self.slots.get(range).unwrap_or_default();
        let states = slots.iter().copied().zip(at.zip(velocity));
        states.filter(|(_, (at, velocity))| is_sound(*at) && is_sound(*velocity)).collect()
    }

    /// A span for `nodes` nodes of a swarm: the one it has when that fits, else another.
    fn fit(&mut self, swarm: u128, nodes: usize) -> Span {
        let old = self.segments.get(&swarm).map(|segment| segment.span).unwrap_or_default();
        let roomy = (nodes + nodes / SLACK_SHARE + 1).next_multiple_of(SPAN_STEP);
        if nodes <= old.len && old.len <= roomy.saturating_mul(FILL_SHARE_MIN) {
            return old;
        }
        self.spans.give(old);
        let span = self.spans.take(roomy);
        if self.slots.len() < self.spans.end() {
            self.columns.grow(self.spans.end());
            self.slots.resize(self.spans.end(), 0);
            self.layout_version += 1;
        }
        span
    }

    /// Moves all spans together when more than half of the columns is unused.
    fn compact_if_worth_it(&mut self) {
        let (wasted, end) = (self.spans.wasted(), self.spans.end());
        if wasted < WASTE_MIN || wasted <= end / 2 {
            return;
        }
        let mut order: Vec<&mut Segment> = self.segments.values_mut().filter(|s| s.span.len > 0).collect();
        order.sort_by_key(|segment| segment.span.start);
        let mut next = 0;
        for segment in order {
            let Span { start, len } = segment.span;
            self.columns.shift(start, next, len);
            self.slots.copy_within(start..start + len, next);
            segment.span.start = next;
            next += len;
        }
        self.spans.compacted(next);
        self.columns.shrink(next);
        self.slots.truncate(next);
        self.layout_version += 1;
    }
}
