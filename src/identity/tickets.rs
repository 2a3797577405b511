//! Single-use tickets with which a browser opens a WebSocket: browsers cannot send the token's header.
//!
//! A ticket is worth one connection within its life, so that one in a log or a history is worth nothing.
//! Tickets live in memory only: a restart forgets them, and the browser asks for another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use thiserror::Error;

use super::{Identity, LEEWAY};

/// How long a ticket is good.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// Tickets that wait at once.
pub const TICKETS_MAX: usize = 10_000;
/// Tickets of one subject that wait at once: one client cannot take the places of all.
pub const TICKETS_PER_SUBJECT_MAX: usize = 32;

/// Random bytes of a ticket: 128 bits.
type Secret = [u8; 16];

/// A ticket to hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// 22 characters of base64url.
    pub value: String,
    /// When it ends, never later than the token (with leeway) that it was made from.
    pub expires_at: DateTime<Utc>,
}

/// Why there is no ticket, or why it does not open a connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The book is full; retry after a ticket's life.
    #[error("making a ticket: too many wait already")]
    Full,
    /// The subject has too many; retry after a ticket's life.
    #[error("making a ticket: the subject has too many that wait")]
    TooManyForSubject,
    /// There is none like it: forged, used, or gone.
    #[error("the ticket is unknown or was used already: get another")]
    Unknown,
    /// It came too late.
    #[error("the ticket expired at {at}: get another")]
    Expired {
        /// When it ended.
        at: DateTime<Utc>,
    },
}

/// What happened to tickets since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TicketCounts {
    /// Handed out.
    pub issued: u64,
    /// Used in time.
    pub taken: u64,
    /// Ended unused, or came too late.
    pub expired: u64,
    /// Refused because a limit was reached.
    pub refused: u64,
    /// Presented but not in the book.
    pub unknown: u64,
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct Book {
    entries: BTreeMap<Secret, Entry>,
    by_expiry: BTreeSet<(DateTime<Utc>, Secret)>,
    by_subject: BTreeMap<String, usize>,
    counts: TicketCounts,
}

/// All tickets that wait, shared by the threads of a server.
#[derive(Debug)]
pub struct TicketBook {
    book: Mutex<Book>,
    limit: usize,
}

impl Default for TicketBook {
    fn default() -> Self {
        Self::new(TICKETS_MAX)
    }
}

impl TicketBook {
    /// An empty book for at most `limit` waiting tickets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { book: Mutex::new(Book::default()), limit }
    }

    /// Makes a ticket for a caller. `secret` must be fresh from a source fit for secrets.
    ///
    /// # Errors
    /// [`TicketError::Full`] or [`TicketError::TooManyForSubject`] at a limit.
    pub fn issue(
        &self,
        identity: Identity,
        secret: Secret,
        now: DateTime<Utc>,
    ) -> Result<Ticket, TicketError> {
        let mut book = self.book.lock();
        book.forget_expired(now);
        // A secret given twice replaces its ticket: two callers must never share one.
        drop(book.remove(&secret));
        let own = book.by_subject.get(&identity.subject).copied().unwrap_or(0);
        let refusal = if book.entries.len() >= self.limit {
            Some(TicketError::Full)
        } else {
            (own >= TICKETS_PER_SUBJECT_MAX).then_some(TicketError::TooManyForSubject)
        };
        if let Some(refusal) = refusal {
            book.counts.refused += 1;
            count("refused");
            return Err(refusal);
        }
        let expires_at = (identity.expires_at + LEEWAY).min(now + TICKET_LIFE);
        book.by_subject.insert(identity.subject.clone(), own + 1);
        book.by_expiry.insert((expires_at, secret));
        book.entries.insert(secret, Entry { identity, expires_at });
        book.counts.issued += 1;
        count("issued");
        Ok(Ticket { value: URL_SAFE_NO_PAD.encode(secret), expires_at })
    }

    /// Uses a ticket up and tells whose it was.
    ///
    /// # Errors
    /// [`TicketError::Unknown`] or [`TicketError::Expired`]; it is used up in either case.
    pub fn take(&self, value: &str, now: DateTime<Utc>) -> Result<Identity, TicketError> {
        let mut secret = Secret::default();
        let well_formed = URL_SAFE_NO_PAD.decode_slice(value, &mut secret) == Ok(secret.len());
        let mut book = self.book.lock();
        let Some(entry) = well_formed.then(|| book.remove(&secret)).flatten() else {
            book.counts.unknown += 1;
            count("unknown");
            return Err(TicketError::Unknown);
        };
        if now >= entry.expires_at {
            book.counts.expired += 1;
            count("expired");
            return Err(TicketError::Expired { at: entry.expires_at });
        }
        book.counts.taken += 1;
        count("taken");
        Ok(entry.identity)
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> TicketCounts {
        self.book.lock().counts
    }
}

impl Book {
    fn remove(&mut self, secret: &Secret) -> Option<Entry> {
        let entry = self.entries.remove(secret)?;
        self.by_expiry.remove(&(entry.expires_at, *secret));
        let subject = &entry.identity.subject;
        match self.by_subject.get_mut(subject) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                self.by_subject.remove(subject);
            }
        }
        Some(entry)
    }

    fn forget_expired(&mut self, now: DateTime<Utc>) {
        while self.by_expiry.first().is_some_and(|(ends, _)| *ends <= now) {
            let Some((_, secret)) = self.by_expiry.pop_first() else { break };
            if self.remove(&secret).is_some() {
                self.counts.expired += 1;
                count("expired");
            }
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("visionflow_ws_tickets_total", "outcome" => outcome).increment(1);
}
