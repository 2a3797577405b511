//! The grid, and both tickers under a paused clock.

use std::{cell::RefCell, rc::Rc};

use actix::{Arbiter, Supervised, WrapFuture};
use tokio::time::{advance, pause, sleep};

use super::*;
use crate::runtime::{Guardian, LeakCheck, ParentSink, RestartPolicy, counted::Counted, eventually};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

type Ticks = Rc<RefCell<Vec<TickInfo>>>;

fn recorder() -> (Ticks, impl FnMut(TickInfo) -> ControlFlow<()>) {
    let ticks = Ticks::default();
    let mine = Rc::clone(&ticks);
    let step = move |tick| {
        mine.borrow_mut().push(tick);
        ControlFlow::Continue(())
    };
    (ticks, step)
}

fn numbers(ticks: &Ticks) -> Vec<(u64, u64)> {
    ticks.borrow().iter().map(|tick| (tick.n, tick.missed)).collect()
}

#[test]
fn the_grid_skips_what_is_over() {
    let start = Instant::now();
    let mut grid = Grid::new(start, ms(10));
    assert_eq!(grid.wake_at(start), start);
    assert_eq!(grid.tick(start), TickInfo { n: 0, missed: 0 });
    assert_eq!(grid.wake_at(start + ms(3)), start + ms(10));
    // exactly on the next point: not over yet
    assert_eq!(grid.wake_at(start + ms(10)), start + ms(10));
    assert_eq!(grid.wake_at(start + ms(11)), start + ms(20));
    // woken late: the latest point is run, those before are missed
    assert_eq!(grid.tick(start + ms(57)), TickInfo { n: 5, missed: 4 });
    assert_eq!(grid.wake_at(start + ms(57)), start + ms(60));
    // woken early: the next point is run once all the same
    assert_eq!(grid.tick(start + ms(58)), TickInfo { n: 6, missed: 0 });
    let zero = Grid::new(start, Duration::ZERO);
    assert_eq!(zero.period, TICK_PERIOD_MIN);
}

#[actix::test]
async fn the_count_is_exact_and_the_guard_stops_it() {
    pause();
    let (ticks, step) = recorder();
    let ticker = Ticker::start("test", ms(10), step);
    sleep(Duration::from_secs(60) + ms(5)).await;
    drop(ticker);
    assert_eq!(ticks.borrow().len(), 6000);
    assert!(ticks.borrow().iter().zip(0..).all(|(tick, n)| *tick == TickInfo { n, missed: 0 }));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ticks.borrow().len(), 6000);
}

#[actix::test]
async fn no_burst_follows_a_stall() {
    pause();
    let counted = Counted::default();
    let _recording = metrics::set_default_local_recorder(&counted);
    let (ticks, step) = recorder();
    let ticker = Ticker::start("test", ms(10), step);
    sleep(ms(25)).await;
    assert_eq!(numbers(&ticks), [(0, 0), (1, 0)]);
    // the thread does nothing for 500 ms
    advance(ms(500)).await;
    sleep(ms(1)).await;
    let after_stall = numbers(&ticks);
    assert_eq!(after_stall.len(), 3, "one tick, not fifty: {after_stall:?}");
    let (n, missed) = after_stall[2];
    assert_eq!(n, 1 + missed + 1);
    assert!((48..=50).contains(&missed), "{missed}");
    assert_eq!(counted.get("visionflow_ticks_missed_total", "test"), missed);
    sleep(ms(100)).await;
    assert_eq!(numbers(&ticks).len(), 13);
    assert!(numbers(&ticks)[3..].iter().all(|(_, missed)| *missed == 0));
    drop(ticker);
}

#[actix::test]
async fn one_step_is_in_flight_and_it_is_cancelled_with_the_guard() {
    pause();
    let (ticks, mut step) = recorder();
    let flying = Rc::new(RefCell::new((0, 0)));
    let counted = Rc::clone(&flying);
    let ticker = Ticker::start_async("test", Instant::now(), ms(10), move |tick| {
        let done = step(tick);
        let counted = Rc::clone(&counted);
        async move {
            let now = counted.borrow().0 + 1;
            let most = counted.borrow().1.max(now);
            counted.replace((now, most));
            sleep(ms(25)).await;
            counted.borrow_mut().0 -= 1;
            done
        }
    });
    sleep(ms(300)).await;
    assert_eq!(flying.borrow().1, 1);
    let seen = numbers(&ticks);
    assert!(seen.len() >= 9 && seen[1..].iter().all(|(_, missed)| *missed == 2), "{seen:?}");
    drop(ticker);
    sleep(ms(300)).await;
    assert_eq!(numbers(&ticks), seen);
}

#[actix::test]
async fn a_step_ends_it_by_breaking_or_by_a_panic() {
    pause();
    let ticker = Ticker::start("test", ms(10), |tick| {
        if tick.n == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let begun = Instant::now();
    eventually("broken", ms(1000), || ticker.is_finished()).await;
    assert!((ms(50)..ms(55)).contains(&begun.elapsed()));
    let ticker = Ticker::start("test", ms(10), |_| panic!("planned"));
    eventually("panicked", ms(1000), || ticker.is_finished()).await;
}

struct Stepping {
    ticks: std::sync::Arc<parking_lot::Mutex<Vec<TickInfo>>>,
}

impl Actor for Stepping {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        every(ctx, "test", ms(10), |stepping: &mut Self, ctx, tick| {
            stepping.ticks.lock().push(tick);
            if tick.n == 2 {
                ctx.wait(sleep(ms(35)).into_actor(stepping));
            }
            if tick.n == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
}

impl Supervised for Stepping {}

#[actix::test]
async fn inside_an_actor_it_skips_what_a_wait_delayed() {
    pause();
    let leaks = LeakCheck::new();
    let ticks = std::sync::Arc::default();
    let stepping = Stepping { ticks: std::sync::Arc::clone(&ticks) };
    let policy = RestartPolicy::permanent();
    let handle = Guardian::start(&Arbiter::current(), 1, 4, policy, ParentSink::ignore(), |_| stepping);
    sleep(ms(500)).await;
    let seen: Vec<_> = ticks.lock().iter().map(|tick| (tick.n, tick.missed)).collect();
    assert_eq!(seen[..3], [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(seen.last().map(|(n, _)| *n), Some(9), "{seen:?}");
    let missed: u64 = seen.iter().map(|(_, missed)| missed).sum();
    assert_eq!(seen.len() as u64 + missed, 10, "{seen:?}");
    assert!((2..=3).contains(&missed), "{seen:?}");
    drop(handle);
    leaks.finish().await;
}
