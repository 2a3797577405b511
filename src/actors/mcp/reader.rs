//! What comes off one connection: answers are handed to their waiters, everything else is counted.

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::connection::{READ_WRITE_BYTES, Shared};
use super::reconnect::LossReason;
use crate::wire::jsonrpc::{self, Incoming, Request, RequestId, Response};
use crate::wire::line::{LineBuffer, LineEvent};
use crate::wire::mcp::method;

/// A legacy server's question after our roots, of which there are none.
const ROOTS_LIST: &str = "roots/list";

/// Reads until the stream ends.
pub(super) async fn read_all(
    mut read: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    shared: &Shared,
    line_bytes_max: usize,
) {
    let mut buffer = LineBuffer::new(line_bytes_max);
    let mut chunk = vec![0; READ_WRITE_BYTES];
    loop {
        let count = match read.read(&mut chunk).await {
            Ok(0) => {
                if buffer.unfinished() > 0 {
                    junk("cut_off");
                }
                return shared.lose(LossReason::Closed, "the runtime closed the connection");
            }
            Ok(count) => count,
            Err(error) => return shared.lose(LossReason::Read, format!("reading: {error}")),
        };
        buffer.push(chunk.get(..count).unwrap_or_default());
        for event in buffer.by_ref() {
            match event {
                LineEvent::Line(line) => heard(&line, shared),
                LineEvent::TooLong { bytes } => {
                    junk("too_long");
                    tracing::warn!(bytes, "a line of the agent runtime is too long and was skipped");
                }
            }
        }
    }
}

/// Takes one line.
fn heard(line: &[u8], shared: &Shared) {
    match jsonrpc::classify(line) {
        Incoming::Response(response) => answered(response, shared),
        Incoming::Request(request) => asked(&request, shared),
        Incoming::Notification(notification) => {
            metrics::counter!("visionflow_mcp_notifications_total").increment(1);
            if notification.method == method::TOOLS_CHANGED {
                shared.tools_changed.notify_one();
            }
        }
        Incoming::IdlessError(error) => {
            junk("idless_error");
            tracing::debug!(%error, "an error of the agent runtime names no request");
        }
        Incoming::Batch(_) => junk("batch"),
        Incoming::Noise(noise) => junk(noise.as_str()),
    }
}

fn answered(response: Response, shared: &Shared) {
    let ours = matches!(&response.id, RequestId::String(id) if shared.ids.owns(id));
    if !ours {
        return junk("foreign_reply");
    }
    shared.answered_at.set(Instant::now());
    shared.let_down.set(0);
    if !shared.pending.borrow_mut().resolve(response) {
        metrics::counter!("visionflow_mcp_late_replies_total").increment(1);
    }
}

/// Only what a legacy server asks of every client is answered; anything else could start a storm.
fn asked(request: &Request, shared: &Shared) {
    let result = match request.method.as_str() {
        method::PING if shared.legacy.get() => json!({}),
        ROOTS_LIST if shared.legacy.get() => json!({"roots": []}),
        _ => return junk("request"),
    };
    if !shared.outbox.push_beside(jsonrpc::result_line(&request.id, result)) {
        junk("request_unanswered");
    }
}

fn junk(kind: &'static str) {
    metrics::counter!("visionflow_mcp_junk_lines_total", "kind" => kind).increment(1);
}
