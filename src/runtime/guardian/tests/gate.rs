//! At most four recoveries at once.

use super::*;
use crate::runtime::scope::Scope;

/// Probes that share a store and crash together; their recoveries take `load_takes`, their first starts no time.
async fn crashed_together(count: usize, load_takes: Duration) -> (Vec<Rig>, Stored) {
    let store = Stored::default();
    let start = || Rig::on(&Arbiter::current(), exact(), Arc::clone(&store));
    let mut rigs: Vec<_> = (0..count).map(|_| start()).collect();
    for rig in &rigs {
        rig.handle.tell(Break(Place::Handler)).unwrap();
        rig.handle.tell(Add(1)).unwrap();
    }
    for rig in &mut rigs {
        assert_eq!(rig.next().await, restarting(panicked("Handler"), 100));
    }
    let changed = Arc::clone(&store);
    let mut changed = changed.lock();
    changed.load_takes = load_takes;
    changed.loading_most = 0;
    changed.starts.clear();
    (rigs, store)
}

#[actix::test]
async fn recoveries_are_spread() {
    pause();
    let leaks = LeakCheck::expecting_panics(10);
    let (rigs, store) = crashed_together(10, Duration::from_secs(1)).await;
    eventually("all are back", Duration::from_secs(10), || store.lock().order.len() == 10).await;
    assert_eq!(store.lock().loading_most, RECOVERIES_MAX);
    let starts = store.lock().starts.clone();
    let rounds: Vec<_> = starts.iter().map(|at| at.duration_since(starts[0]).as_secs()).collect();
    assert_eq!(rounds, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
    drop(rigs);
    leaks.finish().await;
}

#[actix::test]
async fn a_recovery_without_an_end_does_not_block_the_others_for_ever() {
    pause();
    let (rigs, store) = crashed_together(5, Duration::from_secs(100_000)).await;
    eventually("the fifth recovers", Duration::from_secs(40), || store.lock().starts.len() == 5).await;
    let starts = store.lock().starts.clone();
    let waited = starts[4].duration_since(starts[0]);
    assert!(waited >= RECOVERY_HOLD_MAX && waited < RECOVERY_HOLD_MAX + ms(5), "{waited:?}");
    drop(rigs);
}

#[actix::test]
async fn a_failed_recovery_gives_its_permit_back() {
    pause();
    let leaks = LeakCheck::expecting_panics(4);
    let (rigs, store) = crashed_together(4, ms(10)).await;
    store.lock().loads_failing = 12;
    eventually("all are back", Duration::from_secs(10), || store.lock().order.len() == 4).await;
    assert_eq!(store.lock().starts.len(), 16);
    assert_eq!(Scope::current().gate.available_permits(), RECOVERIES_MAX);
    drop(rigs);
    leaks.finish().await;
}
