//! The store against real databases: SQLite always, PostgreSQL when `VISIONFLOW_TEST_POSTGRES` names one.

mod bounds;
mod migrations;
mod repository;
mod v1_rows;

use chrono::{TimeDelta, TimeZone, Utc};
use uuid::Uuid;

use super::{AnyConnection, Store, StoreResult};
use crate::domain::{
    Agent, AgentId, AgentState, AgentType, CommandStage, Event, EventKind, Figures, NewSwarm, Observation,
    Priority, Source, Swarm, SwarmId, SwarmStrategy, Task, TaskId, TaskState, TaskStrategy, Timestamp,
    Topology,
};
use crate::testkit::test_db::TestDb;

/// A moment, `n` seconds and some microseconds into the story.
fn at(n: i64) -> Timestamp {
    Utc.with_ymd_and_hms(2025, 9, 18, 12, 0, 0).unwrap()
        + TimeDelta::seconds(n)
        + TimeDelta::microseconds(123_456)
}

fn swarm(n: u128, owner: &str) -> Swarm {
    let new = NewSwarm {
        name: format!("swarm {n} ü"),
        topology: Topology::Ring,
        strategy: SwarmStrategy::Balanced,
        max_agents: 50,
    };
    let seconds = i64::try_from(n % 1_000).unwrap();
    new.accept(
        SwarmId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + n)),
        owner.into(),
        at(seconds),
    )
}

fn agent(swarm: &Swarm, slot: u32, id: &str) -> Agent {
    Agent {
        id: AgentId::parse(id).unwrap(),
        swarm_id: swarm.id,
        slot,
        kind: AgentType::Coder,
        name: format!("agent {slot}"),
        capabilities: vec!["rust".into(), "söl, with \"commas\"".into()],
        state: AgentState::Busy,
        stage: CommandStage::Verified,
        runtime_id: Some(format!("agent_{slot}")),
        current_task: Some("t".into()),
        figures: Figures {
            health: Some(0.1),
            workload: None,
            tokens_used: Some(u64::MAX),
            ..Figures::default()
        },
        observation: Some(Observation { observed_at: at(3), source: Source::Mcp }),
        stale: false,
        missed_polls: 1,
        created_at: at(1),
        updated_at: at(2),
    }
}

fn task(swarm: &Swarm, n: u128, status: TaskState) -> Task {
    let seconds = i64::try_from(n).unwrap();
    Task {
        id: TaskId(Uuid::from_u128(
            0x0198_0000_0000_7000_9000_0000_0000_0000 + (swarm.id.0.as_u128() << 16) + n,
        )),
        swarm_id: swarm.id,
        description: "做 it'; DROP TABLE tasks; --".into(),
        priority: Priority::High,
        strategy: TaskStrategy::Parallel,
        max_agents: Some(3),
        status,
        stage: CommandStage::Acknowledged,
        progress: Some(0.25),
        result: None,
        reason: None,
        assigned_agents: vec![AgentId::parse("a").unwrap()],
        runtime_id: Some("task_1".into()),
        observed_at: Some(at(5)),
        created_at: at(seconds),
        updated_at: at(seconds + 1),
        finished_at: status.is_final().then(|| at(seconds + 1)),
    }
}

fn created(swarm: &Swarm) -> EventKind {
    EventKind::SwarmCreated { name: swarm.name.clone() }
}

async fn create(store: &Store, swarm: &Swarm) -> StoreResult<Event> {
    store.create_swarm(swarm.clone(), 1_000, created(swarm), "alice".into()).await
}

/// Runs a statement behind the store's back.
fn plant(db: &TestDb, sql: &str) {
    conn(db).batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn conn(db: &TestDb) -> AnyConnection {
    db.connection().unwrap()
}
