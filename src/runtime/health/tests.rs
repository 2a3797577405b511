//! The decision, the watch without a thread, and one real thread.

use std::sync::mpsc;

use super::*;

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn silence_is_judged_at_its_thresholds() {
    let thresholds = Thresholds::default();
    assert_eq!(thresholds.judge(s(0)), Verdict::Alive);
    assert_eq!(thresholds.judge(Duration::from_millis(4999)), Verdict::Alive);
    assert_eq!(thresholds.judge(s(5)), Verdict::Stuck);
    assert_eq!(thresholds.judge(Duration::from_millis(29_999)), Verdict::Stuck);
    assert_eq!(thresholds.judge(s(30)), Verdict::Lost);
}

#[test]
fn silence_adds_up_until_there_is_progress() {
    let silence = Silence::default().look(0, s(1), s(2)).look(0, s(1), s(2));
    assert_eq!(silence.lasted, s(2));
    assert_eq!(silence.look(1, s(1), s(2)), Silence { last: 1, lasted: s(0) });
    // the watchdog itself did not run for a minute: that says nothing about the others
    assert_eq!(silence.look(0, s(60), s(2)).lasted, s(4));
}

#[test]
fn a_stuck_thread_is_found_and_the_hook_called_once() {
    let board = Board::default();
    let (alive, stuck) = (board.add("alive"), board.add("stuck"));
    let readiness = Readiness::default();
    let hooked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&hooked);
    let mut watch = Watch {
        board,
        thresholds: Thresholds::default(),
        readiness: readiness.clone(),
        on_lost: Some(move |lost: Lost| {
            assert_eq!(lost, Lost { arbiter: "stuck".to_owned(), silence: s(30) });
            counter.fetch_add(1, Ordering::Relaxed);
        }),
        seen: Vec::new(),
    };
    let mut look = |times: u64| {
        for _ in 0..times {
            alive.count.fetch_add(1, Ordering::Relaxed);
            watch.look(s(1), s(2));
        }
    };
    look(1 + 4);
    assert!(readiness.is_ready());
    look(1);
    assert_eq!(readiness.stuck(), ["stuck"]);
    look(24);
    assert_eq!(hooked.load(Ordering::Relaxed), 0);
    look(10);
    assert_eq!(hooked.load(Ordering::Relaxed), 1);
    stuck.count.fetch_add(1, Ordering::Relaxed);
    look(1);
    assert!(readiness.is_ready());
    look(6);
    assert!(!readiness.is_ready());
    stuck.retire();
    look(1);
    assert!(readiness.is_ready());
}

#[test]
fn a_real_thread_finds_a_real_silence() {
    let board = Board::default();
    let _silent = board.add("silent");
    let readiness = Readiness::default();
    let thresholds = Thresholds {
        unready_after: Duration::from_millis(20),
        abort_after: Duration::from_millis(60),
        period: Duration::from_millis(5),
    };
    let (found, finding) = mpsc::channel();
    let seen = readiness.clone();
    let watchdog = Watchdog::start(board, thresholds, readiness, move |lost| {
        found.send((lost.arbiter, seen.is_ready())).unwrap();
    })
    .unwrap();
    assert_eq!(finding.recv_timeout(s(10)), Ok(("silent".to_owned(), false)));
    drop(watchdog);
}

#[actix::test]
async fn an_idle_thread_counts_as_alive_until_its_guard_is_dropped() {
    tokio::time::pause();
    let board = Board::default();
    let guard = board.attach_current_thread("idle");
    assert_eq!(current_arbiter().as_deref(), Some("idle"));
    let beats = Arc::clone(&board.watched()[0]);
    tokio::time::sleep(Duration::from_millis(10_250)).await;
    assert_eq!(beats.count.load(Ordering::Relaxed), 21);
    drop(guard);
    assert!(board.watched().is_empty());
}
