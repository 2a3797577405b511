//! What is written comes back the same.

use uuid::Uuid;

use super::*;
use crate::domain::limits;
use crate::store::{Change, Claim, KeyedCall, OUTCOME_UNKNOWN, Snapshot, StoreError, SwarmFilter};

#[tokio::test]
async fn a_swarm_with_agents_and_tasks_comes_back_as_it_was() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let mut one = swarm(1, "alice");
        assert_eq!(create(&store, &one).await.unwrap().seq, 1);
        one.advance(crate::domain::SwarmState::Active, Some("ready\0".into()), at(9));
        one.next_slot = 2;
        let agents = vec![agent(&one, 0, "a"), agent(&one, 1, "b")];
        let tasks = vec![task(&one, 1, TaskState::Completed), task(&one, 2, TaskState::Pending)];
        let change = Change {
            swarm: Some(one.clone()),
            agents: agents.clone(),
            tasks: tasks.clone(),
            events: vec![(EventKind::TaskSubmitted { task_id: tasks[0].id }, "bob".into(), at(4))],
            ..Change::new(one.id)
        };
        let events = store.save(change).await.unwrap();
        assert_eq!((events.len(), events[0].seq, events[0].actor.as_str()), (1, 2, "bob"));

        one.reason = Some("ready\u{fffd}".into());
        let loaded = store.load_swarm(one.id).await.unwrap().unwrap();
        assert_eq!(loaded, (one.clone(), agents, tasks.clone()), "{:?}", db.backend());
        assert_eq!(store.swarm(one.id).await.unwrap(), Some(one.clone()));
        assert_eq!(store.task(tasks[1].id).await.unwrap(), Some(tasks[1].clone()));
        let all = store.load_all().await.unwrap();
        assert_eq!((all.swarms, all.corrupt.len()), (vec![loaded], 0), "no empty legacy swarm");
        let listed = store.list_events(one.id, None, 10).await.unwrap();
        assert_eq!(listed[0], events[0]);
        assert_eq!(listed[1].kind, created(&one));
        assert_eq!(store.list_events(one.id, Some(2), 10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn upserts_overwrite_what_changes_and_removals_take_rows_away() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let one = swarm(1, "alice");
        create(&store, &one).await.unwrap();
        let (mut a, b) = (agent(&one, 0, "a"), agent(&one, 1, "b"));
        let mut t = task(&one, 1, TaskState::Pending);
        let all = |agents, tasks| Change { agents, tasks, ..Change::new(one.id) };
        store.save(all(vec![a.clone(), b.clone()], vec![t.clone()])).await.unwrap();

        a.state = AgentState::Terminating;
        a.figures.health = Some(f32::NAN);
        a.runtime_id = None;
        a.observation = None;
        a.updated_at = at(50);
        t.advance(TaskState::Failed, at(51));
        t.reason = Some("no".into());
        t.progress = None;
        let change = Change { removed_agents: vec![b.id.clone()], ..all(vec![a.clone()], vec![t.clone()]) };
        store.save(change).await.unwrap();
        a.figures.health = None; // not a number is "not said"
        let (_, agents, tasks) = store.load_swarm(one.id).await.unwrap().unwrap();
        assert_eq!((agents, tasks), (vec![a.clone()], vec![t]), "{:?}", db.backend());

        // an id stays with its swarm
        let other = swarm(2, "alice");
        create(&store, &other).await.unwrap();
        let thief = Change { agents: vec![agent(&other, 0, "a")], ..Change::new(other.id) };
        assert!(matches!(store.save(thief).await, Err(StoreError::Conflict { .. })));
        let (_, kept, _) = store.load_swarm(one.id).await.unwrap().unwrap();
        assert_eq!(kept, [a]);
    }
}

#[tokio::test]
async fn a_change_is_written_as_a_whole_or_not_at_all() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let mut one = swarm(1, "alice");
        create(&store, &one).await.unwrap();
        let before = store.load_swarm(one.id).await.unwrap();
        one.name = "changed".into();
        // the second agent takes the first one's slot
        let agents = vec![agent(&one, 0, "a"), agent(&one, 0, "b")];
        let events = vec![(created(&one), "x".into(), at(1))];
        let change = Change { swarm: Some(one.clone()), agents, events, ..Change::new(one.id) };
        assert!(matches!(store.save(change).await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.load_swarm(one.id).await.unwrap(), before);
        let events =
            store.save(Change { events: vec![(created(&one), "x".into(), at(1))], ..Change::new(one.id) });
        assert_eq!(events.await.unwrap()[0].seq, 2, "the number of the failed event was given back");

        let mixed = Change { agents: vec![agent(&swarm(2, "b"), 0, "c")], ..Change::new(one.id) };
        assert!(matches!(store.save(mixed).await, Err(StoreError::Conflict { .. })));
        let gone = swarm(7, "a");
        let missing = Change { swarm: Some(gone.clone()), ..Change::new(gone.id) };
        assert!(matches!(store.save(missing).await, Err(StoreError::NotFound { what: "swarm", .. })));
    }
}

#[tokio::test]
async fn an_older_epoch_can_not_overwrite_a_newer_one() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let mut one = swarm(1, "alice");
        create(&store, &one).await.unwrap();
        assert_eq!(store.begin_epoch(one.id).await.unwrap(), 1);
        assert_eq!(store.begin_epoch(one.id).await.unwrap(), 2);
        one.epoch = 1;
        let stale = Change { swarm: Some(one.clone()), ..Change::new(one.id) };
        let error = store.save(stale).await.unwrap_err();
        assert!(error.to_string().contains("is at epoch 2; the change is of epoch 1"), "{error}");
        one.epoch = 2;
        store.save(Change { swarm: Some(one.clone()), ..Change::new(one.id) }).await.unwrap();
        let missing = store.begin_epoch(SwarmId(Uuid::from_u128(9))).await.unwrap_err();
        assert!(matches!(missing, StoreError::NotFound { .. }));
    }
}

#[tokio::test]
async fn unicode_ids_come_back_by_the_thousand() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let one = swarm(1, "älïçé 🦀");
        create(&store, &one).await.unwrap();
        let alphabet: Vec<char> = "aZ0_-./:%'\"\\;éßЖ中🦀\u{200d}\u{301}\t\u{fffd} $1?".chars().collect();
        let id = |n: u32| {
            let letters = (0..20).map(|k| alphabet[(n as usize * 7 + k * 3) % alphabet.len()]);
            format!("{n}{}", letters.collect::<String>())
        };
        let agents: Vec<Agent> = (0..1_300).map(|n| agent(&one, n, &id(n))).collect();
        store.save(Change { agents: agents.clone(), ..Change::new(one.id) }).await.unwrap();
        assert!(store.load_swarm(one.id).await.unwrap().unwrap().1 == agents, "{:?}", db.backend());
        let removed_agents = agents.iter().map(|agent| agent.id.clone()).collect();
        store.save(Change { removed_agents, ..Change::new(one.id) }).await.unwrap();
        assert!(store.load_swarm(one.id).await.unwrap().unwrap().1.is_empty());
    }
}

#[tokio::test]
async fn open_tasks_and_the_latest_finished_ones_are_loaded() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let (one, two) = (swarm(1, "a"), swarm(2, "a"));
        create(&store, &one).await.unwrap();
        create(&store, &two).await.unwrap();
        let status =
            |n: u128| if n.is_multiple_of(10) { TaskState::InProgress } else { TaskState::Completed };
        let tasks: Vec<Task> = (1..=300).map(|n| task(&one, n, status(n))).collect();
        store.save(Change { tasks: tasks.clone(), ..Change::new(one.id) }).await.unwrap();
        let few: Vec<Task> = (1..=3).map(|n| task(&two, n, TaskState::Completed)).collect();
        store.save(Change { tasks: few.clone(), ..Change::new(two.id) }).await.unwrap();

        let finished: Vec<&Task> = tasks.iter().filter(|task| task.finished_at.is_some()).collect();
        let oldest = finished[finished.len() - limits::RECENT_TASKS_MAX].created_at;
        let expected: Vec<Task> =
            tasks.iter().filter(|t| t.finished_at.is_none() || t.created_at >= oldest).cloned().collect();
        assert_eq!(expected.len(), 30 + limits::RECENT_TASKS_MAX);
        assert_eq!(store.load_swarm(one.id).await.unwrap().unwrap().2, expected);
        let all = store.load_all().await.unwrap().swarms;
        assert_eq!((&all[0].2, &all[1].2), (&expected, &few), "{:?}", db.backend());

        // pages, newest first, without a gap
        let mut seen = Vec::new();
        while let Some(page) = Some(
            store.list_tasks(one.id, seen.last().map(|t: &Task| (t.created_at, t.id)), 70).await.unwrap(),
        )
        .filter(|page| !page.is_empty())
        {
            seen.extend(page);
        }
        seen.reverse();
        assert_eq!(seen, tasks);
    }
}

#[tokio::test]
async fn swarms_are_listed_by_owner_and_state_in_pages() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let mut all = Vec::new();
        for n in 0..25u128 {
            // several are of the same moment
            let mut one = swarm(n, if n % 2 == 0 { "alice" } else { "bob" });
            one.created_at = at(i64::try_from(n / 4).unwrap());
            create(&store, &one).await.unwrap();
            all.push(one);
        }
        all.sort_by_key(|one| std::cmp::Reverse((one.created_at, one.id)));
        let mut seen: Vec<Swarm> = Vec::new();
        loop {
            let after = seen.last().map(|one| (one.created_at, one.id));
            let page = store.list_swarms(SwarmFilter { after, ..SwarmFilter::default() }, 4).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, all);
        let bobs = SwarmFilter { owner: Some("bob".into()), ..SwarmFilter::default() };
        assert_eq!(store.list_swarms(bobs, 100).await.unwrap().len(), 12);
        let status = Some(crate::domain::SwarmState::Active);
        assert!(
            store.list_swarms(SwarmFilter { status, ..SwarmFilter::default() }, 9).await.unwrap().is_empty()
        );
    }
}

#[tokio::test]
async fn a_deleted_swarm_leaves_nothing() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let one = swarm(1, "alice");
        create(&store, &one).await.unwrap();
        let t = task(&one, 1, TaskState::Pending);
        let change =
            Change { agents: vec![agent(&one, 0, "a")], tasks: vec![t.clone()], ..Change::new(one.id) };
        store.save(change).await.unwrap();
        store.save_snapshot(snapshot(&one, 1)).await.unwrap();
        assert!(store.delete_swarm(one.id).await.unwrap());
        assert!(!store.delete_swarm(one.id).await.unwrap());
        assert_eq!(store.load_swarm(one.id).await.unwrap(), None);
        assert_eq!(store.task(t.id).await.unwrap(), None);
        assert_eq!(store.load_snapshot(one.id).await.unwrap(), None);
        assert!(store.list_events(one.id, None, 10).await.unwrap().is_empty());
        let late = Change { agents: vec![agent(&one, 0, "a")], ..Change::new(one.id) };
        assert!(matches!(store.save(late).await, Err(StoreError::Conflict { .. })), "no swarm to belong to");
        let legacy = store.delete_swarm(crate::store::LEGACY_SWARM).await;
        assert!(matches!(legacy, Err(StoreError::Conflict { .. })));
    }
}

fn snapshot(swarm: &Swarm, epoch: u16) -> Snapshot {
    let positions = (0..200u16).map(|n| (u32::from(n), [f32::from(n) * 0.1, -1.5e-7, f32::from(epoch)]));
    Snapshot {
        swarm_id: swarm.id,
        epoch: epoch.into(),
        tick: 7,
        taken_at: at(8),
        positions: positions.collect(),
    }
}

#[tokio::test]
async fn snapshots_follow_their_swarm_and_never_go_back() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let (one, gone) = (swarm(1, "a"), swarm(2, "a"));
        create(&store, &one).await.unwrap();
        assert_eq!(store.save_snapshots(vec![snapshot(&one, 2), snapshot(&gone, 1)]).await.unwrap(), 1);
        assert!(!store.save_snapshot(snapshot(&one, 1)).await.unwrap(), "an older epoch");
        assert_eq!(store.load_snapshot(one.id).await.unwrap(), Some(snapshot(&one, 2)));
        assert!(store.save_snapshot(snapshot(&one, 3)).await.unwrap());
        assert_eq!(store.load_snapshots().await.unwrap(), [snapshot(&one, 3)]);
        plant(
            &db,
            match db.backend() {
                crate::store::Backend::Sqlite => "UPDATE layout_snapshots SET positions = x'0105'",
                crate::store::Backend::Postgres => "UPDATE layout_snapshots SET positions = '\\x0105'",
            },
        );
        let error = store.load_snapshot(one.id).await.unwrap_err();
        assert_eq!(error.to_string(), format!("reading layout_snapshots {}: the header is cut", one.id));
        assert!(store.load_snapshots().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn revoked_tokens_count_until_they_end() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        store.revoke_token("a".into(), at(10), at(0)).await.unwrap();
        store.revoke_token("b".into(), at(20), at(0)).await.unwrap();
        store.revoke_token("a".into(), at(11), at(1)).await.unwrap();
        assert!(store.is_revoked("a".into()).await.unwrap());
        assert!(!store.is_revoked("c".into()).await.unwrap());
        assert_eq!(store.load_revoked(at(15)).await.unwrap(), [("b".to_owned(), at(20))]);
        assert_eq!(store.purge(at(15)).await.unwrap(), 1);
        assert!(!store.is_revoked("a".into()).await.unwrap());
        let long = store.revoke_token("x".repeat(1_000), at(1), at(0)).await;
        assert!(matches!(long, Err(StoreError::TooLarge { .. })));
    }
}

#[tokio::test]
async fn a_key_is_claimed_once_and_answers_for_a_day() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let call = KeyedCall {
            subject: "alice".into(),
            key: "k".into(),
            route: "POST /api/swarms".into(),
            body_hash: "1".into(),
        };
        let other = KeyedCall { body_hash: "2".into(), ..call.clone() };
        let claim = |call: &KeyedCall, now| store.claim(call.clone(), now);
        assert_eq!(store.lookup(call.clone(), at(0)).await.unwrap(), None);
        assert_eq!(claim(&call, at(0)).await.unwrap(), Claim::New);
        assert_eq!(claim(&call, at(1)).await.unwrap(), Claim::InProgress { since: at(0) });
        assert_eq!(claim(&other, at(1)).await.unwrap(), Claim::Mismatch);
        store.release(call.clone()).await.unwrap();
        assert_eq!(claim(&call, at(2)).await.unwrap(), Claim::New);
        store.finish(call.clone(), 201, "{\"id\":1}".into()).await.unwrap();
        store.release(call.clone()).await.unwrap();
        let done = Claim::Done { status: 201, response: "{\"id\":1}".into() };
        assert_eq!(claim(&call, at(3)).await.unwrap(), done, "a finished call can't be given back");
        let day = 24 * 3600;
        assert_eq!(claim(&call, at(day)).await.unwrap(), done);
        assert_eq!(claim(&call, at(day + 3)).await.unwrap(), Claim::New);
        assert_eq!(store.purge(at(3 * day)).await.unwrap(), 1);
        let unclaimed = store.finish(other, 200, String::new()).await;
        assert!(matches!(unclaimed, Err(StoreError::NotFound { .. })));
    }
}

#[tokio::test]
async fn a_call_that_was_lost_is_taken_over_by_one() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let call = KeyedCall {
            subject: "alice".into(),
            key: "k".into(),
            route: "POST /api/swarms".into(),
            body_hash: "1".into(),
        };
        let claim = |now| store.claim(call.clone(), now);
        assert_eq!(claim(at(0)).await.unwrap(), Claim::New);
        assert_eq!(claim(at(59)).await.unwrap(), Claim::InProgress { since: at(0) });
        let rivals = tokio::join!(claim(at(60)), claim(at(60)), claim(at(60)), claim(at(60)));
        let rivals = [rivals.0, rivals.1, rivals.2, rivals.3].map(Result::unwrap);
        assert_eq!(rivals.iter().filter(|claim| **claim == Claim::New).count(), 1, "{rivals:?}");
        // of an unknown outcome nothing is told, and the key stays taken for longer
        store.finish(call.clone(), OUTCOME_UNKNOWN, String::new()).await.unwrap();
        assert_eq!(claim(at(60 + 599)).await.unwrap(), Claim::InProgress { since: at(60) });
        assert_eq!(claim(at(60 + 600)).await.unwrap(), Claim::New);
    }
}

#[tokio::test]
async fn old_events_go() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let one = swarm(1, "a");
        create(&store, &one).await.unwrap();
        let kept = crate::store::EVENTS_KEPT_MAX;
        for _ in 0..11 {
            let events = (0..1_000).map(|_| (created(&one), "a".to_owned(), at(1))).collect();
            store.save(Change { events, ..Change::new(one.id) }).await.unwrap();
        }
        let oldest = store.list_events(one.id, Some(2_000), 1_000).await.unwrap();
        let (first, count) = (11_002 - kept, 1_999 - (11_002 - kept) + 1);
        assert_eq!(oldest.last().map(|event| event.seq), Some(first));
        assert_eq!(i64::try_from(oldest.len()).unwrap(), count);
    }
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_named_and_takes_its_swarm_alone_out() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let all: Vec<Swarm> = (1..=5).map(|n| swarm(n, "a")).collect();
        for one in &all {
            create(&store, one).await.unwrap();
        }
        let save = |change| store.save(change);
        save(Change { agents: vec![agent(&all[1], 0, "bad agent")], ..Change::new(all[1].id) })
            .await
            .unwrap();
        let bad_task = task(&all[2], 1, TaskState::Pending);
        save(Change { tasks: vec![bad_task.clone()], ..Change::new(all[2].id) }).await.unwrap();
        save(Change { agents: vec![agent(&all[3], 0, "fine")], ..Change::new(all[3].id) }).await.unwrap();
        plant(&db, "UPDATE swarms SET topology = 'torus' WHERE name LIKE 'swarm 1 %'");
        plant(&db, "UPDATE agents SET figures = '{\"health\": \"good\"}' WHERE id = 'bad agent'");
        plant(&db, &format!("UPDATE tasks SET stage = 'lost' WHERE id = '{}'", bad_task.id));
        plant(&db, "UPDATE events SET kind = 'swarm_exploded'");

        let loaded = store.load_all().await.unwrap();
        let names: Vec<SwarmId> = loaded.swarms.iter().map(|loaded| loaded.0.id).collect();
        assert_eq!(names, [all[3].id, all[4].id], "{:?}", db.backend());
        let words: Vec<String> = loaded.corrupt.iter().map(|bad| bad.error.to_string()).collect();
        assert!(words[0].starts_with(&format!("reading swarms {}: unknown topology \"torus\"", all[0].id)));
        assert!(words[1].starts_with("reading agents bad agent: figures: "), "{words:?}");
        assert!(words[2].starts_with(&format!("reading tasks {}: unknown command stage", bad_task.id)));
        for (bad, one) in loaded.corrupt.iter().zip(&all) {
            assert_eq!(bad.swarm_id, one.id);
            let alone = store.load_swarm(one.id).await.unwrap_err();
            assert_eq!(alone.to_string(), bad.error.to_string());
        }
        let error = store.list_events(all[3].id, None, 10).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("reading events {}/1: ", all[3].id)), "{error}");
    }
}
