//! Every end is seen by the parent exactly once, with the handle already gone.

use super::*;

#[actix::test]
async fn a_stop_without_a_word_is_the_end() {
    pause();
    let leaks = LeakCheck::new();
    let mut rig = Rig::start();
    assert_eq!(rig.fail(Place::Stop).await, Ok(()));
    assert_eq!(rig.next().await, FINISHED);
    assert!(!rig.handle.connected());
    assert_eq!(rig.add(1).await, Err(CallError::Gone));
    assert_eq!(rig.store.lock().stopped, 1);
    assert!(rig.end().await.is_empty());
    leaks.finish().await;
}

#[actix::test]
async fn the_last_handle_is_the_end() {
    pause();
    let leaks = LeakCheck::new();
    let Rig { handle, mut events, store } = Rig::start();
    let (second, weak) = (handle.clone(), handle.downgrade());
    assert!(second.same_actor(&handle));
    assert_eq!(handle.ask(Add(1), soon()).await, Ok(1));
    drop(handle);
    assert_eq!(second.ask(Add(1), soon()).await, Ok(2));
    assert!(events.try_recv().is_err());
    assert!(weak.upgrade().is_some());
    drop(second);
    assert!(weak.upgrade().is_none());
    assert_eq!(events.recv().await.map(|(event, _)| event), Some(FINISHED));
    leaks.finish().await;
    let store = store.lock();
    assert_eq!((store.stopped, store.dropped), (1, 1));
}

#[actix::test]
async fn the_last_handle_dropped_during_the_backoff_is_the_end() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let mut rig = Rig::start();
    rig.handle.tell(Break(Place::Handler)).unwrap();
    assert_eq!(rig.next().await, restarting(panicked("Handler"), 100));
    assert_eq!(rig.end().await, [FINISHED]);
    leaks.finish().await;
}

#[actix::test]
async fn a_poison_told_with_the_last_handle_is_the_end() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let rig = Rig::start();
    rig.handle.tell(Break(Place::Handler)).unwrap();
    assert_eq!(rig.end().await.last(), Some(&FINISHED));
    leaks.finish().await;
}

#[actix::test]
async fn an_interval_does_not_keep_an_actor_alive() {
    struct Ticking;
    impl Actor for Ticking {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            ticker::every(ctx, "test", ms(10), |_, _, _| std::ops::ControlFlow::Continue(()));
        }
    }
    impl Supervised for Ticking {}

    pause();
    let leaks = LeakCheck::new();
    let arbiter = Arbiter::current();
    let handle = Guardian::start(&arbiter, 1, 4, exact(), ParentSink::ignore(), |_| Ticking);
    sleep(ms(100)).await;
    assert_eq!(leaks.running(), 1);
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn a_panic_in_the_factory_is_given_up() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let (sink, mut events) = unbounded_channel();
    let parent = ParentSink::new(move |event| sink.send(event).unwrap());
    let make = |_: ExitLink| -> Probe { panic!("planned: factory") };
    let handle = Guardian::start(&Arbiter::current(), 7, 16, exact(), parent, make);
    assert_eq!(handle.ask(Add(1), soon()).await, Err(CallError::Gone));
    assert_eq!(events.recv().await, Some(ChildEvent::GaveUp { id: 7, why: panicked("factory") }));
    assert_eq!(handle.tell(Add(1)), Err(CallError::Gone));
    assert_eq!(events.recv().await, None, "said once");
    leaks.finish().await;
}

#[actix::test]
async fn a_dead_arbiter_is_given_up() {
    let leaks = LeakCheck::new();
    let arbiter = Arbiter::new();
    let dead = arbiter.handle();
    dead.stop();
    arbiter.join().unwrap();
    let mut rig = Rig::with(&dead, exact(), Store::default());
    let why = Exit::Fault("its arbiter is not running".to_owned());
    assert_eq!(rig.next().await, ChildEvent::GaveUp { id: 7, why });
    assert_eq!(rig.add(1).await, Err(CallError::Gone));
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn an_arbiter_that_stops_takes_its_actor_along_in_order() {
    let leaks = LeakCheck::new();
    let arbiter = Arbiter::new();
    let mut rig = Rig::with(&arbiter.handle(), exact(), Store::default());
    assert_eq!(rig.add(1).await, Ok(1));
    arbiter.stop();
    arbiter.join().unwrap();
    assert_eq!(rig.next().await, FINISHED);
    assert_eq!(rig.add(1).await, Err(CallError::Gone));
    assert_eq!(rig.starts(), 1);
    assert_eq!(rig.store.lock().stopped, 1);
    rig.end().await;
    leaks.finish().await;
}

#[actix::test]
async fn an_arbiter_that_stops_during_the_backoff_does_not_poll_the_actor() {
    let leaks = LeakCheck::expecting_panics(1);
    let arbiter = Arbiter::new();
    let hour = Duration::from_secs(3600);
    let policy = RestartPolicy { delay_min: hour, delay_max: hour, ..exact() };
    let mut rig = Rig::with(&arbiter.handle(), policy, Store::default());
    rig.handle.tell(Break(Place::Handler)).unwrap();
    rig.handle.tell(Break(Place::Handler)).unwrap();
    assert_eq!(rig.next().await, restarting(panicked("Handler"), 3_600_000));
    arbiter.stop();
    arbiter.join().unwrap();
    assert_eq!(rig.next().await, FINISHED);
    assert_eq!(rig.add(1).await, Err(CallError::Gone));
    let (starts, stopped, dropped) = {
        let store = rig.store.lock();
        (store.starts.len(), store.stopped, store.dropped)
    };
    // `restarting` dropped the torn state, the end dropped the fresh one
    assert_eq!((starts, stopped, dropped), (1, 0, 2));
    rig.end().await;
    leaks.finish().await;
}

struct Parent(tokio::sync::mpsc::UnboundedSender<Event>);

impl Actor for Parent {
    type Context = Context<Self>;
}

impl Supervised for Parent {}

impl Handler<Event> for Parent {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Self::Context) {
        self.0.send(event).unwrap();
    }
}

#[derive(Message)]
#[rtype(result = "Option<Handle<Probe>>")]
struct Adopt(Stored);

impl Handler<Adopt> for Parent {
    type Result = Option<Handle<Probe>>;

    fn handle(&mut self, Adopt(store): Adopt, ctx: &mut Self::Context) -> Self::Result {
        let sink = ParentSink::actor(ctx.address().downgrade().recipient());
        let make = move |link| Probe::fresh(Seed { store, link });
        Some(Guardian::start(&Arbiter::current(), 7, 16, exact(), sink, make))
    }
}

#[actix::test]
async fn a_parent_that_is_an_actor_gets_the_news_and_is_not_kept_alive() {
    pause();
    let leaks = LeakCheck::expecting_panics(2);
    let (sink, mut events) = unbounded_channel();
    let make = |_| Parent(sink);
    let parent = Guardian::start(&Arbiter::current(), 1, 1, exact(), ParentSink::ignore(), make);
    let child = parent.ask(Adopt(Stored::default()), soon()).await.unwrap().unwrap();
    assert_eq!(child.ask(Break(Place::Handler), soon()).await, Err(CallError::Crashed));
    assert_eq!(events.recv().await, Some(restarting(panicked("Handler"), 100)));
    drop(parent);
    assert_eq!(events.recv().await, None, "the parent has ended");
    assert_eq!(child.ask(Break(Place::Handler), soon()).await, Err(CallError::Crashed));
    assert_eq!(child.ask(Add(1), soon()).await, Ok(1));
    drop(child);
    leaks.finish().await;
}

#[actix::test]
async fn a_parent_that_panics_does_not_harm_the_child() {
    pause();
    let leaks = LeakCheck::expecting_panics(1);
    let parent = ParentSink::new(|_: ChildEvent<u8>| panic!("planned: parent"));
    let store = Stored::default();
    let make = move |link| Probe::fresh(Seed { store, link });
    let handle = Guardian::start(&Arbiter::current(), 7, 16, exact(), parent, make);
    assert_eq!(handle.ask(Break(Place::Handler), soon()).await, Err(CallError::Crashed));
    assert_eq!(handle.ask(Add(1), soon()).await, Ok(1));
    drop(handle);
    leaks.finish().await;
}

struct Myself(WeakHandle<Self>);

impl Actor for Myself {
    type Context = Context<Self>;
}

impl Supervised for Myself {}

#[derive(Message)]
#[rtype(result = "Option<Handle<Myself>>")]
struct Who;

impl Handler<Who> for Myself {
    type Result = Option<Handle<Self>>;

    fn handle(&mut self, _: Who, _: &mut Self::Context) -> Self::Result {
        self.0.upgrade()
    }
}

#[actix::test]
async fn an_actor_gets_a_handle_of_itself_that_does_not_keep_it_alive() {
    pause();
    let leaks = LeakCheck::new();
    let arbiter = Arbiter::current();
    let made = |_, myself| Myself(myself);
    let handle = Guardian::start_linked(&arbiter, 1, 4, exact(), ParentSink::ignore(), made);
    let same = handle.ask(Who, soon()).await.unwrap().unwrap();
    assert!(same.same_actor(&handle));
    drop((same, handle));
    leaks.finish().await;
}
