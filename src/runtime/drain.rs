//! Orderly shutdown as a conversation: named steps in order, each with a deadline, the whole bounded.
//!
//! Stopping an arbiter is not a drain: futures that actors spawn while they stop never run. So the composition root
//! lists what to ask of whom, in order, and stops the arbiters last. A second request ends the patience.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Deadline, caught};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Run,
    Drain,
    Now,
}

/// The wish to shut down, shared by the signal handlers, the root supervisor and the [`Drain`].
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<Wish>);

impl Shutdown {
    /// Nobody wishes to shut down yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(Wish::Run))
    }

    /// Asks for an orderly shutdown; asked again, for an immediate one. Returns whether it is immediate now.
    pub fn request(&self) -> bool {
        let mut immediate = false;
        self.0.send_modify(|wish| {
            *wish = if *wish == Wish::Run { Wish::Drain } else { Wish::Now };
            immediate = *wish == Wish::Now;
        });
        immediate
    }

    /// Whether a shutdown was requested.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() >= Wish::Drain
    }

    /// Waits until a shutdown is requested; at once when it was already.
    pub async fn requested(&self) {
        self.reached(Wish::Drain).await;
    }

    /// Waits until an immediate shutdown is requested.
    pub async fn immediate(&self) {
        self.reached(Wish::Now).await;
    }

    async fn reached(&self, least: Wish) {
        let mut wishes = self.0.subscribe();
        if wishes.wait_for(|wish| *wish >= least).await.is_err() {
            tracing::debug!("nobody is left to request a shutdown");
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// In time.
    Finished,
    /// It said why it failed.
    Failed(String),
    /// It panicked with this text.
    Panicked(String),
    /// Its own time, or that of the whole drain, ran out; it was dropped unfinished.
    TimedOut,
    /// Dropped unfinished, because an immediate shutdown was requested.
    Interrupted,
    /// Not begun: the time of the whole drain had run out, or an immediate shutdown was requested.
    Skipped,
}

/// One line of a [`DrainReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// The name of the step.
    pub name: &'static str,
    /// How it ended.
    pub outcome: StepOutcome,
    /// How long it ran.
    pub took: Duration,
}

/// What a drain achieved, step by step in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// One entry per step of the list.
    pub steps: Vec<StepReport>,
}

impl DrainReport {
    /// Whether every step finished.
    pub fn is_clean(&self) -> bool {
        self.steps.iter().all(|step| step.outcome == StepOutcome::Finished)
    }
}

type StepFuture = Pin<Box<dyn Future<Output = Result<(), String>>>>;

struct Step {
    name: &'static str,
    within: Duration,
    work: Box<dyn FnOnce(Deadline) -> StepFuture>,
}

/// The list of steps.
pub struct Drain {
    steps: Vec<Step>,
    within: Duration,
}

impl Drain {
    /// An empty list that may take `within` as a whole.
    pub fn within(within: Duration) -> Self {
        Self { steps: Vec::new(), within }
    }

    /// Adds a step that may take `within`. It gets the deadline that holds for it, to hand on to what it asks.
    ///
    /// A step that fails, panics or takes too long does not keep the later ones from running. It must not block its
    /// thread: then no deadline holds.
    #[must_use]
    pub fn step<W, F, E>(mut self, name: &'static str, within: Duration, work: W) -> Self
    where
        W: FnOnce(Deadline) -> F + 'static,
        F: Future<Output = Result<(), E>> + 'static,
        E: fmt::Display,
    {
        let work = move |deadline| -> StepFuture {
            let work = work(deadline);
            Box::pin(async move { work.await.map_err(|error| error.to_string()) })
        };
        self.steps.push(Step { name, within, work: Box::new(work) });
        self
    }

    /// Runs the steps in order; ends early when an immediate shutdown is requested. Logs each step.
    pub async fn run(self, shutdown: &Shutdown) -> DrainReport {
        let whole = Deadline::within(self.within);
        let mut report = DrainReport::default();
        for step in self.steps {
            let name = step.name;
            let begun = Instant::now();
            let outcome = run_step(step, whole, shutdown).await;
            let took = begun.elapsed();
            log(name, &outcome, took);
            report.steps.push(StepReport { name, outcome, took });
        }
        report
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.steps.iter().map(|step| step.name);
        f.debug_list().entries(names).finish()
    }
}

fn log(step: &str, outcome: &StepOutcome, took: Duration) {
    if *outcome == StepOutcome::Finished {
        tracing::info!(step, ?took, "shutdown step finished");
        return;
    }
    warn_unfinished(step, outcome, took);
}

fn warn_unfinished(step: &str, outcome: &StepOutcome, took: Duration) {
    tracing::warn!(step, ?took, ?outcome, "shutdown step not finished");
}

async fn run_step(step: Step, whole: Deadline, shutdown: &Shutdown) -> StepOutcome {
    if whole.expired() || *shutdown.0.borrow() == Wish::Now {
        return StepOutcome::Skipped;
    }
    let deadline = Deadline::within(step.within).min(whole);
    // the closure runs inside the future, so that its panic is caught too
    let work = caught::future(async move { (step.work)(deadline).await });
    tokio::select! {
        biased;
        () = shutdown.immediate() => StepOutcome::Interrupted,
        done = timeout_at(deadline.instant(), work) => match done {
            Ok(Ok(Ok(()))) => StepOutcome::Finished,
            Ok(Ok(Err(text))) => StepOutcome::Failed(text),
            Ok(Err(panic)) => StepOutcome::Panicked(panic),
            Err(_elapsed) => StepOutcome::TimedOut,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending, rc::Rc};

    use tokio::time::sleep;

    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn outcomes(report: &DrainReport) -> Vec<(&'static str, StepOutcome, Duration)> {
        report.steps.iter().map(|step| (step.name, step.outcome.clone(), step.took)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn runs_in_order_and_reports_each_end() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let (one, two) = (Rc::clone(&order), Rc::clone(&order));
        let report = Drain::within(s(60))
            .step("slow", s(5), move |_| async move {
                sleep(s(2)).await;
                one.borrow_mut().push("slow");
                Ok::<_, String>(())
            })
            .step("hangs", s(3), |_| pending::<Result<(), String>>())
            .step("fails", s(3), |_| async { Err("no disk") })
            .step("panics", s(3), |_| async { panic!("bug") as Result<(), String> })
            .step("panics early", s(3), |_| -> std::future::Ready<Result<(), String>> { panic!("bug") })
            .step("last", s(3), move |_| async move {
                two.borrow_mut().push("last");
                Ok::<_, String>(())
            })
            .run(&Shutdown::new())
            .await;
        let expected = [
            ("slow", StepOutcome::Finished, s(2)),
            ("hangs", StepOutcome::TimedOut, s(3)),
            ("fails", StepOutcome::Failed("no disk".to_owned()), s(0)),
            ("panics", StepOutcome::Panicked("bug".to_owned()), s(0)),
            ("panics early", StepOutcome::Panicked("bug".to_owned()), s(0)),
            ("last", StepOutcome::Finished, s(0)),
        ];
        let rounded =
            |(name, outcome, took): &(_, _, Duration)| (*name, StepOutcome::clone(outcome), took.as_secs());
        let seen: Vec<_> = outcomes(&report).iter().map(rounded).collect();
        assert_eq!(seen, expected.iter().map(rounded).collect::<Vec<_>>());
        assert_eq!(*order.borrow(), ["slow", "last"]);
        assert!(!report.is_clean());
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_is_bounded_and_steps_know_their_deadline() {
        let begun = Instant::now();
        let report = Drain::within(s(10))
            .step("first", s(8), |deadline| async move {
                assert_eq!(deadline.remaining(), s(8));
                pending::<Result<(), String>>().await
            })
            .step("cut", s(8), |deadline| async move {
                assert!(deadline.remaining() <= s(2));
                pending::<Result<(), String>>().await
            })
            .step("late", s(8), |_| async { Ok::<_, String>(()) })
            .run(&Shutdown::new())
            .await;
        let kinds: Vec<_> = report.steps.into_iter().map(|step| step.outcome).collect();
        assert_eq!(kinds, [StepOutcome::TimedOut, StepOutcome::TimedOut, StepOutcome::Skipped]);
        assert!(begun.elapsed() < s(11));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_request_is_immediate() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_requested());
        assert!(!shutdown.request());
        shutdown.requested().await;
        assert!(shutdown.is_requested());
        let again = shutdown.clone();
        let begun = Instant::now();
        let report = Drain::within(s(60))
            .step("first", s(5), |_| async { Ok::<_, String>(()) })
            .step("asks again", s(5), move |_| async move {
                sleep(s(1)).await;
                assert!(again.request());
                pending::<Result<(), String>>().await
            })
            .step("never", s(5), |_| async { Ok::<_, String>(()) })
            .run(&shutdown)
            .await;
        let kinds: Vec<_> = report.steps.into_iter().map(|step| step.outcome).collect();
        assert_eq!(kinds, [StepOutcome::Finished, StepOutcome::Interrupted, StepOutcome::Skipped]);
        assert!(begun.elapsed() < s(2));
        assert!(shutdown.request(), "stays immediate");
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_or_finished_list_is_clean() {
        assert!(Drain::within(s(1)).run(&Shutdown::new()).await.is_clean());
        let drain = Drain::within(s(1)).step("one", s(1), |_| async { Ok::<_, String>(()) });
        assert_eq!(format!("{drain:?}"), r#"["one"]"#);
        assert!(drain.run(&Shutdown::default()).await.is_clean());
    }
}
