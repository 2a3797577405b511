//! Every session of the server: how many there may be, and how to say goodbye to all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::telemetry::clock;
use crate::wire::CloseCode;

/// The server has as many sessions as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server holds {max} sessions; no more are taken now")]
pub struct TooManySessions {
    /// Most sessions.
    pub max: usize,
}

/// Tells a session that the server ends it.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct Farewell {
    pub(super) code: CloseCode,
    pub(super) retry_ms: u64,
}

#[derive(Debug)]
struct Inner {
    max: usize,
    next: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Option<Recipient<Farewell>>>>,
}

/// The sessions of one server. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Inner>);

impl Sessions {
    /// Takes at most `max` sessions.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, next: AtomicU64::new(1), sessions: Mutex::default() }))
    }

    /// A place for one more session.
    ///
    /// # Errors
    /// [`TooManySessions`] at the limit; the refusal is counted.
    pub fn enter(&self) -> Result<Place, TooManySessions> {
        let mut sessions = self.0.sessions.lock();
        if sessions.len() >= self.0.max {
            metrics::counter!("visionflow_sessions_refused_total").increment(1);
            return Err(TooManySessions { max: self.0.max });
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        sessions.insert(number, None);
        gauge(sessions.len());
        Ok(Place { number, id: clock::uuid_v7(), sessions: self.clone() })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.sessions.lock().len()
    }

    /// Says goodbye to all; each ends itself.
    pub fn close_all(&self, code: CloseCode, retry_ms: u64) {
        let all: Vec<_> = self.0.sessions.lock().values().flatten().cloned().collect();
        for session in all {
            if session.try_send(Farewell { code, retry_ms }).is_err() {
                // its mailbox is full because its socket is: the kernel's timeout ends that one
                metrics::counter!("visionflow_session_farewells_refused_total").increment(1);
            }
        }
    }
}

/// One session's place; given back when the session ends, or when it never starts.
#[derive(Debug)]
pub struct Place {
    number: u64,
    id: Uuid,
    sessions: Sessions,
}

impl Place {
    /// The session's number within the process.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The session's id, for logs and clients.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn arrive(&self, session: Recipient<Farewell>) {
        self.sessions.0.sessions.lock().insert(self.number, Some(session));
    }

    pub(super) fn leave(&self) {
        let mut sessions = self.sessions.0.sessions.lock();
        if sessions.remove(&self.number).is_some() {
            gauge(sessions.len());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

fn gauge(count: usize) {
    metrics::gauge!("visionflow_sessions").set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_whether_or_not_the_session_started() {
        let sessions = Sessions::new(2);
        let (one, two) = (sessions.enter().unwrap(), sessions.enter().unwrap());
        assert_eq!(sessions.enter().unwrap_err(), TooManySessions { max: 2 });
        drop(one);
        let three = sessions.enter().unwrap();
        assert_ne!(three.number(), two.number());
        assert_eq!(sessions.count(), 2);
    }
}
