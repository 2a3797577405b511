//! What supervision promises, one test per promise. Clocks are paused, failures happen at named places.

use std::{future::pending, sync::OnceLock, time::Duration};

use actix::{
    ActorFutureExt, Arbiter, AtomicResponse, Handler, Message, ResponseActFuture, ResponseFuture, WrapFuture,
};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{pause, timeout},
};

use super::*;
use crate::runtime::{CallError, ChildEvent, Deadline, LeakCheck, RECOVERIES_MAX, eventually, ticker};

mod endings;
mod gate;
mod model;
mod restarts;

/// What outlives an incarnation, and the plan of failures.
#[derive(Debug, Default)]
struct Store {
    value: u64,
    starts: Vec<Instant>,
    stopped: usize,
    dropped: usize,
    loads_failing: usize,
    rebuilds_panicking: usize,
    load_takes: Duration,
    loading: usize,
    loading_most: usize,
    order: Vec<u64>,
}

type Stored = Arc<Mutex<Store>>;

/// Where a [`Break`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Handler,
    Interval,
    Spawned,
    Wait,
    Fault,
    FaultThenPanic,
    Stop,
}

#[derive(Clone)]
struct Seed {
    store: Stored,
    link: ExitLink,
}

struct Probe {
    seed: Seed,
    value: u64,
}

impl Probe {
    fn fresh(seed: Seed) -> Self {
        Self { seed, value: 0 }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let takes = {
            let mut store = self.seed.store.lock();
            store.starts.push(Instant::now());
            store.loading += 1;
            store.loading_most = store.loading_most.max(store.loading);
            store.load_takes
        };
        ctx.wait(sleep(takes).into_actor(self).map(|(), probe, ctx| {
            let mut store = probe.seed.store.lock();
            store.loading -= 1;
            if store.loads_failing > 0 {
                store.loads_failing -= 1;
                probe.seed.link.fault("store is down");
                ctx.stop();
            }
            probe.value = store.value;
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.seed.store.lock().stopped += 1;
    }
}

impl Supervised for Probe {
    fn restarting(&mut self, _: &mut Self::Context) {
        {
            let mut store = self.seed.store.lock();
            if store.rebuilds_panicking > 0 {
                store.rebuilds_panicking -= 1;
                drop(store);
                panic!("planned: restarting");
            }
        }
        *self = Self::fresh(self.seed.clone());
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.seed.store.lock().dropped += 1;
    }
}

/// Adds to the stored value and answers the sum.
#[derive(Message)]
#[rtype(u64)]
struct Add(u64);

impl Handler<Add> for Probe {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Self::Context) -> u64 {
        let mut store = self.seed.store.lock();
        store.order.push(n);
        self.value += n;
        store.value = self.value;
        self.value
    }
}

/// Tears the state, then fails.
#[derive(Message)]
#[rtype(result = "()")]
struct Break(Place);

impl Handler<Break> for Probe {
    type Result = ();

    fn handle(&mut self, Break(place): Break, ctx: &mut Self::Context) {
        self.value = u64::MAX;
        match place {
            Place::Handler => panic!("planned: {place:?}"),
            Place::Interval => {
                let planned = move |_: &mut Self, _: &mut Context<Self>, _| panic!("planned: {place:?}");
                ticker::every(ctx, "test", Duration::from_millis(10), planned);
            }
            Place::Spawned => {
                ctx.spawn(
                    async { tokio::task::yield_now().await }
                        .into_actor(self)
                        .map(move |(), _, _| panic!("planned: {place:?}")),
                );
            }
            Place::Wait => {
                ctx.wait(async {}.into_actor(self).map(move |(), _, _| panic!("planned: {place:?}")))
            }
            Place::Fault => {
                self.seed.link.fault("planned");
                ctx.stop();
            }
            Place::FaultThenPanic => {
                self.seed.link.fault("planned");
                panic!("planned: {place:?}");
            }
            Place::Stop => ctx.stop(),
        }
    }
}

/// Answers that never come: the first by a future of the actor, the second by one that keeps its mailbox shut.
#[derive(Message)]
#[rtype(u64)]
struct Never;

impl Handler<Never> for Probe {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, _: Never, _: &mut Self::Context) -> Self::Result {
        Box::pin(pending().into_actor(self))
    }
}

#[derive(Message)]
#[rtype(u64)]
struct PanicAtomic;

impl Handler<PanicAtomic> for Probe {
    type Result = AtomicResponse<Self, u64>;

    fn handle(&mut self, _: PanicAtomic, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(
            sleep(Duration::from_millis(5)).into_actor(self).map(|(), _, _| panic!("planned: atomic")),
        ))
    }
}

#[derive(Message)]
#[rtype(u64)]
struct PanicDetached;

impl Handler<PanicDetached> for Probe {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, _: PanicDetached, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("planned: a future that is not the actor's") })
    }
}

type Event = ChildEvent<u32>;

/// One guarded probe under observation.
struct Rig {
    handle: Handle<Probe>,
    events: UnboundedReceiver<(Event, Instant)>,
    store: Stored,
}

fn exact() -> RestartPolicy {
    RestartPolicy { jitter: 0.0, ..RestartPolicy::permanent() }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(20))
}

impl Rig {
    fn start() -> Self {
        Self::with(&Arbiter::current(), exact(), Store::default())
    }

    fn with(arbiter: &ArbiterHandle, policy: RestartPolicy, store: Store) -> Self {
        Self::on(arbiter, policy, Arc::new(Mutex::new(store)))
    }

    fn on(arbiter: &ArbiterHandle, policy: RestartPolicy, store: Stored) -> Self {
        let (sink, events) = unbounded_channel();
        let myself = Arc::new(OnceLock::<WeakHandle<Probe>>::new());
        let seen = Arc::clone(&myself);
        let parent = ParentSink::new(move |event| {
            let alive = seen.get().and_then(WeakHandle::upgrade).is_some_and(|handle| handle.connected());
            let lives_on = matches!(event, ChildEvent::Restarting { .. });
            // a panic here loses the event, and the test that waits for it fails
            assert!(lives_on || !alive, "the end is told while the handle works");
            sink.send((event, Instant::now())).unwrap();
        });
        let seeded = Arc::clone(&store);
        let make = move |link| Probe::fresh(Seed { store: seeded, link });
        let handle = Guardian::start(arbiter, 7_u32, 16, policy, parent, make);
        myself.set(handle.downgrade()).unwrap();
        Self { handle, events, store }
    }

    async fn add(&self, n: u64) -> Result<u64, CallError> {
        self.handle.ask(Add(n), soon()).await
    }

    async fn fail(&self, place: Place) -> Result<(), CallError> {
        self.handle.ask(Break(place), soon()).await
    }

    async fn next(&mut self) -> Event {
        self.next_at().await.0
    }

    async fn next_at(&mut self) -> (Event, Instant) {
        timeout(Duration::from_secs(7200), self.events.recv()).await.expect("an event").expect("a parent")
    }

    fn starts(&self) -> usize {
        self.store.lock().starts.len()
    }

    /// Drops the handle and returns the remaining events, after the guardian has ended.
    async fn end(mut self) -> Vec<Event> {
        drop(self.handle);
        let mut rest = Vec::new();
        while let Some((event, _)) =
            timeout(Duration::from_secs(60), self.events.recv()).await.expect("an end")
        {
            rest.push(event);
        }
        rest
    }
}

fn restarting(why: Exit, delay: u64) -> Event {
    ChildEvent::Restarting { id: 7, why, delay: ms(delay) }
}

fn panicked(text: &str) -> Exit {
    Exit::Panic(format!("planned: {text}"))
}

const FINISHED: Event = ChildEvent::Finished { id: 7 };
