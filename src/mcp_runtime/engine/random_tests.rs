//! Any sequence of calls leaves the engine in a state that makes sense.

use std::time::Duration;

use proptest::prelude::*;

use super::records::StepState;
use super::*;
use crate::domain::{NewAgent, NewTask, TaskState, limits};

/// One call, with numbers that choose its swarm, agent, task and options.
#[derive(Debug, Clone, Copy)]
enum Call {
    Init(u8),
    Destroy(u8),
    Spawn(u8, u8),
    Terminate(u8),
    Submit(u8, u8),
    Cancel(u8),
    Wait(u16),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        2 => any::<u8>().prop_map(Call::Init),
        1 => any::<u8>().prop_map(Call::Destroy),
        6 => any::<(u8, u8)>().prop_map(|(s, k)| Call::Spawn(s, k)),
        3 => any::<u8>().prop_map(Call::Terminate),
        6 => any::<(u8, u8)>().prop_map(|(s, k)| Call::Submit(s, k)),
        2 => any::<u8>().prop_map(Call::Cancel),
        8 => (0..3_000_u16).prop_map(Call::Wait),
    ];
    prop::collection::vec(call, 0..120)
}

fn pick<T: Clone>(among: &[T], number: u8) -> Option<T> {
    among.get(usize::from(number).checked_rem(among.len())?).cloned()
}

/// Refusals are as good as successes here.
fn either_way<T>(_outcome: T) {}

fn apply(engine: &mut Engine, elapsed: &mut Duration, id: u128, call: Call) {
    let id = Uuid::from_u128(id);
    let swarms: Vec<String> = engine.swarms().map(SwarmRec::public_id).collect();
    let agents: Vec<String> =
        engine.swarms().flat_map(|s| s.agents.values()).map(AgentRec::public_id).collect();
    let tasks: Vec<String> = engine.swarms().flat_map(|s| s.tasks.values()).map(TaskRec::public_id).collect();
    let start = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
    let now = |elapsed: Duration| Moment { at: start + elapsed, elapsed };
    match call {
        Call::Init(n) => {
            let max_agents = Some(u64::from(n % 7));
            let key = (n % 2 == 0).then(|| format!("s{}", n % 3));
            either_way(engine.swarm_init(
                id,
                SwarmSpec { key, max_agents, ..SwarmSpec::default() },
                now(*elapsed),
            ));
        }
        Call::Destroy(n) => either_way(pick(&swarms, n).map(|id| engine.swarm_destroy(&id))),
        Call::Spawn(s, n) => {
            let new = NewAgent::parse("coder", None, Vec::new()).unwrap();
            let spec = AgentSpec { key: (n % 2 == 0).then(|| format!("a{}", n % 5)), new };
            either_way(
                pick(&swarms, s).map(|swarm| engine.agent_spawn(id, &swarm, spec, now(*elapsed)).is_ok()),
            );
        }
        Call::Terminate(n) => {
            either_way(pick(&agents, n).map(|id| engine.agent_terminate(&id, None, now(*elapsed))))
        }
        Call::Submit(s, n) => {
            let word = |words: &[&'static str]| pick(words, n);
            let strategy = word(crate::domain::TaskStrategy::WORDS);
            let new = NewTask::parse(
                "x".into(),
                word(&["low", "critical"]),
                strategy,
                pick(&[None, Some(1), Some(2)], n).flatten(),
            );
            let spec = TaskSpec { key: (n % 2 == 0).then(|| format!("t{}", n % 5)), new: new.unwrap() };
            either_way(
                pick(&swarms, s)
                    .map(|swarm| engine.task_orchestrate(id, &swarm, spec, now(*elapsed)).is_ok()),
            );
        }
        Call::Cancel(n) => {
            either_way(pick(&tasks, n).map(|id| engine.task_cancel(&id, None, now(*elapsed)).is_ok()))
        }
        Call::Wait(ms) => {
            *elapsed += Duration::from_millis(ms.into());
            engine.advance(now(*elapsed));
        }
    }
}

fn check_task(swarm: &SwarmRec, task: &TaskRec) {
    let queued = swarm.queue.iter().any(|(_, id)| *id == task.id);
    assert_eq!(queued, !task.status.is_final(), "open tasks are queued, ended ones are not: {task:?}");
    assert_eq!(task.status == TaskState::Completed, task.steps_done() == task.steps_total(), "{task:?}");
    assert_eq!(task.status == TaskState::Completed, task.result.is_some(), "{task:?}");
    assert_eq!(task.status.is_final(), task.finished_at.is_some());
    assert_eq!(task.status == TaskState::Pending, task.assigned.is_empty() && !task.status.is_final());
    assert!(task.working().count() == 0 || task.status == TaskState::InProgress, "{task:?}");
    let max = task.max_agents.map_or(limits::TASK_AGENTS_MAX, |max| usize::try_from(max).unwrap());
    assert!(task.working().count() <= max);
    for worker in task.working() {
        let work = swarm.agents[&worker].work.expect("who is named as working works");
        assert_eq!((work.task, task.steps[work.step].state), (task.id, StepState::Running(worker)));
    }
}

fn check(engine: &Engine, elapsed: Duration) {
    let mut working = 0;
    for swarm in engine.swarms() {
        let idle = swarm.agents.len() - swarm.busy_agents();
        working += swarm.busy_agents();
        for agent in swarm.agents.values() {
            assert_eq!(engine.agent_home[&agent.id], swarm.id);
            if let Some(work) = agent.work {
                assert!(engine.running.contains(&(work.due, agent.id)) && work.due > elapsed);
                assert!(swarm.tasks[&work.task].working().any(|id| id == agent.id));
            }
        }
        for task in swarm.tasks.values() {
            check_task(swarm, task);
            let starved = task.status == TaskState::Pending && idle > 0;
            assert!(!starved, "a task waits although {idle} agents are idle: {task:?}");
        }
        assert!(swarm.tasks.len() - swarm.open_tasks() <= engine.limits.ended_tasks_per_swarm);
        assert!(swarm.agent_keys.values().all(|id| swarm.agents.contains_key(id)));
        assert!(swarm.task_keys.values().all(|id| swarm.tasks.contains_key(id)));
    }
    assert_eq!(working, engine.running.len());
    assert_eq!(engine.agent_home.len(), engine.swarms().map(|s| s.agents.len()).sum::<usize>());
    assert_eq!(engine.task_home.len(), engine.swarms().map(|s| s.tasks.len()).sum::<usize>());
}

proptest! {
    #[test]
    fn every_state_makes_sense(calls in calls()) {
        let limits = EngineLimits { swarms: 3, agents: 9, agents_per_swarm: 5, open_tasks_per_swarm: 4, ended_tasks_per_swarm: 3, ended_keys: 4 };
        let mut engine = Engine::new(limits, WorkTiming::default());
        let mut elapsed = Duration::ZERO;
        for (call, id) in calls.into_iter().zip(1..) {
            apply(&mut engine, &mut elapsed, id, call);
            check(&engine, elapsed);
        }
        // Left alone, all that has agents comes to an end.
        apply(&mut engine, &mut elapsed, 0, Call::Wait(2_999));
        for _ in 0..100 {
            apply(&mut engine, &mut elapsed, 0, Call::Wait(2_999));
        }
        check(&engine, elapsed);
        for swarm in engine.swarms().filter(|swarm| !swarm.agents.is_empty()) {
            prop_assert_eq!(swarm.open_tasks(), 0);
        }
    }
}
