//! One call: its turn, its connection, its answer, and whether it may be repeated.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::adapter::Fitted;
use super::connection::RequestError;
use super::lane::NoTurn;
use super::messages::{CallTool, Effect, ToolCall};
use super::outbox::QUEUE_BYTES_MAX;
use super::slot::{Ready, Slot};
use super::{Live, McpError};
use crate::runtime::Deadline;
use crate::wire::mcp::{method, unwrap_tool_result};

/// How long a call waits for an attempt to connect that is under way.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a call that lost its connection waits for another one.
const PATIENCE_TO_REPEAT: Duration = Duration::from_secs(10);

/// Carries a call out and answers it; ends early with the actor, and when nobody waits for the answer any more.
pub(super) async fn run(live: Rc<Live>, message: CallTool) {
    let CallTool { call, deadline, mut answer, sent } = message;
    let mut ended = live.ended.clone();
    if answer.is_closed() {
        metrics::counter!("visionflow_mcp_calls_abandoned_total").increment(1);
        return;
    }
    let outcome = tokio::select! {
        // the ends first: the turn that a call of an ended actor gives back must not start the next one
        biased;
        // nothing is ever sent there: it tells that the actor was rebuilt
        _gone = ended.changed() => return,
        () = answer.closed() => {
            metrics::counter!("visionflow_mcp_calls_abandoned_total").increment(1);
            return;
        }
        outcome = perform(&live, &call, deadline, &sent) => outcome,
    };
    if matches!(outcome, Err(McpError::OutcomeUnknown { .. })) {
        metrics::counter!("visionflow_mcp_outcomes_unknown_total").increment(1);
    }
    if answer.send(outcome).is_err() {
        metrics::counter!("visionflow_mcp_calls_abandoned_total").increment(1);
    }
}

async fn perform(
    live: &Live,
    call: &ToolCall,
    deadline: Deadline,
    sent: &AtomicBool,
) -> Result<Value, McpError> {
    let tool = call.tool.name();
    let write = call.effect == Effect::Write;
    let turn = if write { Some(live.lane.turn(deadline).await) } else { None };
    let _turn = match turn {
        Some(Err(NoTurn::Full)) => return Err(refused("calls that wait for their turn")),
        Some(Err(NoTurn::Deadline)) => return Err(McpError::Deadline { tool, sent: false }),
        Some(Ok(turn)) => Some(turn),
        None => None,
    };
    // a call that has its turn is alone with it, the limit is for those that run beside each other
    let limit = if write { usize::MAX } else { live.seed.config.in_flight_max };
    let _counted = InFlight::begin(&live.seed.in_flight, limit)?;
    let mut earlier = false;
    loop {
        let attempt = attempt(live, call, deadline, sent, earlier).await;
        match attempt {
            Err(Ended::Lost { sent, repeatable }) if !earlier && (repeatable || !sent) => {
                metrics::counter!("visionflow_mcp_calls_repeated_total").increment(1);
                earlier = true;
            }
            Err(Ended::Lost { .. }) if write && sent.load(Ordering::Acquire) => {
                return Err(McpError::OutcomeUnknown { tool });
            }
            Err(Ended::Lost { .. }) => return Err(live.unavailable()),
            // not sent this time, but perhaps the first time
            Err(Ended::Unsent(_)) if write && sent.load(Ordering::Acquire) => {
                return Err(McpError::OutcomeUnknown { tool });
            }
            Err(Ended::Unsent(error) | Ended::Final(error)) => return Err(error),
            Ok(value) => return Ok(value),
        }
    }
}

/// How an attempt ended without a result.
enum Ended {
    /// With the connection.
    Lost { sent: bool, repeatable: bool },
    /// Before anything was sent.
    Unsent(McpError),
    /// With an answer, or at the deadline after it was sent.
    Final(McpError),
}

async fn attempt(
    live: &Live,
    call: &ToolCall,
    deadline: Deadline,
    ever_sent: &AtomicBool,
    earlier: bool,
) -> Result<Value, Ended> {
    let tool = call.tool.name();
    let ready = live.standing(deadline, earlier).await.map_err(Ended::Unsent)?;
    let unsupported = || Ended::Unsent(McpError::UnsupportedByRuntime { tool });
    let fitted = ready.peer.adapter.fit(call).ok_or_else(unsupported)?;
    let repeatable = call.effect == Effect::Read || fitted.keyed;
    let params = params(&ready, fitted);
    let before = ever_sent.swap(true, Ordering::AcqRel);
    let began = Instant::now();
    let answer = ready.connection.request(method::TOOLS_CALL, Some(params), deadline).await;
    if answer.is_ok() {
        ready.connection.note_served();
    }
    let unsent = || ever_sent.store(before, Ordering::Release);
    metrics::histogram!("visionflow_mcp_call_duration_seconds", "tool" => tool)
        .record(began.elapsed().as_secs_f64());
    match answer {
        Ok(Ok(result)) => {
            unwrap_tool_result(&result).map_err(|failure| Ended::Final(McpError::from_failure(tool, failure)))
        }
        Ok(Err(error)) => Err(Ended::Final(McpError::from_rpc_error(tool, &error))),
        Err(RequestError::Full) => {
            unsent();
            Err(Ended::Unsent(refused("bytes to be sent")))
        }
        Err(RequestError::TooLarge { bytes }) => {
            unsent();
            Err(Ended::Unsent(McpError::TooLarge { tool, bytes, max: QUEUE_BYTES_MAX }))
        }
        Err(RequestError::Lost { sent }) => {
            if !sent {
                unsent();
            }
            Err(Ended::Lost { sent, repeatable })
        }
        Err(RequestError::Deadline { sent: false }) => {
            unsent();
            Err(Ended::Unsent(McpError::Deadline { tool, sent: false }))
        }
        Err(RequestError::Deadline { sent: true }) => {
            Err(Ended::Final(McpError::Deadline { tool, sent: true }))
        }
    }
}

fn refused(limit: &'static str) -> McpError {
    metrics::counter!("visionflow_mcp_calls_refused_total", "reason" => limit).increment(1);
    McpError::Busy { limit }
}

fn params(ready: &Ready, fitted: Fitted<'_>) -> Value {
    let mut params = Map::new();
    params.insert("name".into(), Value::String(fitted.name.to_owned()));
    params.insert("arguments".into(), Value::Object(fitted.arguments));
    if let Some(meta) = &ready.peer.meta {
        params.insert("_meta".into(), Value::Object(meta.clone()));
    }
    Value::Object(params)
}

/// Counts a call from its admission until its end, however it ends.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn begin(count: &'a AtomicUsize, limit: usize) -> Result<Self, McpError> {
        if count.load(Ordering::Relaxed) >= limit {
            return Err(refused("calls in flight"));
        }
        count.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("visionflow_mcp_calls_in_flight").increment(1.0);
        Ok(Self(count))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("visionflow_mcp_calls_in_flight").decrement(1.0);
    }
}

impl Live {
    /// The connection with the fewest requests in flight. Waits for an attempt that is under way, and for any at all
    /// to repeat a call.
    async fn standing(&self, deadline: Deadline, to_repeat: bool) -> Result<Ready, McpError> {
        let patience = if to_repeat { PATIENCE_TO_REPEAT } else { PATIENCE };
        let patience = Deadline::within(patience).min(deadline);
        loop {
            let changed = self.changed.notified();
            let standing = self.slots.iter().filter_map(Slot::standing);
            if let Some(ready) = standing.min_by_key(|ready| ready.connection.in_flight()) {
                return Ok(ready);
            }
            let hope = to_repeat || self.slots.iter().any(|slot| slot.hopeful.get());
            if !hope || timeout_at(patience.instant(), changed).await.is_err() {
                return Err(self.unavailable());
            }
        }
    }

    fn unavailable(&self) -> McpError {
        let now = Instant::now();
        let waits = self.slots.iter().map(|slot| slot.retry_at.get().saturating_duration_since(now));
        // an attempt takes a moment as well
        let retry_after = waits.min().unwrap_or_default().max(super::reconnect::PAUSE_MIN);
        let (at, why) = (self.seed.config.target.to_string(), self.last_error.borrow().clone());
        McpError::Unavailable { at, why, retry_after }
    }
}
