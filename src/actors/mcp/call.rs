//! One call: its turn, its connection, its answer, and whether it may be repeated.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::adapter::{self, RuntimeTool};
use super::backoff::PAUSE_MAX;
use super::connection::RequestError;
use super::{CallTool, IN_FLIGHT_MAX, Live, McpError, Ready};
use crate::runtime::Deadline;
use crate::wire::mcp::{Tool, ToolFailure, method, unwrap_tool_result};

/// Name of the argument that makes a call repeatable, in runtimes that take it.
pub(super) const KEY_ARGUMENT: &str = "idempotencyKey";
/// Calls that wait for their turn to change something.
const WRITES_WAITING_MAX: usize = 256;
/// How long a call waits for an attempt to connect that is under way.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn call(live: Rc<Live>, msg: CallTool) -> Result<Value, McpError> {
    let _turn = if msg.tool.is_write() { Some(turn(&live, &msg).await?) } else { None };
    let mut repeated = false;
    loop {
        let ready = live.standing(msg.deadline, repeated).await?;
        let tool = msg.tool.find(&ready.peer.tools);
        let tool = tool.ok_or_else(|| McpError::UnsupportedByRuntime { tool: msg.tool.name().into() })?;
        let repeatable =
            !msg.tool.is_write() || (tool.takes(KEY_ARGUMENT) && msg.arguments.contains_key(KEY_ARGUMENT));
        match send(&ready, tool, &msg).await {
            Err(Sent::Lost { sent }) if !repeated && (repeatable || !sent) => {
                metrics::counter!("visionflow_mcp_calls_repeated_total").increment(1);
                repeated = true;
            }
            Err(Sent::Lost { sent: true }) if msg.tool.is_write() => {
                metrics::counter!("visionflow_mcp_outcomes_unknown_total").increment(1);
                return Err(McpError::OutcomeUnknown { tool: tool.name.clone() });
            }
            Err(Sent::Lost { .. }) => return Err(live.unavailable()),
            Err(Sent::Failed(error)) => return Err(error),
            Ok(value) => return Ok(value),
        }
    }
}

enum Sent {
    Lost { sent: bool },
    Failed(McpError),
}

async fn send(ready: &Ready, tool: &Tool, msg: &CallTool) -> Result<Value, Sent> {
    let in_flight = ready.connection.in_flight();
    if in_flight >= IN_FLIGHT_MAX {
        metrics::counter!("visionflow_mcp_calls_refused_total").increment(1);
        return Err(Sent::Failed(McpError::Busy { in_flight }));
    }
    let began = Instant::now();
    let params = params(ready, tool, msg.arguments.clone());
    let answer = ready.connection.request(method::TOOLS_CALL, Some(params), msg.deadline).await;
    metrics::histogram!("visionflow_mcp_call_duration_seconds", "tool" => msg.tool.name())
        .record(began.elapsed().as_secs_f64());
    let name = tool.name.as_str();
    match answer {
        Ok(Ok(result)) => {
            unwrap_tool_result(&result).map_err(|failure| Sent::Failed(McpError::from_failure(name, failure)))
        }
        Ok(Err(error)) => {
            let failure = ToolFailure::from_rpc_error(&error);
            Err(Sent::Failed(if let ToolFailure::Failed { message } = failure {
                McpError::Refused { tool: name.to_owned(), message }
            } else {
                McpError::from_failure(name, failure)
            }))
        }
        Err(RequestError::Refused) => Err(Sent::Failed(McpError::Busy { in_flight })),
        Err(RequestError::Lost { sent }) => Err(Sent::Lost { sent }),
        Err(RequestError::Deadline { sent }) => {
            Err(Sent::Failed(McpError::Deadline { tool: name.to_owned(), sent }))
        }
    }
}

fn params(ready: &Ready, tool: &Tool, arguments: Map<String, Value>) -> Value {
    let mut params = Map::new();
    params.insert("name".into(), Value::String(tool.name.clone()));
    params.insert("arguments".into(), Value::Object(adapter::adapt(tool, arguments)));
    if let Some(meta) = &ready.peer.meta {
        params.insert("_meta".into(), Value::Object(meta.clone()));
    }
    Value::Object(params)
}

/// Waits for the turn to change something.
async fn turn<'a>(live: &'a Live, msg: &CallTool) -> Result<SemaphorePermit<'a>, McpError> {
    let waiting = live.writes_waiting.get();
    if waiting >= WRITES_WAITING_MAX {
        metrics::counter!("visionflow_mcp_calls_refused_total").increment(1);
        return Err(McpError::Busy { in_flight: waiting });
    }
    live.writes_waiting.set(waiting + 1);
    let turn = timeout_at(msg.deadline.instant(), live.write_lane.acquire()).await;
    live.writes_waiting.set(live.writes_waiting.get().saturating_sub(1));
    match turn {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(McpError::Deadline { tool: msg.tool.name().into(), sent: false }),
    }
}

impl Live {
    /// A connection that stands. Waits for an attempt that is under way; for the next one only to repeat a call.
    async fn standing(&self, deadline: Deadline, repeated: bool) -> Result<Rc<Ready>, McpError> {
        let patience = Deadline::within(PATIENCE).min(deadline);
        loop {
            let changed = self.changed.notified();
            let ready = self.ready.borrow().clone();
            match ready.filter(|ready| !ready.connection.is_lost()) {
                Some(ready) => return Ok(ready),
                None if repeated || self.connecting.get() || self.ready.borrow().is_some() => {
                    if timeout_at(patience.instant(), changed).await.is_err() {
                        return Err(self.unavailable());
                    }
                }
                None => return Err(self.unavailable()),
            }
        }
    }

    fn unavailable(&self) -> McpError {
        McpError::Unavailable {
            at: self.seed.config.target.to_string(),
            why: self.last_error.borrow().clone(),
            retry_after: PAUSE_MAX,
        }
    }
}

impl RuntimeTool {
    /// The arguments of a call as an object.
    pub(super) fn arguments(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
