//! One persistent connection: a writer task, a reader task and the requests in flight between them.
//!
//! A peer that stops reading delays nobody's deadline: callers wait for their answer alone, and what was not written
//! yet is taken back. When either task ends the connection is lost, and every waiter learns it at once. All of it
//! lives on the arbiter of the actor; nothing is locked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::ids::Ids;
use super::outbox::{Outbox, Refusal};
use super::pending::{Answer, Pending};
use super::reader;
use super::reconnect::{GOOD_AFTER, LossReason};
use super::target::Stream;
use crate::runtime::Deadline;
use crate::wire::jsonrpc::{self, RequestId};
use crate::wire::mcp::method;

/// Why a request brought no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestError {
    /// Too many bytes wait to be written; nothing was sent.
    Full,
    /// The line is longer than any that is sent; nothing was sent.
    TooLarge { bytes: usize },
    /// The connection is lost. `sent` when the line may have reached the peer.
    Lost { sent: bool },
    /// The deadline passed. `sent` when the line may have reached the peer.
    Deadline { sent: bool },
}

/// Why and how a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) reason: LossReason,
    pub(super) text: String,
}

/// What both tasks and the callers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ids: Arc<Ids>,
    pub(super) pending: RefCell<Pending>,
    pub(super) outbox: Outbox,
    /// When the last answer to a request of ours came.
    pub(super) answered_at: Cell<Instant>,
    /// Requests that ran into their deadline since then.
    pub(super) let_down: Cell<u32>,
    /// Whether the server is of the era in which it may ask us something.
    pub(super) legacy: Cell<bool>,
    /// Told when the server says that its tools changed.
    pub(super) tools_changed: Notify,
    lost: watch::Sender<Option<Loss>>,
}

impl Shared {
    /// Ends the connection; the first reason stays.
    pub(super) fn lose(&self, reason: LossReason, text: impl Into<String>) {
        self.pending.borrow_mut().close();
        self.outbox.close();
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(Loss { reason, text: text.into() });
            }
            first
        });
    }
}

/// Ends the connection when the task that holds it ends, however that happens.
struct EndsWith(Rc<Shared>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.lose(LossReason::Task, "a task of the connection ended");
    }
}

/// One connection. Dropping it closes the socket and ends both tasks.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Rc<Shared>,
    opened_at: Instant,
    served: Cell<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.lose(LossReason::Dropped, "closed");
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Connection {
    /// Starts the tasks of an open stream, on the arbiter that this is called on.
    pub(super) fn start(stream: Stream, ids: Arc<Ids>, line_bytes_max: usize) -> Self {
        let shared = Rc::new(Shared {
            ids,
            pending: RefCell::default(),
            outbox: Outbox::default(),
            answered_at: Cell::new(Instant::now()),
            let_down: Cell::new(0),
            legacy: Cell::new(false),
            tools_changed: Notify::new(),
            lost: watch::Sender::new(None),
        });
        let Stream { read, write, child } = stream;
        let ends = EndsWith(Rc::clone(&shared));
        let reader = actix::spawn(async move { reader::read_all(read, &ends.0, line_bytes_max).await });
        let ends = EndsWith(Rc::clone(&shared));
        let writer = actix::spawn(async move {
            // killed when the writer ends
            let _child = child;
            write_all(write, &ends.0).await;
        });
        Self { shared, opened_at: Instant::now(), served: Cell::new(false), tasks: [reader, writer] }
    }

    /// Sends a request and waits for its answer.
    ///
    /// At the deadline, and when the future is dropped, the line is taken back; if it has left already the peer is
    /// told that nobody waits any more.
    pub(super) async fn request(
        &self,
        rpc: &str,
        params: Option<Value>,
        deadline: Deadline,
    ) -> Result<Answer, RequestError> {
        if deadline.expired() {
            return Err(RequestError::Deadline { sent: false });
        }
        let id = self.shared.ids.take();
        let line = jsonrpc::request_line(&RequestId::String(id.clone()), rpc, params);
        let registered = self.shared.pending.borrow_mut().register(&id);
        let Some(answer) = registered else { return Err(RequestError::Lost { sent: false }) };
        // `initialize` must not be cancelled
        let request = InFlight { shared: &self.shared, id, cancel: rpc != method::INITIALIZE, over: false };
        match self.shared.outbox.push(&request.id, line) {
            Ok(()) => {}
            Err(Refusal::Full) => return Err(RequestError::Full),
            Err(Refusal::TooLarge { bytes }) => return Err(RequestError::TooLarge { bytes }),
            Err(Refusal::Closed) => return Err(RequestError::Lost { sent: false }),
        }
        match timeout_at(deadline.instant(), answer).await {
            Ok(Ok(answer)) => {
                request.answered();
                Ok(answer)
            }
            Ok(Err(_lost)) => Err(RequestError::Lost { sent: request.give_up() }),
            Err(_elapsed) => {
                let sent = request.give_up();
                if sent {
                    self.shared.let_down.set(self.shared.let_down.get().saturating_add(1));
                }
                Err(RequestError::Deadline { sent })
            }
        }
    }

    /// Sends a notification if there is room; nobody waits for one.
    pub(super) fn notify(&self, rpc: &str, params: Value) {
        notify(&self.shared, rpc, params);
    }

    /// Says that the server is of the era in which it may ask us something.
    pub(super) fn answer_requests(&self) {
        self.shared.legacy.set(true);
    }

    /// Requests in flight, those included that are not written yet.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.pending.borrow().len()
    }

    /// How long no request of ours was answered.
    pub(super) fn quiet(&self) -> Duration {
        self.shared.answered_at.get().elapsed()
    }

    /// Requests that ran into their deadline since the last answer.
    pub(super) fn let_down(&self) -> u32 {
        self.shared.let_down.get()
    }

    /// Notes that a call was answered over it.
    pub(super) fn note_served(&self) {
        self.served.set(true);
    }

    /// Whether it was of use: it answered a call, or stood for long.
    pub(super) fn was_good(&self) -> bool {
        self.served.get() || self.opened_at.elapsed() >= GOOD_AFTER
    }

    /// Waits until the server says that its tools changed.
    pub(super) async fn tools_changed(&self) {
        self.shared.tools_changed.notified().await;
    }

    /// Ends the connection.
    pub(super) fn lose(&self, reason: LossReason, text: &str) {
        self.shared.lose(reason, text);
    }

    /// Waits until the connection is lost, and says why.
    pub(super) async fn lost(&self) -> Loss {
        let mut lost = self.shared.lost.subscribe();
        let loss = lost.wait_for(Option::is_some).await.ok().and_then(|loss| loss.clone());
        loss.unwrap_or_else(|| Loss { reason: LossReason::Dropped, text: "closed".into() })
    }

    /// Whether it is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.shared.lost.borrow().is_some()
    }
}

/// A request from its registration until its end, however it ends.
struct InFlight<'a> {
    shared: &'a Shared,
    id: String,
    cancel: bool,
    over: bool,
}

impl InFlight<'_> {
    fn answered(mut self) {
        self.over = true;
    }

    /// Ends the waiting; says whether the line may have reached the peer.
    fn give_up(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        self.over = true;
        self.shared.pending.borrow_mut().forget(&self.id);
        let sent = !self.shared.outbox.withdraw(&self.id);
        if sent && self.cancel {
            notify(self.shared, method::CANCELLED, json!({"requestId": self.id, "reason": "nobody waits"}));
        }
        sent
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.end();
        }
    }
}

fn notify(shared: &Shared, rpc: &str, params: Value) {
    if !shared.outbox.push_beside(jsonrpc::notification_line(rpc, Some(params))) {
        metrics::counter!("visionflow_mcp_notifications_dropped_total").increment(1);
    }
}

async fn write_all(mut write: Box<dyn tokio::io::AsyncWrite + Send + Unpin>, shared: &Shared) {
    let mut batch = Vec::new();
    while shared.outbox.next_batch(&mut batch).await {
        let written = async {
            write.write_all(&batch).await?;
            write.flush().await
        };
        if let Err(error) = written.await {
            return shared.lose(LossReason::Write, format!("writing: {error}"));
        }
        // one long line must not hold its memory for ever
        batch.shrink_to(READ_WRITE_BYTES);
    }
}

/// What the buffers of a connection keep between lines.
pub(super) const READ_WRITE_BYTES: usize = 64 * 1024;
