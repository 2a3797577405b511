//! The actor toolkit: real supervision, bounded calls, named threads, tickers, orderly shutdown. It knows no domain.
//!
//! actix alone lets an actor die at its first panic and tells nobody. [`Guardian`] restarts it behind the same
//! [`Handle`], and asks six things of every guarded actor:
//!
//! 1. `Supervised::restarting` is one line, `*self = Self::fresh(self.seed.clone())`. Nothing of the torn object
//!    survives but its seed: id, handles of others, configuration. It spawns nothing and waits for nothing.
//! 2. `started()` always recovers, with `ctx.wait(load)`, so that the first start and every restart are the same path.
//!    The load has a deadline; when it fails: [`ExitLink::fault`], then `ctx.stop()`. That backs off and tries again.
//! 3. Persist before acting, reply after persisting. State that may be lost is named as such.
//! 4. A `generation`, one up at each start and stored, is carried by everything that comes back later: futures of an
//!    old incarnation (`ResponseFuture`, spawned tasks) outlive a restart.
//! 5. `stopping()` is never overridden; `stopped()` and every `Drop` cannot panic; no `cancel_future` (its handles are
//!    numbered anew after a restart); no lock is held over code that may panic.
//! 6. What is shared with others is valid at all times: a panic may come between any two statements.
//!
//! And of everybody who calls one: asks go down the supervision tree only, everything upward is a tell; every ask has
//! a [`Deadline`]; what may have happened is not repeated without a key; an actor holds itself only as a
//! [`WeakHandle`]. Blocking calls go through [`Blocking`].
//!
//! All of it needs `panic = "unwind"`.

mod arbiters;
mod blocking;
mod caught;
mod chance;
mod child;
#[cfg(test)]
mod counted;
mod deadline;
pub mod drain;
mod guardian;
mod handle;
pub mod health;
#[cfg(any(test, feature = "testkit"))]
mod leak;
mod names;
mod policy;
mod scope;
pub mod ticker;

pub use arbiters::{ArbiterError, Arbiters, SWARM_ARBITERS_MAX, StopReport};
pub use blocking::{Blocking, BlockingError};
pub use child::{ChildEvent, Exit, ExitLink, ParentSink};
pub use deadline::Deadline;
pub use drain::{Drain, DrainReport, Shutdown, StepOutcome, StepReport};
pub use guardian::{Guardian, MAILBOX_CAPACITY_MAX, RECOVERY_HOLD_MAX};
pub use handle::{CallError, Handle, WeakHandle};
pub use health::{Board, Readiness, Thresholds, Watchdog, current_arbiter};
#[cfg(any(test, feature = "testkit"))]
pub use leak::{LeakCheck, eventually};
pub use policy::{
    FailureWindow, JITTER_MAX, PolicyError, RESTART_DELAY_MAX, RESTARTS_MAX, RestartPolicy, Verdict,
};
pub use scope::RECOVERIES_MAX;
pub use ticker::{TickInfo, Ticker};
