//! What others hold of the connection to the agent runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;

use super::messages::{CallTool, Effect, ToolCall};
use super::{McpActor, McpError, McpHealth};
use crate::runtime::{CallError, Deadline, Handle};

/// The actor ends a call at its deadline; so much later the handle does it, when the actor can't.
const GRACE: Duration = Duration::from_millis(200);

/// Calls tools of the agent runtime. Cloning is cheap; may be used from any thread.
#[derive(Debug, Clone)]
pub struct McpHandle {
    pub(in crate::actors) actor: Handle<McpActor>,
    health: watch::Receiver<Arc<McpHealth>>,
    in_flight: Arc<AtomicUsize>,
    timeout: Duration,
}

impl McpHandle {
    pub(super) const fn new(
        actor: Handle<McpActor>,
        health: watch::Receiver<Arc<McpHealth>>,
        in_flight: Arc<AtomicUsize>,
        timeout: Duration,
    ) -> Self {
        Self { actor, health, in_flight, timeout }
    }

    /// Calls a tool and returns the JSON inside its answer, unwrapped.
    ///
    /// The deadline is cut to the connection's own; it holds whatever the runtime does. When the connection is lost
    /// meanwhile, a call that reads, and one with a key in a runtime that takes keys, is repeated once under a new id.
    /// Dropping the future cancels the call in the runtime.
    ///
    /// # Errors
    /// [`McpError`]; [`McpError::outcome_unknown`] tells whether the call may have taken effect all the same.
    pub async fn call(&self, call: ToolCall, deadline: Deadline) -> Result<Value, McpError> {
        let (tool, effect) = (call.tool, call.effect);
        let deadline = deadline.min(Deadline::within(self.timeout));
        let sent = Arc::new(AtomicBool::new(false));
        if deadline.expired() {
            return Err(McpError::Deadline { tool: tool.name(), sent: false });
        }
        let (answer, answered) = oneshot::channel();
        let message = CallTool { call, deadline, answer, sent: Arc::clone(&sent) };
        self.actor.tell(message).map_err(|error| match error {
            CallError::Full => McpError::Busy { limit: "messages" },
            CallError::Gone | CallError::Crashed | CallError::Deadline => McpError::Ended,
        })?;
        let may_be_done = || effect == Effect::Write && sent.load(Ordering::Acquire);
        match timeout_at(deadline.instant() + GRACE, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_crashed)) if may_be_done() => Err(McpError::OutcomeUnknown { tool: tool.name() }),
            Ok(Err(_crashed)) if self.actor.connected() => Err(McpError::Crashed { tool: tool.name() }),
            Ok(Err(_ended)) => Err(McpError::Ended),
            Err(_elapsed) => {
                Err(McpError::Deadline { tool: tool.name(), sent: sent.load(Ordering::Acquire) })
            }
        }
    }

    /// The connection as it was last seen; asks nobody and never blocks.
    #[must_use]
    pub fn health(&self) -> Arc<McpHealth> {
        let published = Arc::clone(&self.health.borrow());
        match self.in_flight.load(Ordering::Relaxed) {
            0 => published,
            in_flight => Arc::new(McpHealth { in_flight, ..McpHealth::clone(&published) }),
        }
    }

    /// Follows the connection's ups and downs: a value for every change of state.
    ///
    /// What is borrowed from it must not be held across a wait: the actor could not publish meanwhile.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<McpHealth>> {
        self.health.clone()
    }
}
