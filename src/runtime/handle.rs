//! What others hold of a guarded actor: ask with a deadline, or tell; a full mailbox refuses at once.
//!
//! **The bound.** actix gives every `Addr` clone one guaranteed slot beyond the capacity, and `do_send` ignores the
//! capacity altogether. All clones of a handle therefore share *one* sender behind a lock that is held only while a
//! message is put into the queue. Its own count of queued messages, which goes down when a message is taken out to be
//! handled or dropped, is then an exact limit: never more than `capacity` messages wait, however many clones there
//! are. Addresses that an actor makes of itself (`ctx.address()`, `ctx.notify`) are outside this bound; use
//! [`WeakHandle`] instead.
//!
//! **Floods.** actix drains a mailbox without a budget: a producer that keeps it from running empty starves the
//! timers of the actor and of its neighbours on the same arbiter. No handle can prevent that. Keep mailboxes small,
//! let hot producers coalesce (latest wins) instead of queueing, and give a 60 Hz path an arbiter of its own.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::{Actor, Context, Handler, Message, dev::SendError, dev::channel::AddressSender};
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::{Deadline, names::actor_name};

#[cfg(test)]
mod tests;

/// Why a call to an actor brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The mailbox is full; the message was not queued. May be repeated later.
    #[error("calling an actor: its mailbox is full")]
    Full,
    /// Not answered in time. A message that was still queued is never handled; one that was being handled may have
    /// taken effect: the outcome is unknown.
    #[error("calling an actor: not answered in time")]
    Deadline,
    /// The answer was lost in a crash and the actor is recovering. The outcome is unknown.
    #[error("calling an actor: it crashed and recovers, the outcome is unknown")]
    Crashed,
    /// The actor has ended for good; this handle will never work again. When the message was queued before the end,
    /// its outcome is unknown.
    #[error("calling an actor: it has ended")]
    Gone,
}

impl CallError {
    /// Whether the message may have taken effect. Only what certainly did not happen may be repeated without a key.
    pub const fn outcome_unknown(self) -> bool {
        match self {
            Self::Full => false,
            Self::Deadline | Self::Crashed | Self::Gone => true,
        }
    }
}

struct Shared<A: Actor<Context = Context<A>>> {
    sender: Mutex<AddressSender<A>>,
    actor: &'static str,
    capacity: usize,
    asking: AtomicUsize,
}

/// A cloneable handle of a guarded actor. The actor ends when its last handle is dropped.
///
/// It survives restarts of the actor. Sending never blocks and may be done from any thread.
pub struct Handle<A: Actor<Context = Context<A>>> {
    shared: Arc<Shared<A>>,
}

impl<A: Actor<Context = Context<A>>> Handle<A> {
    pub(crate) fn new(sender: AddressSender<A>, capacity: usize) -> Self {
        let shared = Shared {
            sender: Mutex::new(sender),
            actor: actor_name::<A>(),
            capacity,
            asking: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends `msg` and waits for the answer, at most until `deadline`.
    ///
    /// The message is sent at the first poll. Dropping the returned future, like passing the deadline, cancels a
    /// message that is still queued. Ask only *down* the supervision tree: two actors that ask each other while
    /// they handle a message wait until the deadline.
    ///
    /// # Errors
    /// [`CallError::Full`] at once when the mailbox is full; [`CallError::Deadline`] when no answer came in time (or
    /// the deadline had passed before: then nothing was sent); [`CallError::Crashed`] when the answer was lost;
    /// [`CallError::Gone`] when the actor has ended.
    pub async fn ask<M>(&self, msg: M, deadline: Deadline) -> Result<M::Result, CallError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        if deadline.expired() {
            return Err(CallError::Deadline);
        }
        let sent = self.shared.sender.lock().send(msg);
        let answer = sent.map_err(|refusal| self.refused(&refusal))?;
        let _asking = Asking::begin(&self.shared.asking);
        match timeout_at(deadline.instant(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_lost)) if self.connected() => Err(CallError::Crashed),
            Ok(Err(_lost)) => Err(CallError::Gone),
            Err(_elapsed) => Err(CallError::Deadline),
        }
    }

    /// Sends `msg` without waiting for anything.
    ///
    /// # Errors
    /// [`CallError::Full`] when the mailbox is full; [`CallError::Gone`] when the actor has ended. `Ok` says that the
    /// message is queued, not that it will be handled.
    pub fn tell<M>(&self, msg: M) -> Result<(), CallError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let sent = self.shared.sender.lock().try_send(msg, true);
        sent.map_err(|refusal| self.refused(&refusal))
    }

    fn refused<M>(&self, refusal: &SendError<M>) -> CallError {
        metrics::counter!("visionflow_mailbox_refused_total", "actor" => self.shared.actor).increment(1);
        match refusal {
            SendError::Full(_) => CallError::Full,
            SendError::Closed(_) => CallError::Gone,
        }
    }

    /// Whether the actor lives: it runs, or it is being restarted.
    pub fn connected(&self) -> bool {
        self.shared.sender.lock().connected()
    }

    /// How many asks through this handle and its clones wait for their answer now.
    pub fn asking(&self) -> usize {
        self.shared.asking.load(Ordering::Relaxed)
    }

    /// How many messages may wait in the mailbox.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// A handle that does not keep the actor alive.
    pub fn downgrade(&self) -> WeakHandle<A> {
        WeakHandle { shared: Arc::downgrade(&self.shared) }
    }

    /// Whether both are handles of the same actor.
    pub fn same_actor(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<A: Actor<Context = Context<A>>> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<A: Actor<Context = Context<A>>> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("actor", &self.shared.actor)
            .field("capacity", &self.shared.capacity)
            .field("connected", &self.connected())
            .finish()
    }
}

/// A [`Handle`] that does not keep its actor alive: for the actor itself, its timers and its tasks.
pub struct WeakHandle<A: Actor<Context = Context<A>>> {
    shared: Weak<Shared<A>>,
}

impl<A: Actor<Context = Context<A>>> WeakHandle<A> {
    /// The handle, unless every one has been dropped.
    pub fn upgrade(&self) -> Option<Handle<A>> {
        self.shared.upgrade().map(|shared| Handle { shared })
    }
}

impl<A: Actor<Context = Context<A>>> Clone for WeakHandle<A> {
    fn clone(&self) -> Self {
        Self { shared: Weak::clone(&self.shared) }
    }
}

impl<A: Actor<Context = Context<A>>> fmt::Debug for WeakHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHandle").field("actor", &actor_name::<A>()).finish_non_exhaustive()
    }
}

/// Counts an ask from its sending until its end, however it ends.
struct Asking<'a>(&'a AtomicUsize);

impl<'a> Asking<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
