//! One client's connection: lines in, answers out, both bounded.
//!
//! The reader answers each request at once and queues the answer; the writer sends what is queued. A client that
//! does not read fills the queue, then nothing more is read from it, then it is cut off. A client that closes its
//! write half gets every answer before the connection ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::protocol::{self, Session};
use super::shared::{Counters, Shared};
use super::stop::{self, Stop};
use crate::wire::jsonrpc::{INVALID_REQUEST, Incoming, Noise, PARSE_ERROR, RpcError, classify, error_line};
use crate::wire::line::{LineBuffer, LineEvent};
use crate::wire::mcp::method;

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;
/// How long a connection that is over waits for its client to close it, too.
const LINGER: Duration = Duration::from_millis(500);
/// Answers are written together up to this many bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// One answer on its way, with its share of the limits.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    /// Whether the connection ends with it.
    pub(super) last: bool,
    _in_flight: OwnedSemaphorePermit,
    _queued: OwnedSemaphorePermit,
}

/// The end of the connection has come: nobody will send what is queued.
#[derive(Debug)]
pub(super) struct Closed;

/// Where answers are put.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    in_flight: Arc<Semaphore>,
    queued: Arc<Semaphore>,
    queue_bytes: u32,
}

impl Outbox {
    fn new(shared: &Shared) -> (Self, mpsc::Receiver<Outgoing>) {
        let wire = &shared.config.wire;
        let in_flight = wire.in_flight.max(1);
        let queue_bytes = wire.queue_bytes.max(1);
        let (queue, receiver) = mpsc::channel(in_flight);
        let queued = Arc::new(Semaphore::new(usize::try_from(queue_bytes).unwrap_or(Semaphore::MAX_PERMITS)));
        (Self { queue, in_flight: Arc::new(Semaphore::new(in_flight)), queued, queue_bytes }, receiver)
    }

    /// Waits until one more request may be in flight.
    pub(super) async fn admit(&self) -> Result<OwnedSemaphorePermit, Closed> {
        Arc::clone(&self.in_flight).acquire_owned().await.map_err(closed)
    }

    /// Waits until the queue has room, then puts an answer in it.
    pub(super) async fn put(
        &self,
        bytes: Bytes,
        last: bool,
        slot: OwnedSemaphorePermit,
    ) -> Result<(), Closed> {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(self.queue_bytes);
        let queued = Arc::clone(&self.queued).acquire_many_owned(size).await.map_err(closed)?;
        self.queue.send(Outgoing { bytes, last, _in_flight: slot, _queued: queued }).await.map_err(closed)
    }

    /// What a reader may wait for; closing them ends its wait.
    fn limits(&self) -> [Arc<Semaphore>; 2] {
        [Arc::clone(&self.in_flight), Arc::clone(&self.queued)]
    }
}

fn closed<E>(_nobody_listens: E) -> Closed {
    Closed
}

/// One connection's reading side.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Session,
    pub(super) outbox: Outbox,
    bad_lines: u32,
    #[cfg(any(test, feature = "testkit"))]
    pub(super) late: super::faults::LateAnswers,
}

/// Serves one client until it leaves, breaks the rules, or the runtime stops.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, stop: watch::Receiver<Stop>) {
    let counted = Arc::clone(&shared);
    let _connected = counted.connected();
    let (reader, writer) = stream.into_split();
    let (outbox, receiver) = Outbox::new(&shared);
    let write_side = {
        // Not the outbox: while it lives, more may come.
        let (shared, limits) = (Arc::clone(&shared), outbox.limits());
        async move {
            let written = write_all(writer, receiver, shared.config.wire.write_stall).await;
            limits.iter().for_each(|limit| limit.close());
            if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                Counters::count(&shared.counters.writers_stalled);
                metrics::counter!("mcp_runtime_writers_stalled_total").increment(1);
                tracing::warn!("cutting off an mcp client that does not read its answers");
            }
        }
    };
    let connection = Connection {
        shared,
        session: Session::default(),
        outbox,
        bad_lines: 0,
        #[cfg(any(test, feature = "testkit"))]
        late: super::faults::LateAnswers::default(),
    };
    // The reader gives its outbox back when it is done, so the writer ends once everything is sent.
    let (reader, ()) = tokio::join!(connection.read_all(reader, stop), write_side);
    if let Some(reader) = reader {
        linger(reader).await;
    }
}

/// Takes what a client still sends, for a moment: closing with bytes unread would reset the connection, and the
/// client would lose answers that it has not read yet.
async fn linger(mut reader: OwnedReadHalf) {
    let mut rest = vec![0; READ_BYTES];
    let taking = async { while reader.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    if timeout(LINGER, taking).await.is_err() {
        tracing::debug!("an mcp client went on sending to a connection that is over");
    }
}

impl Connection {
    /// Answers until the client's end, or until the connection has to end; then the reader comes back.
    async fn read_all(
        mut self,
        mut reader: OwnedReadHalf,
        mut stop: watch::Receiver<Stop>,
    ) -> Option<OwnedReadHalf> {
        let mut lines = LineBuffer::new(self.shared.config.wire.line_bytes);
        let mut chunk = vec![0; READ_BYTES];
        let queue = self.outbox.queue.clone();
        loop {
            let read = tokio::select! {
                biased;
                () = stop::asked(&mut stop) => return Some(reader),
                () = queue.closed() => return Some(reader),
                read = reader.read(&mut chunk) => read,
            };
            let Ok(count) = read else { return None };
            lines.push(chunk.get(..count).unwrap_or_default());
            if count == 0 {
                // A last line may lack its newline.
                lines.push(b"\n");
            }
            for event in &mut lines {
                if self.take(event).await.is_err() {
                    return Some(reader);
                }
            }
            if count == 0 {
                return None;
            }
        }
    }

    async fn take(&mut self, event: LineEvent) -> Result<(), Closed> {
        let line = match event {
            LineEvent::Line(line) => line,
            LineEvent::TooLong { bytes } => {
                let limit = self.shared.config.wire.line_bytes;
                let text = format!("a line of {bytes} bytes was skipped; allowed: {limit}");
                return self.refuse("too_long", INVALID_REQUEST, text).await;
            }
        };
        match classify(&line) {
            Incoming::Request(request) => {
                drop(line);
                let slot = self.outbox.admit().await?;
                #[cfg(any(test, feature = "testkit"))]
                if let Some(fault) = self.shared.config.faults.take(&request) {
                    return self.act_out(fault, request, slot).await;
                }
                let answer = protocol::answer(&self.shared, &mut self.session, request);
                self.outbox.put(answer.into(), false, slot).await
            }
            Incoming::Notification(notification) => {
                // Every request is answered before the next line is read, so a cancellation always comes too late.
                metrics::counter!("mcp_runtime_notifications_total").increment(1);
                if notification.method == method::CANCELLED {
                    metrics::counter!("mcp_runtime_cancellations_total").increment(1);
                    #[cfg(any(test, feature = "testkit"))]
                    self.late.cancel(notification.params.as_ref());
                }
                Ok(())
            }
            // Nothing was asked of the client, so these answer nothing. Never answered, or two peers could go on for ever.
            Incoming::Response(_) | Incoming::IdlessError(_) => self.note_bad_line("unasked_answer"),
            Incoming::Batch(count) => {
                let text = format!("batches are not supported; send the {count} messages one a line");
                self.refuse("batch", INVALID_REQUEST, text).await
            }
            Incoming::Noise(noise) => {
                let (code, text) = match noise {
                    Noise::NotJson | Noise::Malformed => (PARSE_ERROR, "parse error: the line is no JSON"),
                    Noise::Unidentifiable => (INVALID_REQUEST, "the id must be a string or a 64-bit integer"),
                    Noise::NotAnObject | Noise::NotAMessage => {
                        (INVALID_REQUEST, "the line is no JSON-RPC request")
                    }
                };
                self.refuse(noise.as_str(), code, text.to_owned()).await
            }
        }
    }

    /// Answers what is no request with an error that names none.
    async fn refuse(&mut self, reason: &'static str, code: i64, text: String) -> Result<(), Closed> {
        let slot = self.outbox.admit().await?;
        let line = error_line(None, RpcError::new(code, text));
        self.outbox.put(line.into(), false, slot).await?;
        self.note_bad_line(reason)
    }

    fn note_bad_line(&mut self, reason: &'static str) -> Result<(), Closed> {
        Counters::count(&self.shared.counters.lines_refused);
        metrics::counter!("mcp_runtime_lines_refused_total", "reason" => reason).increment(1);
        self.bad_lines += 1;
        if self.bad_lines >= self.shared.config.wire.bad_lines {
            tracing::warn!(lines = self.bad_lines, "closing an mcp connection that sends no requests");
            return Err(Closed);
        }
        Ok(())
    }
}

/// Sends what is queued until nobody can queue any more. Each write must take at least a byte within `stall`.
async fn write_all(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Outgoing>,
    stall: Duration,
) -> io::Result<()> {
    let mut batch = Vec::new();
    let mut together = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut last = first.last;
        let mut bytes = first.bytes.len();
        batch.push(first);
        while bytes < WRITE_BYTES && !last {
            let Ok(next) = queue.try_recv() else { break };
            last = next.last;
            bytes += next.bytes.len();
            batch.push(next);
        }
        match batch.as_slice() {
            [only] => send(&mut writer, &only.bytes, stall).await?,
            several => {
                together.clear();
                several.iter().for_each(|outgoing| together.extend_from_slice(&outgoing.bytes));
                send(&mut writer, &together, stall).await?;
                together.shrink_to(2 * WRITE_BYTES);
            }
        }
        // Only now do they count as answered.
        batch.clear();
        if last {
            break;
        }
    }
    timeout(stall, writer.shutdown()).await.map_err(|_late| io::ErrorKind::TimedOut)?
}

async fn send(writer: &mut OwnedWriteHalf, mut bytes: &[u8], stall: Duration) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = timeout(stall, writer.write(bytes)).await.map_err(|_late| io::ErrorKind::TimedOut)??;
        match bytes.get(taken..) {
            Some(rest) if taken > 0 => bytes = rest,
            _ => return Err(io::ErrorKind::WriteZero.into()),
        }
    }
    Ok(())
}
