//! Limits under load, deadlines, and what a dead database says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use super::*;
use crate::store::{Backend, Change, StoreConfig, StoreError};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn eight_threads_never_exceed_an_owners_limit() {
    for db in TestDb::each() {
        let store =
            Store::open(&StoreConfig { pool_size: 8, call_deadline: LONG, ..StoreConfig::new(db.url()) });
        let store = store.unwrap();
        let results: Vec<StoreResult<Event>> = std::thread::scope(|scope| {
            let race = |thread: u128| {
                let store = store.clone();
                move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let mut results = Vec::new();
                        for n in 0..5 {
                            let one = swarm(thread * 100 + n, "alice");
                            let event = created(&one);
                            results.push(store.create_swarm(one, 5, event, "alice".into()).await);
                        }
                        results
                    })
                }
            };
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(race(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let refused = |r: &&StoreResult<Event>| matches!(r, Err(StoreError::SwarmLimit { live: 5, max: 5 }));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5, "{:?}", db.backend());
        assert_eq!(results.iter().filter(refused).count(), 35);
    }
}

#[tokio::test]
async fn a_swarm_that_is_being_deleted_does_not_count() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let mut one = swarm(1, "alice");
        let two = swarm(2, "alice");
        let add = |s: &Swarm| store.create_swarm(s.clone(), 1, created(s), "alice".into());
        add(&one).await.unwrap();
        assert!(matches!(add(&two).await, Err(StoreError::SwarmLimit { live: 1, max: 1 })));
        one.advance(crate::domain::SwarmState::Deleting, None, at(3));
        store.save(Change { swarm: Some(one.clone()), ..Change::new(one.id) }).await.unwrap();
        add(&two).await.unwrap();
        let bob = Swarm { owner: "bob".into(), ..swarm(3, "bob") };
        add(&bob).await.unwrap();
        let again = store.create_swarm(bob.clone(), 9, created(&bob), "bob".into()).await;
        assert!(matches!(again, Err(StoreError::Conflict { .. })), "the id is in use");
    }
}

#[test]
fn eight_writers_of_one_swarm_number_their_events_without_a_gap() {
    for db in TestDb::each() {
        let store =
            Store::open(&StoreConfig { pool_size: 8, call_deadline: LONG, ..StoreConfig::new(db.url()) });
        let store = store.unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build().unwrap();
        runtime.block_on(async {
            let one = swarm(1, "alice");
            create(&store, &one).await.unwrap();
            let write = |n: u32| {
                let (store, one) = (store.clone(), one.clone());
                tokio::spawn(async move {
                    let mut seqs = Vec::new();
                    for k in 0..20 {
                        let slot = n * 100 + k;
                        let change = Change {
                            agents: vec![agent(&one, slot, &format!("a{slot}"))],
                            events: vec![(created(&one), "x".into(), at(1))],
                            ..Change::new(one.id)
                        };
                        seqs.extend(store.save(change).await.unwrap().iter().map(|event| event.seq));
                    }
                    seqs
                })
            };
            let mut seqs = Vec::new();
            for writer in (0..8).map(write).collect::<Vec<_>>() {
                seqs.extend(writer.await.unwrap());
            }
            seqs.sort_unstable();
            assert_eq!(seqs, (2..=161).collect::<Vec<i64>>(), "{:?}", db.backend());
            assert_eq!(store.load_swarm(one.id).await.unwrap().unwrap().1.len(), 160);
        });
    }
}

/// Holds a connection until the sender is dropped; returns once it runs.
async fn hold(store: &Store) -> (mpsc::Sender<()>, tokio::task::JoinHandle<StoreResult<()>>) {
    let (release, held) = mpsc::channel::<()>();
    let (started, running) = tokio::sync::oneshot::channel();
    let store = store.clone();
    let task = tokio::spawn(async move {
        store
            .run("hold", LONG, move |_| {
                started.send(()).unwrap();
                assert!(held.recv().is_err(), "nobody sends");
                Ok(())
            })
            .await
    });
    running.await.unwrap();
    (release, task)
}

#[tokio::test]
async fn a_call_that_finds_no_connection_in_time_was_not_started() {
    for db in TestDb::each() {
        let config = StoreConfig { pool_size: 1, waiting_max: 1, ..StoreConfig::new(db.url()) };
        let store = Store::open(&config).unwrap();
        let (release, holder) = hold(&store).await;
        let ran = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&ran);
        let call = move |_: &mut AnyConnection| {
            note.store(true, Ordering::SeqCst);
            Ok(())
        };
        let late = store.run("late", Duration::from_millis(50), call).await;
        assert!(matches!(late, Err(StoreError::PoolTimeout { what: "late" })), "{late:?}");

        // one may wait, the next is refused at once
        let mut waiting = std::pin::pin!(store.ping());
        let pending = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        let refused = store.run("refused", LONG, |_| Ok(())).await;
        assert!(matches!(refused, Err(StoreError::Overloaded { waiting: 1, .. })), "{refused:?}");
        drop(release);
        holder.await.unwrap().unwrap();
        waiting.await.unwrap();
        assert!(!ran.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_call_that_outlives_its_deadline_has_an_unknown_outcome_and_ends() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let one = swarm(1, "alice");
        let late = {
            let one = one.clone();
            store.write("late", Duration::from_millis(100), move |conn| {
                assert!(held.recv().is_err(), "nobody sends");
                crate::store::swarms::create(conn, &one, 9)
            })
        };
        assert!(matches!(late.await, Err(StoreError::Deadline { what: "late" })));
        drop(release);
        store.close(LONG).await.unwrap();
        assert!(matches!(store.ping().await, Err(StoreError::Closed { .. })));
        let again = db.store().unwrap();
        assert!(again.swarm(one.id).await.unwrap().is_some(), "it ran to its end");
    }
}

#[tokio::test]
async fn a_panic_undoes_its_transaction_and_costs_one_connection() {
    for db in TestDb::each() {
        let store = Store::open(&StoreConfig { pool_size: 1, ..StoreConfig::new(db.url()) }).unwrap();
        let one = swarm(1, "alice");
        let planted = one.clone();
        let result: StoreResult<()> = store
            .write("boom", LONG, move |conn| {
                crate::store::swarms::create(conn, &planted, 9)?;
                panic!("planned")
            })
            .await;
        assert!(matches!(result, Err(StoreError::Panicked { what: "boom" })));
        assert_eq!(store.swarm(one.id).await.unwrap(), None);
        create(&store, &one).await.unwrap();
    }
}

#[test]
fn a_server_that_is_not_there_says_so_in_its_own_words() {
    let error = Store::open(&StoreConfig::new("postgres://nobody@127.0.0.1:1/nothing")).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.is_temporary());
    assert!(error.chain().contains("port 1 failed: Connection refused"), "{}", error.chain());
    let error = Store::open(&StoreConfig::new("sqlite:///nowhere/at all/x.db")).unwrap_err();
    assert!(error.chain().contains("/nowhere/at all/x.db: "), "{}", error.chain());
    let error = Store::open(&StoreConfig::new("mysql://h/x")).unwrap_err();
    assert!(error.to_string().contains(r#"unknown scheme "mysql"; allowed: sqlite://, postgres://"#));
    assert!(matches!(Store::open(&StoreConfig::new("sqlite://")), Err(StoreError::Url { .. })));
    let secret = StoreConfig::new("postgres://u:hunter2@h/x");
    assert!(!format!("{secret:?}").contains("hunter2"));
}

#[tokio::test]
async fn connections_that_the_server_cut_are_replaced() {
    let Some(db) = TestDb::postgres() else { return };
    let store = db.store().unwrap();
    store.ping().await.unwrap();
    plant(
        &db,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    for _ in 0..8 {
        store.ping().await.unwrap();
    }
}

#[tokio::test]
async fn memory_is_one_database_for_all_calls() {
    let store = Store::open(&StoreConfig::new("sqlite::memory:")).unwrap();
    assert_eq!(store.backend(), Backend::Sqlite);
    let one = swarm(1, "alice");
    create(&store, &one).await.unwrap();
    for _ in 0..20 {
        assert!(store.swarm(one.id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_hundred_swarms_of_fifty_agents_are_loaded_well_under_a_second() {
    for db in TestDb::each() {
        let store = Store::open(&StoreConfig { call_deadline: LONG, ..StoreConfig::new(db.url()) }).unwrap();
        for n in 0..100 {
            let one = swarm(n, "alice");
            create(&store, &one).await.unwrap();
            let agents = (0..50).map(|slot| agent(&one, slot, &format!("{n}/{slot}"))).collect();
            let tasks = (0..20).map(|k| task(&one, k, TaskState::Completed)).collect();
            store.save(Change { agents, tasks, ..Change::new(one.id) }).await.unwrap();
        }
        let begun = tokio::time::Instant::now();
        let all = store.load_all().await.unwrap();
        let took = begun.elapsed();
        eprintln!("{:?}: 100 swarms, 5,000 agents and 2,000 tasks in {took:?}", db.backend());
        assert_eq!(all.swarms.len(), 100);
        assert!(all.swarms.iter().all(|(_, agents, tasks)| agents.len() == 50 && tasks.len() == 20));
        // an unoptimised build on a busy machine gets ten times what a server needs
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}
