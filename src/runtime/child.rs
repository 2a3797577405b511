//! What a parent is told about a guarded child, and how a child says why it stops.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc, time::Duration};

use actix::{Message, WeakRecipient};
use tracing::Span;

use super::{caught, scope::Scope};

/// Why an actor ended, or has to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped because it was done, or because nobody holds a handle any more. Not restarted.
    Normal,
    /// It stopped and declared this fault (a failed recovery, say). Restarted.
    Fault(String),
    /// It panicked with this text. Restarted.
    Panic(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal end"),
            Self::Fault(text) => write!(f, "fault: {text}"),
            Self::Panic(text) => write!(f, "panic: {text}"),
        }
    }
}

/// News of a guarded child for its parent.
///
/// Each child ends with exactly one of `GaveUp` and `Finished`; the number of `Restarting` before it is bounded by the
/// restart policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildEvent<Id: Send + 'static> {
    /// The child failed and is started again after `delay`. Its handle stays valid and its mailbox keeps its queue.
    Restarting {
        /// The id given to `Guardian::start`.
        id: Id,
        /// The failure.
        why: Exit,
        /// How long the guardian waits before the restart.
        delay: Duration,
    },
    /// The child failed and is not restarted: the limit of the policy is reached, or it never came to run.
    GaveUp {
        /// The id given to `Guardian::start`.
        id: Id,
        /// The last failure.
        why: Exit,
    },
    /// The child ended without a failure: by itself, with its last handle, or with its arbiter.
    Finished {
        /// The id given to `Guardian::start`.
        id: Id,
    },
}

impl<Id: Send + 'static> Message for ChildEvent<Id> {
    type Result = ();
}

/// Where the news of a child go. Called on the child's arbiter, inside its guardian: it must not block.
pub struct ParentSink<Id>(Arc<dyn Fn(ChildEvent<Id>) + Send + Sync>)
where
    Id: Send + 'static;

impl<Id: Send + 'static> ParentSink<Id> {
    /// Calls `f` with every event. A panic in it is caught and logged.
    pub fn new(f: impl Fn(ChildEvent<Id>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// Drops every event: for children whose end concerns nobody (it is still logged and counted).
    pub fn ignore() -> Self {
        Self::new(drop)
    }

    /// Sends every event to the actor behind `parent`, without keeping it alive.
    ///
    /// An actor gets it by `ctx.address().downgrade().recipient()`. No event is refused: each is sent through an
    /// address of its own, and the restart policy bounds how many there are. Events for a parent that has ended are
    /// dropped.
    pub fn actor(parent: WeakRecipient<ChildEvent<Id>>) -> Self {
        Self::new(move |event| {
            let sent = parent.upgrade().map(|parent| parent.try_send(event));
            if !matches!(sent, Some(Ok(()))) {
                tracing::debug!("the parent of a guarded actor has ended");
            }
        })
    }

    fn send(&self, event: ChildEvent<Id>) {
        if let Err(panic) = caught::call(|| (self.0)(event)) {
            tracing::error!(panic, "telling a parent about its child panicked");
        }
    }
}

impl<Id: Send + 'static> Clone for ParentSink<Id> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Id: Send + 'static> fmt::Debug for ParentSink<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParentSink")
    }
}

/// Given to an actor at its making, so that it can say why it calls `ctx.stop()`. Without a word a stop is `Normal`.
#[derive(Clone, Debug, Default)]
pub struct ExitLink(Rc<RefCell<Option<Exit>>>);

impl ExitLink {
    /// Declares why the actor is about to call `ctx.stop()`; the last word counts.
    pub fn declare(&self, why: Exit) {
        self.0.replace(Some(why));
    }

    /// Declares a fault: `declare(Exit::Fault(text))`.
    pub fn fault(&self, text: impl fmt::Display) {
        self.declare(Exit::Fault(text.to_string()));
    }

    /// Takes the declared reason, so that an old word never explains a later stop.
    pub(crate) fn take(&self) -> Option<Exit> {
        self.0.take()
    }
}

/// Reports the life of one child: counters, log, parent. Its drop makes sure that the end is reported exactly once.
pub(crate) struct Reporter<Id: fmt::Debug + Clone + Send + 'static> {
    id: Id,
    actor: &'static str,
    parent: ParentSink<Id>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) span: Span,
    started: bool,
    ended: bool,
}

impl<Id: fmt::Debug + Clone + Send + 'static> Reporter<Id> {
    pub(crate) fn new(id: Id, actor: &'static str, parent: ParentSink<Id>) -> Self {
        let span = tracing::info_span!("child", actor, id = ?id);
        let scope = Scope::current();
        scope.child_started();
        Self { id, actor, parent, scope, span, started: false, ended: false }
    }

    pub(crate) fn started(&mut self) {
        self.started = true;
    }

    /// Counts a caught panic and makes the reason out of its text.
    pub(crate) fn panicked(&self, text: String) -> Exit {
        self.scope.panicked();
        metrics::counter!("visionflow_actor_panics_total", "actor" => self.actor).increment(1);
        Exit::Panic(text)
    }

    pub(crate) fn restarting(&self, why: Exit, delay: Duration) {
        metrics::counter!("visionflow_actor_restarts_total", "actor" => self.actor).increment(1);
        tracing::warn!(%why, ?delay, "actor failed, it is restarted");
        self.parent.send(ChildEvent::Restarting { id: self.id.clone(), why, delay });
    }

    pub(crate) fn gave_up(&mut self, why: Exit) {
        metrics::counter!("visionflow_actor_gave_up_total", "actor" => self.actor).increment(1);
        tracing::error!(%why, "actor failed, it is not restarted");
        self.ended = true;
        self.parent.send(ChildEvent::GaveUp { id: self.id.clone(), why });
    }

    pub(crate) fn finished(&mut self) {
        tracing::debug!("actor ended");
        self.ended = true;
        self.parent.send(ChildEvent::Finished { id: self.id.clone() });
    }
}

impl<Id: fmt::Debug + Clone + Send + 'static> Drop for Reporter<Id> {
    fn drop(&mut self) {
        // its arbiter stopped: it was never started, or it ended with the arbiter
        if !self.ended && self.started {
            self.finished();
        } else if !self.ended {
            self.gave_up(Exit::Fault("its arbiter is not running".to_owned()));
        }
        self.scope.child_ended();
    }
}
