//! The MCP actor: owns every connection to the agent runtime and multiplexes every call over them.
//!
//! A call picks a standing connection, is given an id of its own and waits for its answer under its deadline; reads go
//! in parallel, calls that change something one at a time. A lost connection is opened again for ever, with backoff.
//! What may be repeated safely (reads, and calls with a key that the runtime takes) is repeated once; everything else
//! ends as [`McpError::OutcomeUnknown`]. When this actor crashes, its connections are closed and opened anew, and calls
//! that may have reached the runtime end as that too.
//!
//! ```text
//! McpHandle ── CallTool ──► McpActor ── dispatch ── lane (one write at a time)
//!                              │            └────── connection: outbox ► writer, reader ► pending
//!                              └ slot × N: connect, handshake, keepalive, reconnect
//! ```
//!
//! [`AgentRuntime`] is the same in the domain's words. All sockets must reach one runtime process: bridges that start
//! one for each connection need `pool_size` 1, which is the default.

mod adapter;
mod connection;
mod dispatch;
mod error;
mod handle;
mod handshake;
mod health;
mod ids;
mod keepalive;
mod lane;
mod messages;
mod outbox;
mod pending;
mod reader;
mod reconnect;
mod reports;
mod runtime_api;
mod slot;
mod target;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use adapter::{RuntimeKind, RuntimeTool};
pub use error::McpError;
pub use handle::McpHandle;
pub use health::{McpHealth, McpState};
pub use messages::{Effect, IdempotencyKey, ToolCall};
pub use reports::{TaskAck, TaskReport};
pub use runtime_api::AgentRuntime;
pub use target::McpTarget;

use crate::runtime::{ExitLink, Guardian, ParentSink, RestartPolicy, WeakHandle};
use crate::telemetry::clock;
use handshake::Era;
use ids::Ids;
use lane::Lane;
use messages::{CallTool, SlotFailed};
use slot::{Alarm, Slot};

/// Messages that wait for the actor; more are refused at once.
const MAILBOX: usize = 1_024;
/// Most connections to one runtime.
const POOL_SIZE_MAX: usize = 64;

/// Plain values that the connections run by.
#[derive(Debug, Clone)]
pub struct McpConfig {
    /// Where the runtime is.
    pub target: McpTarget,
    /// Connections that are kept, 1 to 64. More than one only where all reach the same runtime process.
    pub pool_size: usize,
    /// Longest time to connect, and longest time of a call, whatever its own deadline.
    pub timeout: Duration,
    /// Longest time from an open socket to a usable connection. Runtimes have been seen to need 9 s for their first
    /// answer: less than 15 s is for tests.
    pub handshake_timeout: Duration,
    /// How often an idle connection is probed, and how long the answer may take; at least 10 ms.
    pub keepalive_interval: Duration,
    /// Longest line that is read, in bytes.
    pub line_bytes_max: usize,
    /// Reads in flight over all connections; more are refused at once.
    pub in_flight_max: usize,
}

impl McpConfig {
    /// The defaults for a runtime at `target`.
    #[must_use]
    pub const fn new(target: McpTarget) -> Self {
        Self {
            target,
            pool_size: 1,
            timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(20),
            keepalive_interval: Duration::from_secs(5),
            line_bytes_max: 16 * 1024 * 1024,
            in_flight_max: 256,
        }
    }
}

/// What the actor shares with its handles.
#[derive(Debug, Clone)]
struct Shared {
    config: Arc<McpConfig>,
    ids: Arc<Ids>,
    health: Arc<watch::Sender<Arc<McpHealth>>>,
    in_flight: Arc<AtomicUsize>,
}

/// What survives a crash.
#[derive(Debug, Clone)]
struct Seed {
    shared: Shared,
    link: ExitLink,
    myself: WeakHandle<McpActor>,
}

/// What the tasks of one life of the actor share. Borrowed for a few lines, never across a wait.
#[derive(Debug)]
struct Live {
    seed: Shared,
    slots: Vec<Slot>,
    lane: Lane,
    /// How the runtime shakes hands, once known.
    era: Cell<Option<Era>>,
    last_error: RefCell<String>,
    /// Told when a connection stands, was lost, or an attempt has failed.
    changed: Notify,
    /// Closed when this life of the actor is over.
    ended: watch::Receiver<()>,
}

/// The actor. See the module.
#[derive(Debug)]
pub struct McpActor {
    seed: Seed,
    live: Rc<Live>,
    keepers: Vec<Keeper>,
    /// Its drop ends every call of this life.
    _alive: watch::Sender<()>,
}

/// A task that keeps a connection; it ends with the actor.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl McpActor {
    /// Starts the actor on `arbiter`, guarded, as a permanent child; it connects at once.
    ///
    /// # Errors
    /// The system's words when it gives no random bytes for the ids of this instance.
    pub fn start(
        config: McpConfig,
        arbiter: &ArbiterHandle,
        parent: ParentSink<&'static str>,
    ) -> Result<McpHandle, getrandom::Error> {
        let ids = Arc::new(Ids::new(clock::random_bytes()?));
        let health = Arc::new(watch::Sender::new(Arc::new(McpHealth::new(config.target.to_string()))));
        let (followed, timeout, in_flight) = (health.subscribe(), config.timeout, Arc::default());
        let shared = Shared { config: Arc::new(config), ids, health, in_flight: Arc::clone(&in_flight) };
        let make = move |link, myself| Self::fresh(Seed { shared, link, myself });
        let actor = Guardian::start_linked(arbiter, "mcp", MAILBOX, RestartPolicy::permanent(), parent, make);
        Ok(McpHandle::new(actor, followed, in_flight, timeout))
    }

    fn fresh(seed: Seed) -> Self {
        let (alive, ended) = watch::channel(());
        let count = seed.shared.config.pool_size.clamp(1, POOL_SIZE_MAX);
        let live = Rc::new(Live {
            seed: seed.shared.clone(),
            slots: std::iter::repeat_with(Slot::default).take(count).collect(),
            lane: Lane::default(),
            era: Cell::new(None),
            last_error: RefCell::new("not connected yet".into()),
            changed: Notify::new(),
            ended,
        });
        Self { seed, live, keepers: Vec::new(), _alive: alive }
    }
}

impl Actor for McpActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if self.live.seed.health.borrow().connects > 0 {
            let why = "the connection's actor was restarted".to_owned();
            self.live.publish(|health| McpHealth { last_error: Some(why), ..health });
        }
        for number in 0..self.live.slots.len() {
            let alarm = Alarm(self.seed.myself.clone());
            let keeper = actix::spawn(slot::keep(Rc::clone(&self.live), number, alarm));
            self.keepers.push(Keeper(keeper));
        }
    }
}

impl Supervised for McpActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::fresh(self.seed.clone());
    }
}

impl Handler<CallTool> for McpActor {
    type Result = ();

    fn handle(&mut self, message: CallTool, _: &mut Self::Context) {
        // a task of its own: an actor polls all of its futures whenever one of them wakes
        actix::spawn(dispatch::run(Rc::clone(&self.live), message));
    }
}

impl Handler<SlotFailed> for McpActor {
    type Result = ();

    fn handle(&mut self, _: SlotFailed, ctx: &mut Self::Context) {
        self.seed.link.fault("the task that keeps a connection panicked");
        ctx.stop();
    }
}
