//! The world against a simple model under random edits.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    tests::{bits, points, set, shaped, step},
    *,
};
use crate::layout::{Shape, Vec3, is_sound};

/// Random edits over a few swarms.
#[derive(Clone, Debug)]
enum Op {
    Set { swarm: u128, slots: Vec<u32>, shape: Shape },
    Remove(u128),
    Pin { swarm: u128, slot: u32, at: Option<Vec3> },
    Step,
}

fn op() -> impl Strategy<Value = Op> {
    let shape = prop::sample::select(vec![Shape::Mesh, Shape::Hierarchical, Shape::Ring, Shape::Star]);
    let slots =
        prop::collection::btree_set(0_u32..40, 0..40).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let at = prop::option::of([-90.0_f32..90.0, -90.0_f32..90.0, -90.0_f32..90.0]);
    prop_oneof![
        4 => (0_u128..6, slots.prop_shuffle(), shape).prop_map(|(swarm, slots, shape)| Op::Set { swarm, slots, shape }),
        1 => (0_u128..6).prop_map(Op::Remove),
        1 => (0_u128..6, 0_u32..40, at).prop_map(|(swarm, slot, at)| Op::Pin { swarm, slot, at }),
        2 => Just(Op::Step),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// The model: which slots each swarm has. Edits never move anybody but newcomers and the pinned, and
    /// never touch other swarms.
    #[test]
    fn the_world_agrees_with_a_simple_model(ops in prop::collection::vec(op(), 1..60)) {
        let (mut world, mut model, mut backend) = (World::new(), BTreeMap::<u128, Vec<u32>>::new(), CpuBackend::new());
        for (revision, op) in (0..).zip(ops) {
            let before: BTreeMap<_, _> = world.swarms().map(|swarm| (swarm, points(&world, swarm))).collect();
            let mut touched = None;
            match op.clone() {
                Op::Set { swarm, slots, shape } => {
                    let applied = world.apply(set(swarm, revision, shaped(slots.clone(), shape))).unwrap();
                    prop_assert_eq!(applied == Applied::Created, !model.contains_key(&swarm));
                    prop_assert_eq!(world.status(swarm).unwrap().revision, revision);
                    prop_assert!(world.active().contains(&swarm));
                    model.insert(swarm, slots);
                    touched = Some(swarm);
                }
                Op::Remove(swarm) => {
                    let removed = world.apply(Edit::Remove { swarm }).unwrap() == Applied::Removed;
                    prop_assert_eq!(removed, model.remove(&swarm).is_some());
                    prop_assert_eq!(world.positions(swarm), None);
                }
                Op::Pin { swarm, slot, at } => {
                    let known = model.get(&swarm).is_some_and(|slots| slots.contains(&slot));
                    prop_assert_eq!(world.apply(Edit::Pin { swarm, slot, at }).is_ok(), known);
                    if let (true, Some(at)) = (known, at) {
                        prop_assert_eq!(points(&world, swarm)[&slot].map(f32::to_bits), at.map(f32::to_bits));
                        continue;
                    }
                }
                Op::Step => {
                    step(&mut world, &mut backend);
                    continue;
                }
            }
            prop_assert_eq!(world.nodes(), model.values().map(Vec::len).sum::<usize>());
            prop_assert!(world.swarms().eq(model.keys().copied()));
            for (swarm, slots) in &model {
                prop_assert_eq!(world.positions(*swarm).unwrap().slots, &slots[..], "after {:?}", &op);
                let now = points(&world, *swarm);
                prop_assert!(now.values().copied().all(is_sound));
                for (slot, at) in before.get(swarm).into_iter().flatten().filter(|(slot, _)| now.contains_key(slot)) {
                    prop_assert_eq!(now[slot].map(f32::to_bits), at.map(f32::to_bits), "slot {} of {} (edited {:?})", slot, swarm, touched);
                }
            }
        }
    }

    /// The same edits and steps give the same bits.
    #[test]
    fn the_world_is_deterministic(ops in prop::collection::vec(op(), 1..40)) {
        let run = || {
            let (mut world, mut backend) = (World::new(), CpuBackend::new());
            for (revision, op) in (0..).zip(ops.clone()) {
                let applied = match op {
                    Op::Set { swarm, slots, shape } => world.apply(set(swarm, revision, shaped(slots, shape))),
                    Op::Remove(swarm) => world.apply(Edit::Remove { swarm }),
                    Op::Pin { swarm, slot, at } => world.apply(Edit::Pin { swarm, slot, at }),
                    Op::Step => Ok(Applied::Unchanged),
                };
                if applied == Ok(Applied::Unchanged) {
                    step(&mut world, &mut backend);
                }
            }
            bits(&world)
        };
        prop_assert_eq!(run(), run());
    }
}
