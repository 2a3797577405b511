//! Failures of every kind are followed by the same restart.

use super::*;
use crate::runtime::counted::Counted;

#[actix::test]
async fn a_panic_anywhere_in_the_actor_restarts_it() {
    pause();
    let places = [Place::Handler, Place::Interval, Place::Spawned, Place::Wait];
    let leaks = LeakCheck::expecting_panics(places.len());
    for place in places {
        let mut rig = Rig::start();
        assert_eq!(rig.add(5).await, Ok(5));
        let answer = rig.fail(place).await;
        // a panic after the handler has answered does not take the answer back
        assert_eq!(answer, if place == Place::Handler { Err(CallError::Crashed) } else { Ok(()) });
        assert_eq!(rig.next().await, restarting(panicked(&format!("{place:?}")), 100));
        assert!(rig.handle.connected());
        assert_eq!(rig.add(1).await, Ok(6), "{place:?}: the torn state is gone, the stored one is back");
        assert_eq!(rig.starts(), 2);
        assert_eq!(rig.end().await, [FINISHED]);
    }
    leaks.finish().await;
}

#[actix::test]
async fn a_panic_in_an_atomic_answer_restarts_it() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let mut rig = Rig::start();
    let asked = Instant::now();
    assert_eq!(rig.handle.ask(PanicAtomic, soon()).await, Err(CallError::Crashed));
    assert!(asked.elapsed() < ms(50), "told at the crash, not after the backoff");
    assert_eq!(rig.next().await, restarting(panicked("atomic"), 100));
    assert_eq!(rig.add(1).await, Ok(1));
    assert_eq!(rig.end().await, [FINISHED]);
    leaks.finish().await;
}

#[actix::test]
async fn a_panic_in_a_detached_answer_loses_only_that_answer() {
    pause();
    let leaks = LeakCheck::new();
    let rig = Rig::start();
    assert_eq!(rig.handle.ask(PanicDetached, soon()).await, Err(CallError::Crashed));
    assert_eq!(rig.add(1).await, Ok(1));
    assert_eq!(rig.starts(), 1);
    assert_eq!(rig.end().await, [FINISHED]);
    leaks.finish().await;
}

#[actix::test]
async fn a_crash_frees_everybody_who_waits_for_the_actor() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let rig = Rig::start();
    let waiter = rig.handle.clone();
    let waiting = actix::spawn(async move {
        let asked = Instant::now();
        (waiter.ask(Never, soon()).await, asked.elapsed())
    });
    eventually("the ask is under way", ms(100), || rig.handle.asking() == 1).await;
    assert_eq!(rig.fail(Place::Handler).await, Err(CallError::Crashed));
    let (answer, after) = waiting.await.unwrap();
    assert_eq!(answer, Err(CallError::Crashed));
    assert!(after < ms(50), "{after:?}: at the crash, not after the backoff");
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn a_declared_fault_restarts_and_is_forgotten() {
    pause();
    let leaks = LeakCheck::new();
    let mut rig = Rig::start();
    assert_eq!(rig.fail(Place::Fault).await, Ok(()));
    assert_eq!(rig.next().await, restarting(Exit::Fault("planned".to_owned()), 100));
    assert_eq!(rig.add(2).await, Ok(2));
    // a later stop without a word is a normal end
    assert_eq!(rig.fail(Place::Stop).await, Ok(()));
    assert_eq!(rig.next().await, FINISHED);
    assert!(rig.end().await.is_empty());
    leaks.finish().await;
}

#[actix::test]
async fn a_word_before_a_panic_does_not_explain_a_later_stop() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let mut rig = Rig::start();
    assert_eq!(rig.fail(Place::FaultThenPanic).await, Err(CallError::Crashed));
    assert_eq!(rig.next().await, restarting(panicked("FaultThenPanic"), 100));
    assert_eq!(rig.fail(Place::Stop).await, Ok(()));
    assert_eq!(rig.next().await, FINISHED);
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn restarts_panics_and_ends_are_counted() {
    pause();
    let counted = Counted::default();
    let _recording = metrics::set_default_local_recorder(&counted);
    let leaks = LeakCheck::expecting_panics(3);
    let policy = RestartPolicy { max_restarts: 2, ..exact() };
    let mut rig = Rig::with(&Arbiter::current(), policy, Store::default());
    for _ in 0..3 {
        rig.handle.tell(Break(Place::Handler)).unwrap();
    }
    while !matches!(rig.next().await, ChildEvent::GaveUp { .. }) {}
    rig.end().await;
    leaks.finish().await;
    assert_eq!(counted.get("visionflow_actor_panics_total", "Probe"), 3);
    assert_eq!(counted.get("visionflow_actor_restarts_total", "Probe"), 2);
    assert_eq!(counted.get("visionflow_actor_gave_up_total", "Probe"), 1);
}

#[actix::test]
async fn a_panic_while_rebuilding_is_tried_again_after_the_pause() {
    pause();
    let leaks = LeakCheck::expecting_panics(2);
    let mut rig = Rig::start();
    rig.store.lock().rebuilds_panicking = 1;
    assert_eq!(rig.fail(Place::Handler).await, Err(CallError::Crashed));
    assert_eq!(rig.next().await, restarting(panicked("Handler"), 100));
    assert_eq!(rig.add(1).await, Ok(1));
    assert_eq!(rig.starts(), 2);
    assert_eq!(rig.end().await, [FINISHED]);
    leaks.finish().await;
}

#[actix::test]
async fn an_actor_that_cannot_be_rebuilt_is_given_up() {
    pause();
    // one in the handler, one each in two rebuilds at once, one each in two rebuilds after the pause
    let leaks = LeakCheck::expecting_panics(5);
    let policy = RestartPolicy { max_restarts: 2, ..exact() };
    let mut rig = Rig::with(&Arbiter::current(), policy, Store::default());
    rig.store.lock().rebuilds_panicking = usize::MAX;
    assert_eq!(rig.fail(Place::Handler).await, Err(CallError::Crashed));
    assert_eq!(rig.next().await, restarting(panicked("Handler"), 100));
    assert_eq!(rig.next().await, restarting(panicked("restarting"), 200));
    assert_eq!(rig.next().await, ChildEvent::GaveUp { id: 7, why: panicked("restarting") });
    assert_eq!(rig.add(1).await, Err(CallError::Gone));
    assert_eq!(rig.starts(), 1);
    assert!(rig.end().await.is_empty());
    leaks.finish().await;
}

#[actix::test]
async fn a_failing_recovery_backs_off_and_tries_again() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let mut rig = Rig::start();
    assert_eq!(rig.add(3).await, Ok(3));
    rig.store.lock().loads_failing = 2;
    assert_eq!(rig.fail(Place::Handler).await, Err(CallError::Crashed));
    let queued = rig.handle.clone();
    let queued = actix::spawn(async move { queued.ask(Add(4), soon()).await });
    let down = || Exit::Fault("store is down".to_owned());
    assert_eq!(rig.next().await, restarting(panicked("Handler"), 100));
    assert_eq!(rig.next().await, restarting(down(), 200));
    assert_eq!(rig.next().await, restarting(down(), 400));
    assert_eq!(queued.await.unwrap(), Ok(7), "the queue survives three restarts");
    assert_eq!(rig.starts(), 4);
    assert_eq!(rig.end().await, [FINISHED]);
    leaks.finish().await;
}

#[actix::test]
async fn messages_behind_the_poison_are_handled_in_order_after_the_recovery() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let rig = Rig::start();
    rig.store.lock().load_takes = ms(50);
    assert_eq!(rig.add(1).await, Ok(1));
    rig.handle.tell(Break(Place::Handler)).unwrap();
    for n in 2..=9 {
        rig.handle.tell(Add(n)).unwrap();
    }
    assert_eq!(rig.add(10).await, Ok(55));
    assert_eq!(rig.store.lock().order, (1..=10).collect::<Vec<_>>());
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn poison_after_poison_does_not_end_the_process() {
    pause();
    let leaks = LeakCheck::expecting_panics(3);
    let mut rig = Rig::start();
    for _ in 0..3 {
        rig.handle.tell(Break(Place::Handler)).unwrap();
    }
    assert_eq!(rig.add(8).await, Ok(8));
    for delay in [100, 200, 400] {
        assert_eq!(rig.next().await, restarting(panicked("Handler"), delay));
    }
    assert_eq!(rig.end().await, [FINISHED]);
    leaks.finish().await;
}

#[actix::test]
async fn the_backoff_is_exact() {
    pause();
    let leaks = LeakCheck::new();
    let mut rig = Rig::with(&Arbiter::current(), exact(), Store { loads_failing: 5, ..Store::default() });
    let mut failed = Vec::new();
    for delay in [100, 200, 400, 800, 1600] {
        let (event, at) = rig.next_at().await;
        assert_eq!(event, restarting(Exit::Fault("store is down".to_owned()), delay));
        failed.push((at, ms(delay)));
    }
    assert_eq!(rig.add(1).await, Ok(1));
    let starts = rig.store.lock().starts.clone();
    assert_eq!(starts.len(), 6);
    for ((at, delay), start) in failed.into_iter().zip(&starts[1..]) {
        let waited = start.duration_since(at);
        // the timer of tokio counts whole milliseconds
        assert!(waited >= delay && waited <= delay + ms(2), "{waited:?} instead of {delay:?}");
    }
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn jitter_stays_in_its_range() {
    pause();
    let leaks = LeakCheck::new();
    let policy = RestartPolicy { max_restarts: 100, jitter: 0.2, delay_max: ms(100), ..exact() };
    let mut rig = Rig::with(&Arbiter::current(), policy, Store { loads_failing: 50, ..Store::default() });
    let mut delays = Vec::new();
    for _ in 0..50 {
        let ChildEvent::Restarting { delay, .. } = rig.next().await else { panic!("no restart") };
        assert!((ms(80)..=ms(120)).contains(&delay), "{delay:?}");
        delays.push(delay);
    }
    delays.dedup();
    assert!(delays.len() > 40, "jitter spreads");
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn a_crash_loop_is_given_up_after_the_limit() {
    pause();
    let leaks = LeakCheck::new();
    let policy = RestartPolicy { max_restarts: 3, ..exact() };
    let poisoned = Store { loads_failing: usize::MAX, ..Store::default() };
    let mut rig = Rig::with(&Arbiter::current(), policy, poisoned);
    let down = || Exit::Fault("store is down".to_owned());
    let queued = rig.handle.clone();
    let queued = actix::spawn(async move { queued.ask(Add(4), soon()).await });
    for delay in [100, 200, 400] {
        assert_eq!(rig.next().await, restarting(down(), delay));
    }
    assert_eq!(rig.next().await, ChildEvent::GaveUp { id: 7, why: down() });
    assert!(!rig.handle.connected(), "the parent hears of it when the handle is gone");
    assert_eq!(queued.await.unwrap(), Err(CallError::Gone));
    assert_eq!(rig.add(1).await, Err(CallError::Gone));
    assert_eq!(rig.handle.tell(Add(1)), Err(CallError::Gone));
    assert_eq!(rig.starts(), 4);
    assert!(rig.end().await.is_empty());
    leaks.finish().await;
}

#[actix::test]
async fn failures_far_apart_are_never_given_up() {
    pause();
    let leaks = LeakCheck::expecting_panics(6);
    let rig = Rig::with(&Arbiter::current(), RestartPolicy { max_restarts: 3, ..exact() }, Store::default());
    for n in 1..=6 {
        assert_eq!(rig.fail(Place::Handler).await, Err(CallError::Crashed));
        assert_eq!(rig.add(1).await, Ok(n));
        sleep(Duration::from_secs(30)).await;
    }
    assert_eq!(rig.starts(), 7);
    rig.end().await;
    leaks.finish().await;
}
