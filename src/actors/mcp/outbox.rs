//! Lines that wait to be written on one connection. Bounded in bytes; a request that nobody waits for any more is taken
//! out again, so that it is known never to have been sent.
//!
//! How many requests wait is bounded by the calls in flight, each has one line at most. Used on one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// Bytes of lines that wait on one connection; also the longest line that is sent.
pub(super) const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines that wait beside requests: cancellations, notifications, answers to a server's own requests.
const SIDE_LINES_MAX: usize = 64;
/// Lines are written together up to this many bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// Why a line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many bytes wait.
    Full,
    /// The line is longer than any that is sent.
    TooLarge { bytes: usize },
    /// The connection is lost.
    Closed,
}

#[derive(Debug)]
struct Waiting {
    /// `None` for lines beside requests.
    id: Option<String>,
    line: String,
}

/// The queue between callers and the writer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: RefCell<VecDeque<Waiting>>,
    bytes: Cell<usize>,
    beside: Cell<usize>,
    closed: Cell<bool>,
    wake: Notify,
}

impl Outbox {
    /// Takes the line of a request.
    pub(super) fn push(&self, id: &str, line: String) -> Result<(), Refusal> {
        if line.len() > QUEUE_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes: line.len() });
        }
        self.add(Some(id.to_owned()), line)
    }

    /// Takes a line that nobody waits for; says whether there was room.
    pub(super) fn push_beside(&self, line: String) -> bool {
        let room = self.beside.get() < SIDE_LINES_MAX && self.add(None, line).is_ok();
        if room {
            self.beside.set(self.beside.get() + 1);
        }
        room
    }

    fn add(&self, id: Option<String>, line: String) -> Result<(), Refusal> {
        if self.closed.get() {
            return Err(Refusal::Closed);
        }
        let bytes = self.bytes.get().saturating_add(line.len());
        if bytes > QUEUE_BYTES_MAX {
            return Err(Refusal::Full);
        }
        self.bytes.set(bytes);
        self.queue.borrow_mut().push_back(Waiting { id, line });
        self.wake.notify_one();
        Ok(())
    }

    /// Takes a request out again. `true`: not a byte of it was sent, and none will be.
    pub(super) fn withdraw(&self, id: &str) -> bool {
        let mut queue = self.queue.borrow_mut();
        let place = queue.iter().position(|waiting| waiting.id.as_deref() == Some(id));
        let Some(waiting) = place.and_then(|place| queue.remove(place)) else { return false };
        self.bytes.set(self.bytes.get().saturating_sub(waiting.line.len()));
        true
    }

    /// Waits for lines and moves as many as are written together into `batch`. `false` once closed.
    pub(super) async fn next_batch(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        loop {
            if self.closed.get() {
                return false;
            }
            self.fill(batch);
            if !batch.is_empty() {
                return true;
            }
            self.wake.notified().await;
        }
    }

    fn fill(&self, batch: &mut Vec<u8>) {
        let mut queue = self.queue.borrow_mut();
        while let Some(waiting) = queue.front() {
            if !batch.is_empty() && batch.len() + waiting.line.len() > BATCH_BYTES {
                return;
            }
            batch.extend_from_slice(waiting.line.as_bytes());
            self.bytes.set(self.bytes.get().saturating_sub(waiting.line.len()));
            if waiting.id.is_none() {
                self.beside.set(self.beside.get().saturating_sub(1));
            }
            queue.pop_front();
        }
    }

    /// Takes and gives no more. What waits can still be withdrawn.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_in_order_and_withdrawn_ones_do_not() {
        let outbox = Outbox::default();
        for id in ["a", "b", "c"] {
            outbox.push(id, format!("{id}\n")).unwrap();
        }
        assert!(outbox.withdraw("b"));
        assert!(!outbox.withdraw("b"));
        let mut batch = Vec::new();
        assert!(outbox.next_batch(&mut batch).await);
        assert_eq!(batch, b"a\nc\n");
        assert!(!outbox.withdraw("a"), "it was handed to the writer");
        assert_eq!(outbox.bytes.get(), 0);
    }

    #[tokio::test]
    async fn bytes_and_side_lines_are_bounded_and_freed() {
        let outbox = Outbox::default();
        assert_eq!(
            outbox.push("x", " ".repeat(QUEUE_BYTES_MAX + 1)),
            Err(Refusal::TooLarge { bytes: QUEUE_BYTES_MAX + 1 })
        );
        outbox.push("a", " ".repeat(QUEUE_BYTES_MAX)).unwrap();
        assert_eq!(outbox.push("b", " ".into()), Err(Refusal::Full));
        assert!(!outbox.push_beside(" ".into()));
        assert!(outbox.withdraw("a"));
        let taken = (0..200).filter(|_| outbox.push_beside("n".into())).count();
        assert_eq!(taken, SIDE_LINES_MAX);
        let mut batch = Vec::new();
        assert!(outbox.next_batch(&mut batch).await);
        assert_eq!(batch.len(), SIDE_LINES_MAX);
        assert!(outbox.push_beside("n".into()), "room again");
    }

    #[tokio::test]
    async fn long_lines_are_written_alone_and_a_closed_box_gives_nothing() {
        let outbox = Outbox::default();
        outbox.push("a", "a".repeat(BATCH_BYTES)).unwrap();
        outbox.push("b", "b".into()).unwrap();
        let mut batch = Vec::new();
        assert!(outbox.next_batch(&mut batch).await);
        assert_eq!(batch.len(), BATCH_BYTES);
        outbox.close();
        assert!(!outbox.next_batch(&mut batch).await);
        assert_eq!(outbox.push("c", "c".into()), Err(Refusal::Closed));
        assert!(outbox.withdraw("b"), "what was not sent is known not to be");
    }
}
