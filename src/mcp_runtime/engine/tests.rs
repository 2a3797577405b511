//! The engine with a clock that tests move.

use std::time::Duration;

use super::*;
use crate::domain::{NewAgent, NewTask, TaskState, Topology};

const STEP: Duration = Duration::from_secs(1);

/// An engine whose tasks have three steps of one second, ids in sequence, and its clock.
struct Fixture {
    engine: Engine,
    elapsed: Duration,
    next_id: u128,
}

impl Fixture {
    fn new() -> Self {
        Self::with(EngineLimits::default())
    }

    fn with(limits: EngineLimits) -> Self {
        let timing = WorkTiming { steps_min: 3, steps_max: 3, step_min: STEP, step_max: STEP };
        Self { engine: Engine::new(limits, timing), elapsed: Duration::ZERO, next_id: 0 }
    }

    fn now(&self) -> Moment {
        let start = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
        Moment { at: start + self.elapsed, elapsed: self.elapsed }
    }

    fn id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    fn pass(&mut self, time: Duration) -> Option<Duration> {
        self.elapsed += time;
        let now = self.now();
        self.engine.advance(now)
    }

    fn swarm(&mut self, key: Option<&str>) -> String {
        let (id, now) = (self.id(), self.now());
        let spec = SwarmSpec { key: key.map(str::to_owned), max_agents: Some(50), ..SwarmSpec::default() };
        self.engine.swarm_init(id, spec, now).unwrap().0.public_id()
    }

    fn spawn(&mut self, swarm: &str, key: Option<&str>) -> Result<String, EngineError> {
        let (id, now) = (self.id(), self.now());
        let new = NewAgent::parse("coder", None, Vec::new()).unwrap();
        let spec = AgentSpec { key: key.map(str::to_owned), new };
        self.engine.agent_spawn(id, swarm, spec, now).map(|(agent, _)| agent.public_id())
    }

    fn submit(&mut self, swarm: &str, strategy: &str, priority: &str, max: Option<u32>) -> String {
        self.submit_with(swarm, strategy, priority, max, None).unwrap()
    }

    fn submit_with(
        &mut self,
        swarm: &str,
        strategy: &str,
        priority: &str,
        max: Option<u32>,
        key: Option<&str>,
    ) -> Result<String, EngineError> {
        let (id, now) = (self.id(), self.now());
        let new = NewTask::parse("work".into(), Some(priority), Some(strategy), max).unwrap();
        let spec = TaskSpec { key: key.map(str::to_owned), new };
        self.engine.task_orchestrate(id, swarm, spec, now).map(|(_, task, _)| task.public_id())
    }

    fn task(&self, id: &str) -> &TaskRec {
        self.engine.task(id, None).unwrap().1
    }

    fn busy(&self) -> usize {
        self.engine.counts().busy_agents
    }

    fn terminate(&mut self, agent: &str) -> Result<AgentRec, EngineError> {
        let now = self.now();
        self.engine.agent_terminate(agent, None, now)
    }
}

#[test]
fn the_same_key_means_the_same_swarm_agent_and_task() {
    let mut f = Fixture::new();
    let swarm = f.swarm(Some("s"));
    assert_eq!(f.swarm(Some("s")), swarm);
    assert_ne!(f.swarm(Some("other")), swarm);
    assert_ne!(f.swarm(None), f.swarm(None));
    let agent = f.spawn(&swarm, Some("a")).unwrap();
    assert_eq!(f.spawn(&swarm, Some("a")).unwrap(), agent);
    assert_eq!(f.engine.swarm(&swarm).unwrap().agents.len(), 1);
    let task = f.submit_with(&swarm, "parallel", "low", None, Some("t")).unwrap();
    assert_eq!(f.submit_with(&swarm, "parallel", "low", None, Some("t")).unwrap(), task);
    let other = f.swarm(Some("other"));
    assert_ne!(f.spawn(&other, Some("a")).unwrap(), agent, "keys of agents belong to their swarm");
}

#[test]
fn a_known_key_brings_the_swarm_to_what_is_asked() {
    let mut f = Fixture::new();
    let swarm = f.swarm(Some("s"));
    let (id, now) = (f.id(), f.now());
    let spec = SwarmSpec {
        key: Some("s".into()),
        topology: Some(Topology::Star),
        max_agents: Some(1),
        ..SwarmSpec::default()
    };
    let (found, existing) = f.engine.swarm_init(id, spec, now).unwrap();
    assert!(existing && found.public_id() == swarm);
    assert_eq!((found.topology, found.max_agents), (Topology::Star, 1));
    f.spawn(&swarm, None).unwrap();
    assert_eq!(f.spawn(&swarm, None), Err(EngineError::AgentLimit { agents: 1, max: 1 }));
}

#[test]
fn a_terminated_agent_does_not_come_back_by_a_late_repetition() {
    let mut f = Fixture::new();
    let swarm = f.swarm(Some("s"));
    let agent = f.spawn(&swarm, Some("a")).unwrap();
    f.terminate(&agent).unwrap();
    assert_eq!(f.spawn(&swarm, Some("a")), Err(EngineError::AgentEnded { key: "a".into() }));
    assert!(matches!(f.terminate(&agent), Err(EngineError::AgentNotFound { .. })));
    // A swarm that is made anew starts anew.
    f.engine.swarm_destroy(&swarm).unwrap();
    let again = f.swarm(Some("s"));
    assert_ne!(again, swarm, "an id is never used twice");
    assert_ne!(f.spawn(&again, Some("a")).unwrap(), agent);
}

#[test]
fn agents_are_busy_while_they_work_and_idle_again_after() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let agents: Vec<String> = (0..2).map(|_| f.spawn(&swarm, None).unwrap()).collect();
    let task = f.submit(&swarm, "parallel", "medium", None);
    assert_eq!((f.busy(), f.task(&task).status), (2, TaskState::InProgress));
    assert_eq!(f.pass(STEP / 2), Some(STEP));
    assert!(f.task(&task).progress() <= 0.0);
    assert_eq!(f.pass(STEP / 2), Some(STEP * 2));
    assert_eq!((f.busy(), f.task(&task).steps_done()), (1, 2), "three steps: one is left for one agent");
    assert_eq!(f.pass(STEP), None);
    let ended = f.task(&task);
    assert_eq!((ended.status, ended.progress(), f.busy()), (TaskState::Completed, 1.0, 0));
    assert!(ended.result.as_deref().unwrap().starts_with("simulated work: 3 steps by 2 agents in 2000 ms"));
    assert_eq!(ended.finished_at, Some(f.now().at));
    let records: Vec<&AgentRec> = agents.iter().map(|id| f.engine.agent(id, None).unwrap().1).collect();
    assert!(records.iter().all(|agent| agent.tasks_completed == 1 && agent.tasks_failed == 0));
    assert_eq!(records.iter().map(|agent| agent.steps_done).sum::<u64>(), 3);
    assert_eq!(records.iter().map(|agent| agent.busy_until(f.elapsed)).sum::<Duration>(), STEP * 3);
}

#[test]
fn a_late_clock_leads_to_the_same_state_as_a_timely_one() {
    let run = |ticks: &[u64]| {
        let mut f = Fixture::new();
        let swarm = f.swarm(None);
        for _ in 0..3 {
            f.spawn(&swarm, None).unwrap();
        }
        for strategy in ["parallel", "sequential", "adaptive", "parallel"] {
            f.submit(&swarm, strategy, "medium", Some(2));
        }
        for tick in ticks {
            f.pass(Duration::from_millis(*tick));
        }
        let tasks = f.engine.swarm(&swarm).unwrap().tasks.values();
        tasks.map(|t| (t.status, t.finished_at, t.assigned.clone())).collect::<Vec<_>>()
    };
    let timely = run(&[100; 200]);
    assert!(timely.iter().all(|task| task.0 == TaskState::Completed));
    assert_eq!(timely, run(&[20_000]));
    assert_eq!(timely, run(&[1, 7_777, 12_222]));
}

#[test]
fn strategies_and_limits_decide_how_many_work_at_once() {
    for (strategy, max, at_first, ends_after) in [
        ("sequential", None, 1, 3),
        ("parallel", None, 3, 1),
        ("parallel", Some(2), 2, 2),
        ("adaptive", None, 3, 1),
        ("adaptive", Some(1), 1, 3),
    ] {
        let mut f = Fixture::new();
        let swarm = f.swarm(None);
        for _ in 0..5 {
            f.spawn(&swarm, None).unwrap();
        }
        let task = f.submit(&swarm, strategy, "medium", max);
        assert_eq!(f.busy(), at_first, "{strategy} {max:?}");
        f.pass(STEP * (ends_after - 1));
        assert_eq!(f.task(&task).status, TaskState::InProgress, "{strategy} {max:?}");
        f.pass(STEP);
        assert_eq!(f.task(&task).status, TaskState::Completed, "{strategy} {max:?}");
        let assigned = f.task(&task).assigned.len();
        assert!(max.is_none_or(|max| assigned <= usize::try_from(max).unwrap()), "{strategy} {assigned}");
    }
}

#[test]
fn adaptive_tasks_share_the_swarm_fairly() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let tasks = ["medium", "medium"].map(|priority| f.submit(&swarm, "adaptive", priority, None));
    for _ in 0..4 {
        f.spawn(&swarm, None).unwrap();
    }
    let working = |f: &Fixture| tasks.each_ref().map(|id| f.task(id).working().count());
    assert_eq!(working(&f), [2, 2]);
}

#[test]
fn tasks_wait_for_agents_and_the_urgent_ones_go_first() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let low = f.submit(&swarm, "sequential", "low", None);
    let critical = f.submit(&swarm, "sequential", "critical", None);
    assert_eq!((f.task(&low).status, f.task(&critical).status), (TaskState::Pending, TaskState::Pending));
    assert_eq!(f.pass(STEP * 10), None, "nothing happens without agents");
    f.spawn(&swarm, None).unwrap();
    assert_eq!((f.task(&low).status, f.task(&critical).status), (TaskState::Pending, TaskState::InProgress));
    f.pass(STEP * 3);
    assert_eq!(
        (f.task(&low).status, f.task(&critical).status),
        (TaskState::InProgress, TaskState::Completed)
    );
}

#[test]
fn the_step_of_a_terminated_agent_goes_to_another_one() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let first = f.spawn(&swarm, None).unwrap();
    let task = f.submit(&swarm, "sequential", "medium", Some(1));
    let second = f.spawn(&swarm, None).unwrap();
    f.pass(STEP / 2);
    f.terminate(&first).unwrap();
    assert_eq!(
        f.engine.agent(&second, None).unwrap().1.status(),
        "busy",
        "it takes over, from the start of the step"
    );
    assert_eq!(f.pass(STEP * 5 / 2), Some(STEP * 7 / 2));
    f.pass(STEP / 2);
    let task = f.task(&task);
    assert_eq!(
        (task.status, task.assigned.len()),
        (TaskState::Completed, 2),
        "who left no longer counts for maxAgents"
    );
}

#[test]
fn a_task_that_nobody_is_left_for_fails_with_a_reason() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let agent = f.spawn(&swarm, None).unwrap();
    let (running, waiting) =
        (f.submit(&swarm, "parallel", "high", None), f.submit(&swarm, "parallel", "low", None));
    f.terminate(&agent).unwrap();
    let failed = f.task(&running);
    assert_eq!((failed.status, failed.result.as_deref()), (TaskState::Failed, None));
    assert!(failed.reason.as_deref().unwrap().contains("coder-1 was terminated in step 1"));
    assert_eq!(f.task(&waiting).status, TaskState::Pending, "it never began, so it waits");
    assert_eq!(f.pass(STEP * 9), None);
}

#[test]
fn a_step_that_loses_its_agent_again_and_again_fails_its_task() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let agents: Vec<String> = (0..4).map(|_| f.spawn(&swarm, None).unwrap()).collect();
    let task = f.submit(&swarm, "sequential", "medium", None);
    for n in 0..3 {
        assert_eq!(f.task(&task).status, TaskState::InProgress, "after {n}");
        let worker = f.task(&task).working().next().unwrap();
        f.terminate(&format!("agent-{worker}")).unwrap();
    }
    assert_eq!(f.task(&task).status, TaskState::Failed);
    assert!(f.task(&task).reason.as_deref().unwrap().contains("lost its agent 3 times"));
    let left = agents.iter().filter(|id| f.engine.agent(id, None).is_ok()).count();
    assert_eq!((left, f.busy()), (1, 0));
}

#[test]
fn cancelling_frees_the_agents_at_once_and_only_once() {
    let mut f = Fixture::new();
    let swarm = f.swarm(None);
    let agent = f.spawn(&swarm, None).unwrap();
    let (one, two) = (f.submit(&swarm, "parallel", "high", None), f.submit(&swarm, "parallel", "low", None));
    let now = f.now();
    assert_eq!(f.engine.task_cancel(&one, Some(&swarm), now).unwrap().status, TaskState::Cancelled);
    assert_eq!(f.task(&two).status, TaskState::InProgress, "its agent goes on with the next task");
    let error = f.engine.task_cancel(&one, None, now).unwrap_err();
    assert_eq!(error, EngineError::TaskOver { id: one, status: "cancelled" });
    let agent = f.engine.agent(&agent, None).unwrap().1;
    assert_eq!((agent.tasks_completed, agent.tasks_failed), (0, 0));
}

#[test]
fn every_limit_refuses_by_name_and_changes_nothing() {
    let limits = EngineLimits {
        swarms: 1,
        agents: 2,
        agents_per_swarm: 200,
        open_tasks_per_swarm: 1,
        ended_tasks_per_swarm: 1,
        ended_keys: 10,
    };
    let mut f = Fixture::with(limits);
    let swarm = f.swarm(Some("s"));
    let (id, now) = (f.id(), f.now());
    let refused = f.engine.swarm_init(id, SwarmSpec::default(), now).unwrap_err();
    assert_eq!(
        (refused.code(), refused),
        ("swarm_limit_reached", EngineError::SwarmLimit { live: 1, max: 1 })
    );
    assert_eq!(f.swarm(Some("s")), swarm, "a known key is no new swarm");
    let too_many = SwarmSpec { key: Some("s".into()), max_agents: Some(201), ..SwarmSpec::default() };
    assert_eq!(f.engine.swarm_init(id, too_many, now).unwrap_err().code(), "invalid_arguments");
    let agents = [f.spawn(&swarm, Some("a")).unwrap(), f.spawn(&swarm, None).unwrap()];
    assert_eq!(f.spawn(&swarm, None), Err(EngineError::RuntimeAgentLimit { agents: 2, max: 2 }));
    assert_eq!(f.spawn(&swarm, Some("a")).unwrap(), agents[0]);
    let first = f.submit_with(&swarm, "parallel", "low", None, Some("t")).unwrap();
    let refused = f.submit_with(&swarm, "parallel", "low", None, None).unwrap_err();
    assert_eq!(refused, EngineError::TaskLimit { open: 1, max: 1 });
    f.pass(STEP * 2);
    let second = f.submit(&swarm, "parallel", "low", None);
    f.pass(STEP * 2);
    assert_eq!(f.task(&second).status, TaskState::Completed);
    assert!(matches!(f.engine.task(&first, None), Err(EngineError::TaskNotFound { .. })), "only one is kept");
    let late = f.submit_with(&swarm, "parallel", "low", None, Some("t")).unwrap_err();
    assert_eq!(late, EngineError::TaskEnded { key: "t".into() });
    let long = "k".repeat(KEY_CHARS_MAX + 1);
    assert_eq!(f.spawn(&swarm, Some(&long)).unwrap_err().code(), "invalid_arguments");
    assert_eq!(f.engine.counts(), Counts { swarms: 1, agents: 2, busy_agents: 0, open_tasks: 0, tasks: 1 });
}

#[test]
fn destroying_a_swarm_leaves_nothing_of_it() {
    let mut f = Fixture::new();
    let swarm = f.swarm(Some("s"));
    let agent = f.spawn(&swarm, Some("a")).unwrap();
    let task = f.submit(&swarm, "parallel", "low", None);
    assert_eq!(f.engine.swarm_destroy(&swarm).unwrap().agents, 1);
    assert_eq!(f.engine.counts(), Counts::default());
    assert!(f.engine.agent(&agent, None).is_err() && f.engine.task(&task, None).is_err());
    assert!(matches!(f.engine.swarm_destroy(&swarm), Err(EngineError::SwarmNotFound { .. })));
    assert!(f.engine.swarm_keys.is_empty() && f.engine.running.is_empty());
    assert_eq!(f.pass(STEP), None);
}

#[test]
fn ids_of_other_swarms_and_other_kinds_name_nothing() {
    let mut f = Fixture::new();
    let (one, two) = (f.swarm(None), f.swarm(None));
    let agent = f.spawn(&one, None).unwrap();
    assert!(f.engine.agent(&agent, Some(&one)).is_ok());
    assert!(matches!(f.engine.agent(&agent, Some(&two)), Err(EngineError::AgentNotFound { .. })));
    assert!(matches!(f.engine.agent(&agent, Some("swarm-nope")), Err(EngineError::SwarmNotFound { .. })));
    for id in ["", "agent-", "agent-1", &one, &"x".repeat(9_999)] {
        let error = f.engine.agent(id, None).unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }
}
