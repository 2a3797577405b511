//! One persistent connection: a writer task, a reader task and the requests in flight between them.
//!
//! The writer takes lines from a bounded queue, so a peer that stops reading refuses new calls at once and
//! delays nobody's deadline. The reader hands answers straight to their waiters. When either ends, so does
//! the other, and every waiter learns that the connection is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::pending::{Answer, Pending};
use super::target::Stream;
use crate::runtime::Deadline;
use crate::wire::jsonrpc::{self, Incoming, RequestId, RpcError};
use crate::wire::line::{LineBuffer, LineEvent};
use crate::wire::mcp::method;

/// Lines that wait to be written on one connection.
const WRITE_QUEUE_LINES: usize = 64;
/// Longest line that is sent, in bytes.
const LINE_OUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Read buffer, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Why a request brought no answer.
#[derive(Debug)]
pub(super) enum RequestError {
    /// As many lines wait as allowed, or the line is too long; nothing was sent.
    Refused,
    /// The connection was lost. `sent` when the line may have reached the peer.
    Lost { sent: bool },
    /// The deadline passed. `sent` when the line may have reached the peer.
    Deadline { sent: bool },
}

/// Ids of this process: never 0, never empty, never used twice, and unlike those of other instances.
#[derive(Debug)]
pub(super) struct Ids {
    instance: String,
    next: AtomicU64,
}

impl Ids {
    /// Ids that start with `instance`.
    pub(super) fn new(instance: &[u8; 4]) -> Self {
        let instance = instance.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { instance, next: AtomicU64::new(1) }
    }

    fn take(&self) -> String {
        format!("{}-{}", self.instance, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    heard_at: Mutex<Instant>,
    lost: watch::Sender<Option<String>>,
}

impl Shared {
    /// Ends the connection; the first reason stays.
    fn lose(&self, why: String) {
        self.pending.lock().close();
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(why);
            }
            first
        });
    }
}

/// One connection. Dropping it closes the socket and ends both tasks.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    lines: mpsc::Sender<Bytes>,
    ids: Arc<Ids>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.lose("closed".into());
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Connection {
    /// Starts the tasks of an open stream.
    pub(super) fn start(stream: Stream, ids: Arc<Ids>, line_bytes_max: usize) -> Self {
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            heard_at: Mutex::new(Instant::now()),
            lost: watch::Sender::new(None),
        });
        let (lines, queue) = mpsc::channel(WRITE_QUEUE_LINES);
        let Stream { read, write, child } = stream;
        let reader = actix::spawn(read_all(read, Arc::clone(&shared), lines.clone(), line_bytes_max));
        let writer = actix::spawn(write_all(write, child, queue, Arc::clone(&shared)));
        Self { shared, lines, ids, tasks: [reader, writer] }
    }

    /// Sends a request and waits for its answer. On the deadline the peer is told that nobody waits any more.
    pub(super) async fn request(
        &self,
        rpc: &str,
        params: Option<Value>,
        deadline: Deadline,
    ) -> Result<Answer, RequestError> {
        if deadline.expired() {
            return Err(RequestError::Deadline { sent: false });
        }
        let id = self.ids.take();
        let line = Bytes::from(jsonrpc::request_line(&RequestId::String(id.clone()), rpc, params));
        if line.len() > LINE_OUT_BYTES_MAX {
            return Err(RequestError::Refused);
        }
        let Some(answer) = self.shared.pending.lock().register(&id) else {
            return Err(RequestError::Lost { sent: false });
        };
        // forgets the request when the caller goes away in the middle of it
        let _registered = Registered { shared: &self.shared, id: &id };
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(RequestError::Refused),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(RequestError::Lost { sent: false }),
        }
        match timeout_at(deadline.instant(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_lost)) => Err(RequestError::Lost { sent: true }),
            Err(_elapsed) => {
                // `initialize` must not be cancelled
                if rpc != method::INITIALIZE {
                    self.notify(method::CANCELLED, json!({"requestId": id, "reason": "deadline"}));
                }
                Err(RequestError::Deadline { sent: true })
            }
        }
    }

    /// Sends a notification if there is room; nobody waits for one.
    pub(super) fn notify(&self, rpc: &str, params: Value) {
        if self.lines.try_send(jsonrpc::notification_line(rpc, Some(params)).into()).is_err() {
            metrics::counter!("visionflow_mcp_notifications_dropped_total").increment(1);
        }
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.pending.lock().len()
    }

    /// How long nothing has come.
    pub(super) fn silence(&self) -> Duration {
        self.shared.heard_at.lock().elapsed()
    }

    /// Ends the connection.
    pub(super) fn lose(&self, why: &str) {
        self.shared.lose(why.to_owned());
    }

    /// Waits until the connection is lost, and says why.
    pub(super) async fn lost(&self) -> String {
        let mut lost = self.shared.lost.subscribe();
        let why = lost.wait_for(Option::is_some).await.map(|why| why.clone());
        why.ok().flatten().unwrap_or_else(|| "closed".into())
    }

    /// Whether it is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.shared.lost.borrow().is_some()
    }
}

struct Registered<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.pending.lock().forget(self.id);
    }
}

async fn write_all(
    mut write: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    // killed when the writer ends
    _child: Option<tokio::process::Child>,
    mut queue: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
) {
    while let Some(line) = queue.recv().await {
        if let Err(error) = write.write_all(&line).await {
            shared.lose(format!("writing: {error}"));
            return;
        }
        if queue.is_empty()
            && let Err(error) = write.flush().await
        {
            shared.lose(format!("writing: {error}"));
            return;
        }
    }
}

async fn read_all(
    mut read: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    shared: Arc<Shared>,
    lines: mpsc::Sender<Bytes>,
    line_bytes_max: usize,
) {
    let mut buffer = LineBuffer::new(line_bytes_max);
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let count = match read.read(&mut chunk).await {
            Ok(0) => return shared.lose("the runtime closed the connection".into()),
            Ok(count) => count,
            Err(error) => return shared.lose(format!("reading: {error}")),
        };
        *shared.heard_at.lock() = Instant::now();
        buffer.push(chunk.get(..count).unwrap_or_default());
        for event in buffer.by_ref() {
            match event {
                LineEvent::Line(line) => heard(&line, &shared, &lines),
                LineEvent::TooLong { bytes } => {
                    junk("too_long");
                    tracing::warn!(bytes, "a line of the agent runtime is too long and was skipped");
                }
            }
        }
    }
}

/// Takes one line. Only a legacy server's own requests are ever answered.
fn heard(line: &[u8], shared: &Shared, lines: &mpsc::Sender<Bytes>) {
    match jsonrpc::classify(line) {
        Incoming::Response(response) => {
            if !shared.pending.lock().resolve(response) {
                junk("late_or_foreign");
            }
        }
        Incoming::Request(request) => {
            let answer = match request.method.as_str() {
                method::PING => jsonrpc::result_line(&request.id, json!({})),
                "roots/list" => jsonrpc::result_line(&request.id, json!({"roots": []})),
                _ => {
                    let error = RpcError::new(jsonrpc::METHOD_NOT_FOUND, "this client offers no such method");
                    jsonrpc::error_line(Some(&request.id), error)
                }
            };
            if lines.try_send(answer.into()).is_err() {
                junk("unanswered_request");
            }
        }
        Incoming::Notification(_) => {
            metrics::counter!("visionflow_mcp_notifications_total").increment(1);
        }
        Incoming::IdlessError(_) => junk("idless_error"),
        Incoming::Batch(_) => junk("batch"),
        Incoming::Noise(noise) => junk(noise.as_str()),
    }
}

fn junk(kind: &'static str) {
    metrics::counter!("visionflow_mcp_junk_lines_total", "kind" => kind).increment(1);
}
