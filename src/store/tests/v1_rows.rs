//! v1 and v2 on the same tables.

use super::*;
use crate::store::{Backend, Change, LEGACY_OWNER, LEGACY_SWARM, StoreError, SwarmFilter};

#[tokio::test]
async fn v1_writes_reads_and_deletes_on_the_migrated_schema() {
    for db in TestDb::each() {
        let _store = db.store().unwrap();
        plant(
            &db,
            "INSERT INTO agents (id, type) VALUES ('a', 'worker');
             INSERT INTO agents (id, type, name, status, capabilities, current_task, cpu_usage, memory_usage, health,
                                 workload, x, y, z, created_at, updated_at)
               VALUES ('b', 'coder', 'n', 'idle', '[]', NULL, 1, 2, 3, 0.4, 5, 6, 7, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP);
             INSERT INTO agents (id, type) VALUES ('b', 'x')
               ON CONFLICT (id) DO UPDATE SET cpu_usage = 55.5, updated_at = CURRENT_TIMESTAMP;
             UPDATE agents SET status = 'busy', health = 80 WHERE id = 'a';
             INSERT INTO tasks (id, agent_id, description) VALUES ('t', 'a', 'd');
             UPDATE tasks SET status = 'done', completed_at = CURRENT_TIMESTAMP WHERE id = 't';
             DELETE FROM tasks WHERE id = 't';
             DELETE FROM agents WHERE id = 'a';",
        );
        if db.backend() == Backend::Postgres {
            plant(&db, "TRUNCATE agents CASCADE");
        } else {
            plant(&db, "DELETE FROM agents");
        }
        // the key that v1 had still holds
        plant(
            &db,
            "INSERT INTO agents (id, type) VALUES ('c', 'x'); INSERT INTO tasks (id, agent_id, description) VALUES ('u', 'c', 'd')",
        );
        let refused = conn(&db).batch("DELETE FROM agents WHERE id = 'c'").map_err(StoreError::from);
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{:?}", db.backend());
    }
}

#[tokio::test]
async fn v2_reads_v1s_free_text_and_tells_no_figure_that_was_not_said() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        assert!(store.list_swarms(SwarmFilter::default(), 10).await.unwrap().is_empty(), "nothing of v1 yet");
        plant(
            &db,
            "INSERT INTO agents (id, type, status, capabilities, cpu_usage, health, created_at, updated_at)
               VALUES ('first', 'Worker', 'flying', 'a, b', 37.5, 97, '2024-01-01 10:00:00', '2024-01-02 10:00:00');
             INSERT INTO agents (id, type, name, created_at) VALUES ('second', 'coder', 'Ann', '2024-01-01 11:00:00');
             INSERT INTO tasks (id, agent_id, description, status, priority) VALUES ('t-1', 'first', 'd', 'odd', 'urgent');
             INSERT INTO tasks (id, description, status, completed_at) VALUES ('t-2', 'd', 'done', '2024-02-02 00:00:00');",
        );
        if db.backend() == Backend::Postgres {
            plant(
                &db,
                "UPDATE agents SET workload = 'NaN', x = 'NaN', cpu_usage = coalesce(cpu_usage, 'NaN')",
            );
        }
        let (swarm, agents, tasks) = store.load_swarm(LEGACY_SWARM).await.unwrap().unwrap();
        assert_eq!((swarm.owner.as_str(), swarm.name.as_str(), swarm.next_slot), (LEGACY_OWNER, "legacy", 2));
        let [first, second] = agents.as_slice() else { panic!("{agents:?}") };
        assert_eq!((first.id.as_str(), first.slot, second.slot), ("first", 0, 1));
        assert_eq!((first.kind, first.state), (AgentType::Specialist, AgentState::Active));
        assert_eq!((first.name.as_str(), second.name.as_str()), ("specialist-1", "Ann"));
        assert_eq!(first.capabilities, ["a", "b"]);
        assert_eq!((first.stage, first.stale), (CommandStage::Unverified, true), "nobody of v2 saw it");
        assert_eq!((first.figures.cpu_usage, first.figures.health), (Some(0.375), Some(0.97)));
        let seen = Utc.with_ymd_and_hms(2024, 1, 2, 10, 0, 0).unwrap();
        assert_eq!(first.observation, Some(Observation { observed_at: seen, source: Source::Db }));
        assert_eq!((second.figures, second.observation), (Figures::default(), None));

        let odd = tasks.iter().find(|task| task.assigned_agents == [first.id.clone()]).unwrap();
        assert_eq!((odd.status, odd.priority), (TaskState::Pending, Priority::Critical));
        assert_eq!(odd.reason.as_deref(), Some("v1 status \"odd\""));
        assert_eq!(store.task(odd.id).await.unwrap().as_ref(), Some(odd));
        let done = tasks.iter().find(|task| task.id != odd.id).unwrap();
        assert_eq!(done.finished_at, Some(Utc.with_ymd_and_hms(2024, 2, 2, 0, 0, 0).unwrap()));
        assert_eq!(store.list_swarms(SwarmFilter::default(), 10).await.unwrap().len(), 1);
        let again = store.load_all().await.unwrap();
        assert_eq!(again.swarms, [(swarm, agents.clone(), tasks.clone())], "{:?}", db.backend());
    }
}

#[tokio::test]
async fn v2_saves_v1s_rows_in_place_and_keeps_their_words() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        plant(
            &db,
            "INSERT INTO agents (id, type, status, capabilities, cpu_usage) VALUES ('a', 'Worker', 'flying', 'x,y', 50);
             INSERT INTO tasks (id, agent_id, description, status) VALUES ('t-1', 'a', 'd', 'odd');",
        );
        let (_, mut agents, mut tasks) = store.load_swarm(LEGACY_SWARM).await.unwrap().unwrap();
        agents[0].state = AgentState::Busy;
        agents[0].updated_at = at(9);
        tasks[0].status = TaskState::InProgress;
        let change = Change { agents: agents.clone(), tasks: tasks.clone(), ..Change::new(LEGACY_SWARM) };
        store.save(change).await.unwrap();
        let (_, loaded_agents, loaded_tasks) = store.load_swarm(LEGACY_SWARM).await.unwrap().unwrap();
        assert_eq!((loaded_agents, &loaded_tasks), (agents.clone(), &tasks), "{:?}", db.backend());
        assert_eq!(tasks.len(), 1, "the row of v1 was changed, no second one made");

        // the agent goes although v1's key holds it, and the task still tells whose it was
        let removed_agents = vec![agents[0].id.clone()];
        store.save(Change { removed_agents, ..Change::new(LEGACY_SWARM) }).await.unwrap();
        assert_eq!(store.task(tasks[0].id).await.unwrap().unwrap().assigned_agents, tasks[0].assigned_agents);
        plant(&db, "INSERT INTO agents (id, type) VALUES ('b', 'coder')");
        let (_, agents, _) = store.load_swarm(LEGACY_SWARM).await.unwrap().unwrap();
        assert_eq!((agents[0].id.as_str(), agents[0].slot), ("b", 1), "a slot is never used twice");
    }
}

#[tokio::test]
async fn rows_that_v2_can_not_say_stay_v1s_and_block_nobody() {
    for db in TestDb::each() {
        let store = db.store().unwrap();
        let long = "x".repeat(129);
        plant(
            &db,
            &format!(
                "INSERT INTO agents (id, type) VALUES ('{long}', 'coder'), ('', 'coder'), ('ok', 'coder')"
            ),
        );
        for _ in 0..2 {
            let (_, agents, _) = store.load_swarm(LEGACY_SWARM).await.unwrap().unwrap();
            assert_eq!(agents.iter().map(|agent| agent.id.as_str()).collect::<Vec<_>>(), ["ok"]);
        }
        if db.backend() == Backend::Sqlite {
            plant(
                &db,
                "INSERT INTO agents (id, type) VALUES (NULL, 'coder'); UPDATE agents SET created_at = 'long ago' WHERE id = ''",
            );
            assert_eq!(store.load_swarm(LEGACY_SWARM).await.unwrap().unwrap().1.len(), 1);
        }
    }
}
