//! What edits, batches, the CPU backend and ticks promise, case by case.

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::layout::{
    ForceParams, ForceSettings, GraphError, LayoutGraph, LinkSpec, NodeSpec, Shape, Vec3, is_sound,
};

/// A ring of the given slots.
fn ring(slots: impl IntoIterator<Item = u32>) -> LayoutGraph {
    shaped(slots, Shape::Ring)
}

pub(super) fn shaped(slots: impl IntoIterator<Item = u32>, shape: Shape) -> LayoutGraph {
    let nodes: Vec<_> =
        slots.into_iter().enumerate().map(|(i, slot)| NodeSpec::new(slot, u16::from(i > 0))).collect();
    let n = u32::try_from(nodes.len()).unwrap();
    let links = (0..n).map(|a| LinkSpec { a, b: (a + 1) % n, weight: 1.0 }).filter(|l| l.a != l.b).collect();
    LayoutGraph::new(nodes, links, shape).unwrap()
}

pub(super) fn set(swarm: u128, revision: u32, graph: LayoutGraph) -> Edit {
    Edit::SetGraph { swarm, revision, graph, params: ForceParams::default(), start: None }
}

pub(super) fn points(world: &World, swarm: u128) -> BTreeMap<u32, Vec3> {
    let p = world.positions(swarm).unwrap();
    p.slots.iter().zip(p.x).zip(p.y).zip(p.z).map(|(((slot, x), y), z)| (*slot, [*x, *y, *z])).collect()
}

pub(super) fn bits(world: &World) -> Vec<(u128, u32, [u32; 3])> {
    let of =
        |swarm| points(world, swarm).into_iter().map(move |(slot, at)| (swarm, slot, at.map(f32::to_bits)));
    world.swarms().flat_map(of).collect()
}

/// One frame without publishing.
pub(super) fn step(world: &mut World, backend: &mut dyn ForceBackend) -> StepStats {
    let mut batches = Batches::new(64, 1);
    batches.plan(world);
    let mut sum = StepStats::default();
    for batch in batches.iter() {
        let stats = backend.step(world, &batch).unwrap();
        sum.swarms += stats.swarms;
        sum.pairs += stats.pairs;
        sum.fell_asleep += stats.fell_asleep;
    }
    sum
}

/// Frames until everything sleeps, publishing each; gives the last tick of each swarm.
fn settle(world: &mut World, publisher: &mut Publisher) -> BTreeMap<u128, (TickSegment, Arc<Tick>)> {
    let (mut backend, mut batches, mut last) = (CpuBackend::new(), Batches::new(2, 1), BTreeMap::new());
    for _ in 0..crate::layout::SETTLE_TICKS_MAX {
        batches.plan(world);
        if batches.is_empty() {
            return last;
        }
        for batch in batches.iter() {
            backend.step(world, &batch).unwrap();
            let tick = publisher.publish(world, &batch).expect("an active swarm has something to publish");
            last.extend(tick.segments.iter().map(|segment| (segment.swarm, (*segment, Arc::clone(&tick)))));
        }
    }
    panic!("still awake: {:?}", world.active());
}

#[test]
fn setting_the_same_graph_again_changes_nothing_and_wakes_nobody() {
    let mut world = World::new();
    assert_eq!(world.apply(set(1, 4, ring(0..9))), Ok(Applied::Created));
    settle(&mut world, &mut Publisher::new());
    let before = bits(&world);
    assert_eq!(world.apply(set(1, 4, ring(0..9))), Ok(Applied::Unchanged));
    assert_eq!(
        world.apply(Edit::SetParams { swarm: 1, params: ForceParams::default() }),
        Ok(Applied::Unchanged)
    );
    assert_eq!(world.apply(Edit::Pin { swarm: 1, slot: 3, at: None }), Ok(Applied::Unchanged));
    assert!(world.active().is_empty());
    assert_eq!(bits(&world), before);
}

#[test]
fn a_sleeping_swarm_costs_nothing() {
    let mut world = World::new();
    world.apply(set(1, 0, ring(0..9))).unwrap();
    settle(&mut world, &mut Publisher::new());
    world.apply(set(2, 0, ring(0..5))).unwrap();
    let stats = step(&mut world, &mut CpuBackend::new());
    assert_eq!((stats.swarms, stats.pairs), (1, 25), "only the new swarm is stepped");
    settle(&mut world, &mut Publisher::new());
    assert_eq!(step(&mut world, &mut CpuBackend::new()), StepStats::default());
    assert_eq!(world.apply(Edit::Wake { swarm: 1 }), Ok(Applied::Changed));
    assert_eq!(step(&mut world, &mut CpuBackend::new()).pairs, 81);
}

#[test]
fn a_new_revision_of_the_same_graph_is_published_once_and_does_not_step() {
    let (mut world, mut publisher) = (World::new(), Publisher::new());
    world.apply(set(1, 4, ring(0..9))).unwrap();
    let last = settle(&mut world, &mut publisher);
    let (segment, _) = last[&1];
    assert_eq!(
        (segment.revision, segment.moved, segment.asleep),
        (4, true, true),
        "falling asleep is published"
    );
    assert_eq!(world.apply(set(1, 5, ring(0..9))), Ok(Applied::Relabelled));
    let mut batches = Batches::new(1, 1);
    batches.plan(&mut world);
    let batch = batches.get(0).unwrap();
    assert_eq!(CpuBackend::new().step(&mut world, &batch).unwrap(), StepStats::default());
    let tick = publisher.publish(&mut world, &batch).unwrap();
    let segment = tick.segments[0];
    assert_eq!((segment.revision, segment.moved, segment.asleep), (5, false, true));
    assert_eq!(publisher.publish(&mut world, &batch).map(|tick| tick.number), None);
    assert!(world.active().is_empty());
    assert_eq!(
        frame(&mut world, &mut publisher).number,
        tick.number + 1,
        "nothing published takes no number"
    );
}

#[test]
fn every_edit_that_changes_something_wakes() {
    let mut world = World::new();
    world.apply(set(1, 0, ring(0..9))).unwrap();
    let mut other = ForceSettings::default();
    other.link_distance += 5.0;
    let edits = [
        set(1, 1, ring(0..10)),
        set(1, 2, ring(1..10)),
        set(1, 3, shaped(1..10, Shape::Star)),
        Edit::SetParams { swarm: 1, params: ForceParams::new(other).unwrap() },
        Edit::Pin { swarm: 1, slot: 4, at: Some([9.0, 8.0, 7.0]) },
        Edit::Pin { swarm: 1, slot: 4, at: None },
    ];
    for edit in edits {
        settle(&mut world, &mut Publisher::new());
        assert_eq!(world.apply(edit.clone()), Ok(Applied::Changed), "{edit:?}");
        let motion = world.status(1).unwrap().motion;
        assert!(!motion.asleep && motion.alpha >= 0.1, "{edit:?} {motion:?}");
        assert_eq!(world.active(), [1]);
    }
}

#[test]
fn a_pin_holds_to_the_bit_and_its_release_lets_go() {
    let (mut world, at) = (World::new(), [123.25, -7.5, 40.0]);
    world.apply(set(1, 0, ring(0..12))).unwrap();
    world.apply(Edit::Pin { swarm: 1, slot: 5, at: Some(at) }).unwrap();
    settle(&mut world, &mut Publisher::new());
    assert_eq!(points(&world, 1)[&5].map(f32::to_bits), at.map(f32::to_bits));
    let (graph, params) = world.graph(1).map(|(graph, params)| (graph.clone(), *params)).unwrap();
    let again = Edit::SetGraph { swarm: 1, revision: 0, graph, params, start: None };
    assert_eq!(world.apply(again), Ok(Applied::Unchanged), "a pin is part of the graph");
    world.apply(Edit::Pin { swarm: 1, slot: 5, at: None }).unwrap();
    settle(&mut world, &mut Publisher::new());
    assert_ne!(points(&world, 1)[&5].map(f32::to_bits), at.map(f32::to_bits));
}

fn velocities(world: &mut World, swarm: u128) -> Vec<[u32; 3]> {
    let body = world.awake_mut(swarm).unwrap().body;
    let all = body.vx.iter().zip(&*body.vy).zip(&*body.vz);
    all.map(|((x, y), z)| [x.to_bits(), y.to_bits(), z.to_bits()]).collect()
}

#[test]
fn an_edit_in_flight_keeps_velocities_and_a_pin_stops_its_node() {
    let mut world = World::new();
    world.apply(set(1, 0, shaped(0..9, Shape::Star))).unwrap();
    (0..3).for_each(|_| assert_eq!(step(&mut world, &mut CpuBackend::new()).swarms, 1));
    let before = velocities(&mut world, 1);
    assert!(before.iter().all(|v| *v != [0; 3]));
    world.apply(set(1, 1, shaped(0..9, Shape::Mesh))).unwrap();
    assert_eq!(velocities(&mut world, 1), before);
    world.apply(Edit::Pin { swarm: 1, slot: 2, at: Some([1.0; 3]) }).unwrap();
    let after = velocities(&mut world, 1);
    assert_eq!((after[2], &after[3..]), ([0; 3], &before[3..]));
}

#[test]
fn edits_of_what_is_not_there_are_refused_and_change_nothing() {
    let mut world = World::new();
    world.apply(set(1, 0, ring(0..4))).unwrap();
    let before = bits(&world);
    let unknown = Err(EditError::UnknownSwarm { swarm: 7 });
    assert_eq!(world.apply(Edit::Wake { swarm: 7 }), unknown);
    assert_eq!(world.apply(Edit::Pin { swarm: 7, slot: 0, at: None }), unknown);
    assert_eq!(world.apply(Edit::SetParams { swarm: 7, params: ForceParams::default() }), unknown);
    assert_eq!(world.apply(Edit::Remove { swarm: 7 }), Ok(Applied::Unchanged));
    let slot = Err(EditError::UnknownSlot { swarm: 1, slot: 99 });
    assert_eq!(world.apply(Edit::Pin { swarm: 1, slot: 99, at: Some([0.0; 3]) }), slot);
    let far = world.apply(Edit::Pin { swarm: 1, slot: 0, at: Some([f32::NAN, 0.0, 0.0]) });
    assert_eq!(far, Err(EditError::Graph { swarm: 1, source: GraphError::Pin { slot: 0 } }));
    assert_eq!(bits(&world), before);
}

#[test]
fn restored_positions_are_taken_up_where_sound_and_hardly_move() {
    let mut first = World::new();
    first.apply(set(1, 0, ring(0..20))).unwrap();
    settle(&mut first, &mut Publisher::new());
    let saved: Vec<(u32, Vec3)> = points(&first, 1).into_iter().collect();
    let restore = |start: Vec<(u32, Vec3)>| {
        let mut world = World::new();
        let params = ForceParams::default();
        world
            .apply(Edit::SetGraph { swarm: 1, revision: 0, graph: ring(0..20), params, start: Some(start) })
            .unwrap();
        world
    };
    let mut second = restore(saved.clone());
    assert!(second.status(1).unwrap().motion.alpha < 0.1, "restored swarms are not thrown about");
    assert_eq!(bits(&first), bits(&second));
    settle(&mut second, &mut Publisher::new());
    for (slot, at) in points(&second, 1) {
        let moved = (0..3).map(|c| (at[c] - saved[slot as usize].1[c]).abs()).fold(0.0, f32::max);
        assert!(moved < 1.0, "slot {slot} moved by {moved}");
    }
    let mut broken = saved;
    (broken[3].1, broken[4].0) = ([f32::NAN, 1e30, 0.0], 1000);
    let third = restore(broken);
    assert!(points(&third, 1).into_values().all(is_sound));
}

#[test]
fn batches_hold_at_most_their_size_and_cover_every_active_swarm_once() {
    let mut world = World::new();
    for swarm in 0..130 {
        world.apply(set(swarm * 3, 0, ring(0..2))).unwrap();
    }
    let mut batches = Batches::new(64, 99);
    batches.plan(&mut world);
    let sizes: Vec<_> =
        batches.iter().map(|batch| (batch.phase.index, batch.phase.count, batch.swarms.len())).collect();
    assert_eq!(sizes, [(0, 3, 64), (1, 3, 64), (2, 3, 2)]);
    assert!(batches.iter().all(|batch| batch.steps == STEPS_MAX));
    let all: Vec<u128> = batches.iter().flat_map(|batch| batch.swarms.to_vec()).collect();
    assert_eq!(all, world.swarms().collect::<Vec<_>>());
    assert_eq!(batches.get(3), None);
    assert_eq!([1, 30, 60, 240].map(steps_for_rate), [16, 2, 1, 1]);
    assert_eq!(steps_for_rate(0), 16);
}

#[test]
fn a_batch_passes_over_swarms_that_are_gone() {
    let mut world = World::new();
    world.apply(set(1, 0, ring(0..3))).unwrap();
    world.apply(set(2, 0, ring(0..3))).unwrap();
    let mut batches = Batches::new(8, 1);
    batches.plan(&mut world);
    world.apply(Edit::Remove { swarm: 1 }).unwrap();
    let batch = batches.get(0).unwrap();
    assert_eq!(CpuBackend::new().step(&mut world, &batch).unwrap().swarms, 1);
    let tick = Publisher::new().publish(&mut world, &batch).unwrap();
    assert_eq!(tick.segments.iter().map(|segment| segment.swarm).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_batch_of_several_steps_is_the_same_as_as_many_frames() {
    let run = |steps: u32, frames: u32| {
        let mut world = World::new();
        world.apply(set(5, 0, shaped(0..15, Shape::Star))).unwrap();
        let (mut batches, mut backend) = (Batches::new(4, steps), CpuBackend::new());
        for _ in 0..frames {
            batches.plan(&mut world);
            backend.step(&mut world, &batches.get(0).unwrap()).unwrap();
        }
        bits(&world)
    };
    assert_eq!(run(4, 5), run(1, 20));
}

/// Wakes, steps and publishes all swarms of a world.
fn frame(world: &mut World, publisher: &mut Publisher) -> Arc<Tick> {
    for swarm in world.swarms().collect::<Vec<_>>() {
        world.apply(Edit::Wake { swarm }).unwrap();
    }
    let mut batches = Batches::new(8, 1);
    batches.plan(world);
    let batch = batches.get(0).unwrap();
    CpuBackend::new().step(world, &batch).unwrap();
    publisher.publish(world, &batch).unwrap()
}

#[test]
fn ticks_hold_what_the_world_holds_and_are_reused_once_read() {
    let (mut world, mut publisher) = (World::new(), Publisher::new());
    world.apply(set(1, 6, ring([4, 9, 2]))).unwrap();
    world.apply(set(2, 7, ring(10..30))).unwrap();
    for number in 1..100 {
        let tick = frame(&mut world, &mut publisher);
        assert_eq!((tick.number, tick.segments.len(), tick.slots.len()), (number, 2, 23));
        for segment in &tick.segments {
            assert_eq!(tick.positions(segment), world.positions(segment.swarm));
        }
    }
    assert_eq!(publisher.allocated(), 1, "nobody kept a tick");
    let kept: Vec<_> = (0..3).map(|_| frame(&mut world, &mut publisher)).collect();
    let seen: Vec<_> = kept.iter().map(|tick| (tick.number, tick.x.clone())).collect();
    for _ in 0..20 {
        frame(&mut world, &mut publisher);
    }
    assert_eq!(publisher.allocated(), 4, "three are kept, one goes round");
    assert!(
        kept.iter().zip(seen).all(|(tick, (number, x))| tick.number == number && tick.x == x),
        "never rewritten"
    );
}

#[test]
fn a_reader_that_keeps_everything_does_not_grow_the_pool() {
    let (mut world, mut publisher) = (World::new(), Publisher::new());
    world.apply(set(1, 0, ring(0..3))).unwrap();
    let kept: Vec<_> = (0..3 * POOL_MAX).map(|_| frame(&mut world, &mut publisher)).collect();
    assert!(kept.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
    let held = kept.iter().filter(|tick| Arc::strong_count(tick) > 1).count();
    assert!(held <= POOL_MAX, "{held}");
}

#[test]
fn removing_most_of_a_large_world_gives_its_places_back() {
    let mut world = World::new();
    for swarm in 0..40_u32 {
        world.apply(set(swarm.into(), 0, ring(swarm * 400..swarm * 400 + 400))).unwrap();
    }
    let (places, version) = (world.places(), world.layout_version());
    let kept = points(&world, 33);
    for swarm in (0..40).filter(|swarm| *swarm != 33) {
        world.apply(Edit::Remove { swarm }).unwrap();
    }
    assert!(world.places() < places / 4 && world.layout_version() > version, "{}", world.places());
    assert_eq!((points(&world, 33), world.nodes()), (kept, 400));
}

#[test]
fn the_probe_says_truthfully_what_it_chose() {
    for (preference, fell_back) in
        [(Preference::Auto, false), (Preference::Cpu, false), (Preference::Cuda, true)]
    {
        let chosen = probe(preference);
        assert_eq!((chosen.backend.name(), chosen.fell_back), ("cpu", fell_back), "{chosen:?}");
        assert!(chosen.backend.describe().contains(std::env::consts::ARCH));
    }
    assert!(probe(Preference::Auto).reason.contains("no CUDA kernels"));
}
