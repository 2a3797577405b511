//! Calls under faults planned at random: each ends once and in time, and nothing happens twice.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::*;
use crate::domain::{Agent, AgentId};
use crate::mcp_runtime::faults::{Fault, FaultPlan};

const CALL: Duration = Duration::from_millis(300);
const LATE_MAX: Duration = Duration::from_secs(1);

/// A small generator, so that a run is named by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % limit
    }

    fn fault(&mut self) -> Fault {
        match self.below(8) {
            0 => Fault::Delay(Duration::from_millis(50)),
            1 => Fault::DropReply,
            2 => Fault::NeverAnswer,
            3 => Fault::WrongId,
            4 => Fault::GarbageLine("🐝 [INFO] {\"a\": ".into()),
            5 => Fault::CloseMidReply,
            6 => Fault::CloseBeforeReply,
            _ => Fault::DuplicateReply,
        }
    }
}

/// Spawns agents one after another, while others read; returns how each spawn ended.
async fn run(seed: u64) {
    let faults = FaultPlan::default();
    let (running, runtime, handle) = runtimes::start(|config| config.faults = faults.clone()).await;
    let mut swarm = runtimes::swarm();
    swarm.runtime_id = Some(runtime.swarm_init(&swarm, soon()).await.unwrap());
    let mut random = Random(seed);
    for _ in 0..24 {
        let name = if random.below(3) == 0 { "agent_list" } else { "agent_spawn" };
        let (skip, fault) = (random.below(20), random.fault());
        faults.plan_after(skip, name, fault, 1);
    }
    let agents: Vec<Agent> = (0..40).map(|_| runtimes::agent(&swarm)).collect();
    let spawns = async {
        let mut ends = Vec::new();
        for agent in &agents {
            let began = Instant::now();
            ends.push(runtime.agent_spawn(&swarm, agent, Deadline::within(CALL)).await);
            assert!(began.elapsed() < CALL + LATE_MAX, "seed {seed}");
        }
        ends
    };
    let reads = || async {
        for _ in 0..15 {
            let began = Instant::now();
            drop(runtime.agent_list(&swarm, Deadline::within(CALL)).await);
            assert!(began.elapsed() < CALL + LATE_MAX, "seed {seed}");
        }
    };
    let (ends, (), ()) = tokio::join!(spawns, reads(), reads());
    faults.clear();
    let listed =
        runtime.agent_list(&swarm, soon()).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let mut seen: BTreeMap<AgentId, Vec<String>> = BTreeMap::new();
    for report in listed {
        seen.entry(report.key.unwrap()).or_default().push(report.runtime_id);
    }
    for (agent, end) in agents.iter().zip(ends) {
        let there = seen.get(&agent.id).map_or(&[][..], Vec::as_slice);
        match end {
            Ok(id) => assert_eq!(there, [id], "seed {seed}"),
            Err(error) if error.outcome_unknown() => assert!(there.len() <= 1, "seed {seed}: {there:?}"),
            Err(error) => assert!(there.is_empty(), "seed {seed}: {error} but {there:?}"),
        }
    }
    assert_eq!(handle.health().in_flight, 0, "seed {seed}");
    running.shutdown(Duration::from_secs(2)).await;
}

#[actix::test]
async fn under_random_faults_every_call_ends_in_time_and_nothing_happens_twice() {
    for seed in 0..5 {
        run(seed).await;
    }
}
