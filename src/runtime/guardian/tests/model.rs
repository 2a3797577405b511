//! Random commands and random failures against a model: nothing that was acknowledged is lost.

use super::*;
use crate::runtime::scope::Scope;

/// A small generator, so that a run is named by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Returns how many restarts there were.
async fn run(seed: u64) -> usize {
    let mut random = Random(seed);
    let policy = RestartPolicy { max_restarts: 1000, ..exact() };
    let rig = Rig::with(&Arbiter::current(), policy, Store::default());
    let (mut acknowledged, mut unknown) = (0, 0);
    for _ in 0..40 {
        match random.below(8) {
            0 => rig.store.lock().loads_failing = random.pick(&[0, 1, 2]),
            1 => rig.store.lock().rebuilds_panicking = random.pick(&[0, 1, 2]),
            2 | 3 => {
                let places = [
                    Place::Handler,
                    Place::Interval,
                    Place::Spawned,
                    Place::Wait,
                    Place::Fault,
                    Place::FaultThenPanic,
                ];
                let told = rig.handle.tell(Break(random.pick(&places)));
                assert!(matches!(told, Ok(()) | Err(CallError::Full)), "seed {seed}: {told:?}");
            }
            _ => {
                let n = 1 + random.below(9);
                match rig.handle.ask(Add(n), Deadline::within(ms(random.below(4000)))).await {
                    Ok(_) => acknowledged += n,
                    Err(CallError::Full) => {}
                    Err(CallError::Deadline | CallError::Crashed) => unknown += n,
                    Err(CallError::Gone) => panic!("seed {seed}: gone"),
                }
            }
        }
    }
    let stored = rig.store.lock().value;
    let possible = acknowledged..=acknowledged + unknown;
    assert!(possible.contains(&stored), "seed {seed}: {stored} is not in {possible:?}");
    let restarts = rig.starts() - 1;
    assert_eq!(rig.end().await.last(), Some(&FINISHED), "seed {seed}");
    let mut running = Scope::current().running();
    timeout(Duration::from_secs(60), running.wait_for(|n| *n == 0)).await.expect("ended").unwrap();
    restarts
}

#[actix::test]
async fn no_acknowledged_command_is_lost_in_two_hundred_random_runs() {
    pause();
    let mut restarts = 0;
    for seed in 0..200 {
        restarts += run(seed).await;
    }
    assert!(restarts > 500, "the runs had {restarts} restarts");
}
