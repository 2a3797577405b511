//! The MCP actor: owns the connection to the agent runtime and multiplexes every call over it.
//!
//! A call picks a standing connection, is given an id of its own and waits for its answer under its
//! deadline; reads go in parallel, calls that change something one at a time, because parallel spawns kill
//! some runtimes. A lost connection is opened again for ever, with backoff. What may be repeated safely
//! (reads, and calls with a key that the runtime knows) is repeated once; everything else ends as
//! [`McpError::OutcomeUnknown`]. After a crash of this actor its waiters get that as well.

mod adapter;
mod agent_runtime;
mod backoff;
mod call;
mod connection;
mod error;
mod handle;
mod handshake;
mod health;
mod keep;
mod pending;
mod target;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore, watch};

pub use adapter::RuntimeTool;
pub use agent_runtime::{AgentRuntime, TaskAck, TaskReport};
pub use error::McpError;
pub use handle::McpHandle;
pub use health::{McpHealth, McpState};
pub use target::McpTarget;

use crate::runtime::{Deadline, ExitLink, Guardian, ParentSink, RestartPolicy};
use connection::{Connection, Ids};
use handshake::Peer;

/// Messages that wait for the actor; more are refused at once.
const MAILBOX: usize = 1_024;
/// Calls in flight on one connection.
const IN_FLIGHT_MAX: usize = 256;

/// Plain values that the connection runs by.
#[derive(Debug, Clone)]
pub struct McpConfig {
    /// Where the runtime is.
    pub target: McpTarget,
    /// Longest time to connect, and for a call that names no deadline.
    pub timeout: Duration,
    /// Longest time from an open socket to a usable connection; runtimes start slowly.
    pub handshake_timeout: Duration,
    /// How often an idle connection is probed, and how long the answer may take.
    pub keepalive_interval: Duration,
    /// Longest line that is read, in bytes.
    pub line_bytes_max: usize,
}

impl McpConfig {
    /// The defaults for a runtime at `target`.
    #[must_use]
    pub const fn new(target: McpTarget) -> Self {
        Self {
            target,
            timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(20),
            keepalive_interval: Duration::from_secs(5),
            line_bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// Calls a tool of the runtime.
#[derive(Message, Debug)]
#[rtype(result = "Result<Value, McpError>")]
pub(super) struct CallTool {
    tool: RuntimeTool,
    arguments: Map<String, Value>,
    deadline: Deadline,
}

#[derive(Debug, Clone)]
struct Seed {
    config: Arc<McpConfig>,
    ids: Arc<Ids>,
    health: Arc<watch::Sender<Arc<McpHealth>>>,
}

/// A connection that has shaken hands.
#[derive(Debug)]
struct Ready {
    connection: Connection,
    peer: Peer,
}

/// What the actor's futures share. Borrowed for a few lines, never across a wait.
#[derive(Debug)]
struct Live {
    seed: Seed,
    ready: RefCell<Option<Rc<Ready>>>,
    /// Whether an attempt to connect is under way.
    connecting: Cell<bool>,
    last_error: RefCell<String>,
    /// Told when a connection stands, or an attempt has failed.
    changed: Notify,
    /// One call that changes something at a time.
    write_lane: Semaphore,
    writes_waiting: Cell<usize>,
}

/// The actor. See the module.
#[derive(Debug)]
pub struct McpActor {
    seed: Seed,
    live: Rc<Live>,
}

impl McpActor {
    /// Starts the actor on `arbiter`; it connects at once.
    ///
    /// # Errors
    /// The system's words when it gives no random bytes for the ids of this instance.
    pub fn start(
        config: McpConfig,
        arbiter: &ArbiterHandle,
        parent: ParentSink<&'static str>,
    ) -> Result<McpHandle, getrandom::Error> {
        let mut instance = [0; 4];
        getrandom::fill(&mut instance)?;
        let health = Arc::new(watch::Sender::new(Arc::new(McpHealth::new(config.target.to_string()))));
        let followed = health.subscribe();
        let timeout = config.timeout;
        let seed = Seed { config: Arc::new(config), ids: Arc::new(Ids::new(&instance)), health };
        let make = move |_: ExitLink| Self::fresh(seed);
        let actor = Guardian::start(arbiter, "mcp", MAILBOX, RestartPolicy::permanent(), parent, make);
        Ok(McpHandle::new(actor, followed, timeout))
    }

    fn fresh(seed: Seed) -> Self {
        let live = Rc::new(Live {
            seed: seed.clone(),
            ready: RefCell::new(None),
            connecting: Cell::new(true),
            last_error: RefCell::new("not connected yet".into()),
            changed: Notify::new(),
            write_lane: Semaphore::new(1),
            writes_waiting: Cell::new(0),
        });
        Self { seed, live }
    }
}

impl Actor for McpActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(keep::keep_connected(Rc::clone(&self.live)).into_actor(self));
    }
}

impl Supervised for McpActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::fresh(self.seed.clone());
    }
}

impl Handler<CallTool> for McpActor {
    type Result = ResponseActFuture<Self, Result<Value, McpError>>;

    fn handle(&mut self, msg: CallTool, _: &mut Self::Context) -> Self::Result {
        Box::pin(call::call(Rc::clone(&self.live), msg).into_actor(self))
    }
}
