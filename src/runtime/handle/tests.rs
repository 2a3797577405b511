//! The promises of a handle: exact bound, deadlines, refusals.

use std::time::Duration;

use actix::{
    ActorFutureExt, Arbiter, AsyncContext, AtomicResponse, MessageResult, ResponseFuture, Supervised,
    WrapFuture,
};
use tokio::{
    sync::Notify,
    time::{Instant, pause, sleep},
};

use super::*;
use crate::runtime::{Guardian, LeakCheck, ParentSink, RestartPolicy, counted::Counted, eventually};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(20))
}

/// Handles nothing while its gate is shut.
struct Shut {
    open: Arc<Notify>,
    handled: Arc<AtomicUsize>,
}

impl Actor for Shut {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let open = Arc::clone(&self.open);
        ctx.wait(async move { open.notified().await }.into_actor(self));
    }
}

impl Supervised for Shut {}

#[derive(Message)]
#[rtype(usize)]
struct Count;

impl Handler<Count> for Shut {
    type Result = MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.handled.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

fn start(capacity: usize) -> (Handle<Shut>, Arc<Notify>, Arc<AtomicUsize>) {
    let (open, handled) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let shut = Shut { open: Arc::clone(&open), handled: Arc::clone(&handled) };
    let policy = RestartPolicy::permanent();
    let handle = Guardian::start(&Arbiter::current(), 1, capacity, policy, ParentSink::ignore(), |_| shut);
    (handle, open, handled)
}

#[actix::test]
async fn a_hundred_clones_do_not_exceed_the_bound() {
    pause();
    let leaks = LeakCheck::new();
    let (handle, open, handled) = start(16);
    let clones: Vec<_> = (0..100).map(|_| handle.clone()).collect();
    let sent = clones.iter().filter(|clone| clone.tell(Count).is_ok()).count();
    assert_eq!(sent, 16);
    assert_eq!(handle.tell(Count), Err(CallError::Full));
    let asked = Instant::now();
    assert_eq!(handle.ask(Count, soon()).await, Err(CallError::Full));
    assert_eq!(asked.elapsed(), Duration::ZERO, "refused at once");
    open.notify_one();
    eventually("all handled", ms(1000), || handled.load(Ordering::Relaxed) == 16).await;
    // the places are free again, and again no more than these
    let again = |handle: &Handle<Shut>| (0..100).filter(|_| handle.tell(Count).is_ok()).count();
    assert_eq!(again(&handle), 16);
    eventually("all handled", ms(1000), || handled.load(Ordering::Relaxed) == 32).await;
    drop((handle, clones));
    leaks.finish().await;
}

#[actix::test]
async fn threads_that_send_at_once_do_not_exceed_the_bound() {
    let leaks = LeakCheck::new();
    let (handle, open, handled) = start(64);
    let sent: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let handle = handle.clone();
                scope.spawn(move || (0..100).filter(|_| handle.tell(Count).is_ok()).count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sent, 64);
    open.notify_one();
    eventually("all handled", Duration::from_secs(10), || handled.load(Ordering::Relaxed) == 64).await;
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn every_refusal_is_counted() {
    pause();
    let counted = Counted::default();
    let _recording = metrics::set_default_local_recorder(&counted);
    let leaks = LeakCheck::new();
    let (handle, open, _) = start(2);
    assert_eq!((0..5).filter(|_| handle.tell(Count).is_err()).count(), 3);
    assert_eq!(handle.ask(Count, soon()).await, Err(CallError::Full));
    assert_eq!(counted.get("visionflow_mailbox_refused_total", "Shut"), 4);
    open.notify_one();
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn a_late_ask_is_cancelled_while_it_is_queued() {
    pause();
    let leaks = LeakCheck::new();
    let (handle, open, handled) = start(4);
    let asked = Instant::now();
    assert_eq!(handle.ask(Count, Deadline::within(ms(300))).await, Err(CallError::Deadline));
    assert!(asked.elapsed() >= ms(300) && asked.elapsed() < ms(310));
    // dropped by its caller
    let waiting = tokio::time::timeout(ms(10), handle.ask(Count, soon())).await;
    assert!(waiting.is_err());
    assert_eq!(handle.asking(), 0);
    handle.tell(Count).unwrap();
    open.notify_one();
    eventually("the last is handled", ms(1000), || handled.load(Ordering::Relaxed) > 0).await;
    assert_eq!(handle.ask(Count, soon()).await, Ok(2), "neither cancelled one was handled");
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn an_expired_deadline_sends_nothing() {
    pause();
    let leaks = LeakCheck::new();
    let (handle, open, _) = start(4);
    open.notify_one();
    assert_eq!(handle.ask(Count, Deadline::within(Duration::ZERO)).await, Err(CallError::Deadline));
    assert_eq!(handle.ask(Count, soon()).await, Ok(1));
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn capacity_is_never_unbounded() {
    pause();
    let (handle, open, _) = start(0);
    assert_eq!(handle.capacity(), 1);
    assert_eq!((0..5).filter(|_| handle.tell(Count).is_ok()).count(), 1);
    open.notify_one();
    assert_eq!(format!("{handle:?}"), r#"Handle { actor: "Shut", capacity: 1, connected: true }"#);
}

/// Asks the other one while it handles a message, with its mailbox shut.
struct Peer {
    other: Option<Handle<Peer>>,
}

impl Actor for Peer {
    type Context = Context<Self>;
}

impl Supervised for Peer {}

#[derive(Message)]
#[rtype(result = "Result<u8, CallError>")]
struct AskOther(Deadline);

impl Handler<AskOther> for Peer {
    type Result = AtomicResponse<Self, Result<u8, CallError>>;

    fn handle(&mut self, AskOther(deadline): AskOther, _: &mut Self::Context) -> Self::Result {
        let other = self.other.clone();
        let asking = async move {
            match other {
                Some(other) => other.ask(AskOther(deadline), deadline).await.and_then(|answer| answer),
                None => Ok(1),
            }
        };
        AtomicResponse::new(Box::pin(asking.into_actor(self).map(|answer, _, _| answer)))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Know(Option<Handle<Peer>>);

impl Handler<Know> for Peer {
    type Result = ();

    fn handle(&mut self, Know(other): Know, _: &mut Self::Context) {
        self.other = other;
    }
}

#[derive(Message)]
#[rtype(String)]
struct Words;

impl Handler<Words> for Peer {
    type Result = ResponseFuture<String>;

    fn handle(&mut self, _: Words, _: &mut Self::Context) -> Self::Result {
        Box::pin(async {
            sleep(ms(5)).await;
            "some words".to_owned()
        })
    }
}

#[actix::test]
async fn asks_in_a_circle_end_at_the_deadline_and_both_live_on() {
    pause();
    let leaks = LeakCheck::new();
    let peer = || {
        let policy = RestartPolicy::permanent();
        Guardian::start(&Arbiter::current(), 1, 4, policy, ParentSink::ignore(), |_| Peer { other: None })
    };
    let (one, two) = (peer(), peer());
    one.tell(Know(Some(two.clone()))).unwrap();
    two.tell(Know(Some(one.clone()))).unwrap();
    let begun = Instant::now();
    let deadline = Deadline::within(Duration::from_secs(2));
    assert_eq!(one.ask(AskOther(deadline), deadline).await, Err(CallError::Deadline));
    assert!(begun.elapsed() < Duration::from_millis(2010));
    // both are free again
    two.ask(Know(None), soon()).await.unwrap();
    assert_eq!(one.ask(AskOther(soon()), soon()).await, Ok(Ok(1)));
    one.ask(Know(None), soon()).await.unwrap();
    assert_eq!(one.ask(Words, soon()).await.as_deref(), Ok("some words"));
    drop((one, two));
    leaks.finish().await;
}

#[test]
fn only_a_full_mailbox_is_known_to_have_done_nothing() {
    assert!(!CallError::Full.outcome_unknown());
    for error in [CallError::Deadline, CallError::Crashed, CallError::Gone] {
        assert!(error.outcome_unknown());
    }
}
