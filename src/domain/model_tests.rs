//! The rules of a swarm under commands and observations.

use super::*;
use crate::domain::{AgentType, NewSwarm, SwarmId, SwarmState, Topology};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    chrono::DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn model(max_agents: u64) -> SwarmModel {
    let new = NewSwarm::parse("s".into(), None, None, Some(max_agents), Topology::Mesh, 200).unwrap();
    let mut swarm = new.accept(SwarmId(Uuid::from_u128(1)), "alice".into(), at(0));
    assert!(swarm.advance(SwarmState::Active, None, at(0)));
    SwarmModel::new(swarm, vec![], vec![])
}

fn coder() -> NewAgent {
    NewAgent { kind: AgentType::Coder, name: None, capabilities: vec![] }
}

fn spawn(model: &mut SwarmModel, n: u128) -> AgentId {
    let id = AgentId::from_uuid(Uuid::from_u128(n));
    model.accept_agent(coder(), id.clone(), at(1)).unwrap();
    model.set_agent_stage(&id, CommandStage::Acknowledged, Some(format!("r{n}")), at(1)).unwrap();
    id
}

fn report(n: u128, state: AgentState) -> AgentReport {
    AgentReport { runtime_id: format!("r{n}"), state: Some(state), ..AgentReport::default() }
}

#[test]
fn slots_rise_and_are_never_used_twice() {
    let mut model = model(10);
    let first = spawn(&mut model, 1);
    spawn(&mut model, 2);
    model.forget_agent(&first, at(2)).unwrap();
    spawn(&mut model, 3);
    assert_eq!(model.agents().map(|a| a.slot).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(model.swarm.next_slot, 3);
}

#[test]
fn the_agent_limit_holds_and_names_itself() {
    let mut model = model(2);
    spawn(&mut model, 1);
    spawn(&mut model, 2);
    let refused = model.accept_agent(coder(), AgentId::from_uuid(Uuid::from_u128(3)), at(1));
    assert_eq!(refused, Err(DomainError::AgentLimit { agents: 2, max: 2 }));
    assert_eq!(model.agent_count(), 2);
}

#[test]
fn an_acknowledged_agent_is_verified_by_the_runtimes_list_alone() {
    let mut model = model(10);
    let id = spawn(&mut model, 1);
    assert_eq!(model.agent(&id).unwrap().stage, CommandStage::Acknowledged);
    model.observe(&[report(1, AgentState::Idle)], at(2));
    let agent = model.agent(&id).unwrap();
    assert_eq!((agent.stage, agent.state), (CommandStage::Verified, AgentState::Idle));
    assert_eq!(agent.observation.unwrap().observed_at, at(2));
}

#[test]
fn an_agent_that_no_list_shows_becomes_unverified_after_two_polls_and_stays() {
    let mut model = model(10);
    let id = spawn(&mut model, 1);
    for second in 2..6 {
        model.observe(&[report(99, AgentState::Idle)], at(second));
    }
    assert_eq!(model.agent(&id).unwrap().stage, CommandStage::Unverified);
}

#[test]
fn an_empty_answer_removes_nobody_and_two_complete_ones_do() {
    let mut model = model(10);
    let id = spawn(&mut model, 1);
    spawn(&mut model, 2);
    model.observe(&[report(1, AgentState::Idle), report(2, AgentState::Idle)], at(2));
    for second in 3..10 {
        assert_eq!(model.observe(&[], at(second)), ObservedDiff::default());
    }
    assert!(model.observe(&[report(2, AgentState::Idle)], at(10)).removed.is_empty());
    assert_eq!(model.observe(&[report(2, AgentState::Idle)], at(11)).removed, [id]);
}

#[test]
fn a_terminated_agent_is_gone_once_the_list_lacks_it_and_unverified_while_it_shows_it() {
    let mut model = model(10);
    let (gone, stubborn) = (spawn(&mut model, 1), spawn(&mut model, 2));
    model.observe(&[report(1, AgentState::Idle), report(2, AgentState::Idle)], at(2));
    for id in [&gone, &stubborn] {
        model.begin_removal(id, at(3)).unwrap();
        model.set_agent_stage(id, CommandStage::Acknowledged, None, at(3)).unwrap();
    }
    assert_eq!(model.observe(&[report(2, AgentState::Idle)], at(4)).removed, [gone]);
    model.observe(&[report(2, AgentState::Idle)], at(5));
    let agent = model.agent(&stubborn).unwrap();
    assert_eq!((agent.state, agent.stage), (AgentState::Terminating, CommandStage::Unverified));
}

#[test]
fn the_same_answer_twice_changes_nothing_the_second_time() {
    let mut model = model(10);
    spawn(&mut model, 1);
    model.observe(&[report(1, AgentState::Busy)], at(2));
    let version = model.swarm.version;
    assert_eq!(model.observe(&[report(1, AgentState::Busy)], at(3)), ObservedDiff::default());
    assert_eq!(model.swarm.version, version);
}

#[test]
fn staleness_is_told_once_and_ends_with_the_next_observation() {
    let mut model = model(10);
    let id = spawn(&mut model, 1);
    model.observe(&[report(1, AgentState::Idle)], at(2));
    let age = chrono::TimeDelta::seconds(3);
    assert!(model.mark_stale(age, at(5)).events.is_empty());
    assert_eq!(model.mark_stale(age, at(6)).events.len(), 1);
    assert!(model.mark_stale(age, at(7)).events.is_empty());
    model.observe(&[report(1, AgentState::Idle)], at(8));
    assert!(!model.agent(&id).unwrap().stale);
}

#[test]
fn a_paused_swarm_takes_no_work_and_a_finished_task_is_not_cancelled() {
    let mut model = model(10);
    let new = NewTask::parse("do".into(), None, None, None).unwrap();
    let id = TaskId(Uuid::from_u128(7));
    model.accept_task(new.clone(), id, at(1)).unwrap();
    model.cancel_task(id, at(2)).unwrap();
    assert!(matches!(model.cancel_task(id, at(3)), Err(DomainError::WrongTaskState { .. })));
    assert!(model.swarm.advance(SwarmState::Paused, None, at(3)));
    assert!(matches!(
        model.accept_task(new, TaskId(Uuid::from_u128(8)), at(4)),
        Err(DomainError::WrongSwarmState { state: SwarmState::Paused, command: "task" })
    ));
}
