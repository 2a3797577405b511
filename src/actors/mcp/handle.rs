//! What others hold of the connection to the agent runtime.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::{CallTool, McpActor, McpError, McpHealth, RuntimeTool};
use crate::runtime::{Deadline, Handle};

/// Calls tools of the agent runtime. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct McpHandle {
    pub(in crate::actors) actor: Handle<McpActor>,
    health: watch::Receiver<Arc<McpHealth>>,
    timeout: Duration,
}

impl McpHandle {
    pub(super) const fn new(
        actor: Handle<McpActor>,
        health: watch::Receiver<Arc<McpHealth>>,
        timeout: Duration,
    ) -> Self {
        Self { actor, health, timeout }
    }

    /// Calls a tool and returns the JSON inside its answer.
    ///
    /// The deadline is cut to the connection's own. With an `idempotencyKey` among the arguments, in a runtime
    /// that takes one, the call is repeated once when the connection is lost; without one it is not.
    ///
    /// # Errors
    /// [`McpError`]; see [`McpError::outcome_unknown`].
    pub async fn call(
        &self,
        tool: RuntimeTool,
        arguments: Map<String, Value>,
        deadline: Deadline,
    ) -> Result<Value, McpError> {
        let deadline = deadline.min(Deadline::within(self.timeout));
        // the actor ends the call by the deadline; a little later it would not matter who says so
        let answer_by = Deadline::at(deadline.instant() + Duration::from_millis(200));
        self.actor.ask(CallTool { tool, arguments, deadline }, answer_by).await?
    }

    /// The connection as it was last seen; asks nobody.
    #[must_use]
    pub fn health(&self) -> Arc<McpHealth> {
        Arc::clone(&self.health.borrow())
    }

    /// Follows the connection's ups and downs.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<McpHealth>> {
        self.health.clone()
    }
}
