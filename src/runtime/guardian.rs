//! Restarts an actor after a panic or a declared fault; actix's own `Supervisor` only reacts to `ctx.stop()`.
//!
//! The guardian is the task that polls the actor's `ContextFut`, inside `catch_unwind`. On a failure it rebuilds the
//! actor at once through `Supervised::restarting` (which drops its spawned futures, and thereby frees everybody who
//! waits for one of them), waits the backoff of its [`RestartPolicy`], waits for a recovery permit, and polls again:
//! `started()` runs as on the first day. The mailbox is untouched: handles stay valid, queued messages are handled
//! after the recovery; only the message that caused the failure is gone.
//!
//! **Recovery permits.** At most [`RECOVERIES_MAX`](super::RECOVERIES_MAX) restarted actors of a process recover at
//! once. The permit is held from just before `started()` until the last `ctx.wait` future of `started()` is done, which
//! is the moment when the actor takes messages again; or until it fails or ends; but for no longer than
//! [`RECOVERY_HOLD_MAX`], so that a recovery without an end cannot block the others. First starts take none.
//!
//! Not for stuck actors: nothing on the same thread can stop a handler that loops, see [`health`].

use std::{
    cell::RefCell, fmt, future::Future, pin::Pin, rc::Rc, sync::Arc, task, task::Poll, time::Duration,
};

use actix::{
    Actor, ActorContext, ArbiterHandle, AsyncContext, Context, Supervised,
    dev::{AsyncContextParts, ContextFut, channel},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};

use super::{
    Exit, ExitLink, FailureWindow, Handle, ParentSink, RestartPolicy, Verdict, WeakHandle, caught,
    chance::chance, child::Reporter, health, names::actor_name,
};

#[cfg(test)]
mod tests;

/// The most messages that a mailbox takes; larger capacities are cut to it.
pub const MAILBOX_CAPACITY_MAX: usize = 65_536;
/// The longest that a recovering actor keeps its recovery permit.
pub const RECOVERY_HOLD_MAX: Duration = Duration::from_secs(30);

type Permit = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>>>>;

enum Phase {
    /// The actor is polled.
    Running,
    /// It failed. Polled again after `pause`; not `rebuilt` when `restarting()` panicked.
    Resting { pause: Pin<Box<Sleep>>, rebuilt: bool },
    /// The pause is over; waits for its turn to recover.
    Queued(Permit),
    /// Nothing left to do.
    Ended,
}

/// The task around one guarded actor; made and spawned by [`Guardian::start`].
pub struct Guardian<A, Id>
where
    A: Supervised + Actor<Context = Context<A>>,
    Id: fmt::Debug + Clone + Send + 'static,
{
    actor: Option<ContextFut<A, Context<A>>>,
    phase: Phase,
    link: ExitLink,
    policy: RestartPolicy,
    failures: FailureWindow,
    /// Emptied by the actor's context when its recovery is done.
    permit: Rc<RefCell<Option<OwnedSemaphorePermit>>>,
    hold: Option<Pin<Box<Sleep>>>,
    reporter: Box<Reporter<Id>>,
}

impl<A, Id> Guardian<A, Id>
where
    A: Supervised + Actor<Context = Context<A>>,
    Id: fmt::Debug + Clone + Send + 'static,
{
    /// Starts the actor made by `make` on `arbiter`; its mailbox takes `capacity` messages (cut to
    /// `1..=MAILBOX_CAPACITY_MAX`).
    ///
    /// `make` runs on the arbiter. When it panics, or the arbiter is not running, the parent gets `GaveUp` and the
    /// handle says `Gone`. The actor ends when the last clone of the handle is dropped; it must not hold one itself
    /// (see [`start_linked`](Self::start_linked)).
    pub fn start<F>(
        arbiter: &ArbiterHandle,
        id: Id,
        capacity: usize,
        policy: RestartPolicy,
        parent: ParentSink<Id>,
        make: F,
    ) -> Handle<A>
    where
        F: FnOnce(ExitLink) -> A + Send + 'static,
    {
        Self::start_linked(arbiter, id, capacity, policy, parent, |link, _myself| make(link))
    }

    /// Like [`start`](Self::start); `make` also gets a weak handle of the actor itself, for its timers and tasks.
    pub fn start_linked<F>(
        arbiter: &ArbiterHandle,
        id: Id,
        capacity: usize,
        policy: RestartPolicy,
        parent: ParentSink<Id>,
        make: F,
    ) -> Handle<A>
    where
        F: FnOnce(ExitLink, WeakHandle<A>) -> A + Send + 'static,
    {
        // actix takes capacity 0 for "unbounded"
        let capacity = capacity.clamp(1, MAILBOX_CAPACITY_MAX);
        let (sender, receiver) = channel::channel(capacity);
        let handle = Handle::new(sender, capacity);
        let myself = handle.downgrade();
        let mut reporter = Box::new(Reporter::new(id, actor_name::<A>(), parent));
        let accepted = arbiter.spawn_fn(move || {
            let span = reporter.span.clone();
            let _inside = span.enter();
            reporter.started();
            let link = ExitLink::default();
            let context = Context::with_receiver(receiver);
            match caught::call(|| make(link.clone(), myself)) {
                Ok(actor) => {
                    actix::spawn(Self {
                        actor: Some(context.into_future(actor)),
                        phase: Phase::Running,
                        link,
                        policy,
                        failures: FailureWindow::default(),
                        permit: Rc::default(),
                        hold: None,
                        reporter,
                    });
                }
                Err(panic) => {
                    let why = reporter.panicked(panic);
                    // the mailbox first: who hears of the end must find the handle gone
                    drop(context);
                    reporter.gave_up(why);
                }
            }
        });
        if !accepted {
            tracing::warn!(actor = actor_name::<A>(), "starting an actor on an arbiter that is not running");
        }
        handle
    }

    /// Moves on until there is something to wait for, or the actor has ended.
    fn advance(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        loop {
            let why = match &mut self.phase {
                Phase::Ended => return Poll::Ready(()),
                Phase::Running => {
                    let polled = self.poll_actor(cx);
                    if polled.is_pending() {
                        self.limit_recovery(cx);
                    }
                    task::ready!(polled)
                }
                Phase::Resting { pause, rebuilt } => {
                    task::ready!(pause.as_mut().poll(cx));
                    let rebuilt = *rebuilt;
                    let gate = Arc::clone(&self.reporter.scope.gate);
                    self.phase = Phase::Queued(Box::pin(async move { gate.acquire_owned().await.ok() }));
                    match if rebuilt { Ok(()) } else { self.rebuild() } {
                        Ok(()) => continue,
                        Err(why) => why,
                    }
                }
                Phase::Queued(turn) => {
                    let permit = task::ready!(turn.as_mut().poll(cx));
                    self.recover(permit);
                    continue;
                }
            };
            self.permit.take();
            self.hold = None;
            if why == Exit::Normal {
                self.close(false);
                self.reporter.finished();
            } else {
                self.after_failure(why);
            }
        }
    }

    fn poll_actor(&mut self, cx: &mut task::Context<'_>) -> Poll<Exit> {
        let Some(actor) = self.actor.as_mut() else { return Poll::Ready(Exit::Normal) };
        match caught::call(|| Pin::new(actor).poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(self.link.take().unwrap_or(Exit::Normal)),
            Err(panic) => Poll::Ready(self.reporter.panicked(panic)),
        }
    }

    /// Decides between a restart and the end, and begins it.
    fn after_failure(&mut self, why: Exit) {
        self.link.take();
        let Verdict::Restart { earlier } = self.failures.record(&self.policy, Instant::now()) else {
            self.close(false);
            self.reporter.gave_up(why);
            return;
        };
        let delay = self.policy.backoff(earlier, chance());
        let pause = Box::pin(sleep(delay));
        self.reporter.restarting(why, delay);
        match self.rebuild() {
            Ok(()) => self.phase = Phase::Resting { pause, rebuilt: true },
            Err(Exit::Normal) => {
                self.close(false);
                self.reporter.finished();
            }
            // tried once more after the pause; a panic there is a failure of its own
            Err(Exit::Fault(_) | Exit::Panic(_)) => self.phase = Phase::Resting { pause, rebuilt: false },
        }
    }

    /// Drops what the actor spawned and calls `Supervised::restarting`. `Err(Normal)`: nobody holds a handle.
    fn rebuild(&mut self) -> Result<(), Exit> {
        let Some(actor) = self.actor.as_mut() else { return Err(Exit::Normal) };
        match caught::call(|| actor.restart()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Exit::Normal),
            Err(panic) => {
                let why = self.reporter.panicked(panic);
                tracing::warn!(%why, "rebuilding a failed actor failed");
                Err(why)
            }
        }
    }

    /// Lets the actor run with `permit`, to be given back by its context when the recovery is done.
    fn recover(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.phase = Phase::Running;
        self.hold = Some(Box::pin(sleep(RECOVERY_HOLD_MAX)));
        self.permit.replace(permit);
        let permit = Rc::clone(&self.permit);
        if let Some(actor) = self.actor.as_mut() {
            // waits are polled last in, first out: this one is reached when those of `started()` are done
            actor.ctx().wait(actix::fut::wrap_future::<_, A>(async move {
                permit.take();
            }));
        }
    }

    /// Takes the recovery permit away when the recovery lasts too long.
    fn limit_recovery(&mut self, cx: &mut task::Context<'_>) {
        if self.permit.borrow().is_none() {
            self.hold = None;
        } else if self.hold.as_mut().is_some_and(|hold| hold.as_mut().poll(cx).is_ready()) {
            self.hold = None;
            self.permit.take();
            tracing::warn!(hold = ?RECOVERY_HOLD_MAX, "a recovery takes too long, its permit is given to others");
        }
    }

    /// Closes the mailbox and drops the actor; `orderly`: after `stopping()` and `stopped()`, if it runs.
    fn close(&mut self, orderly: bool) {
        self.phase = Phase::Ended;
        let Some(mut actor) = self.actor.take() else { return };
        // the drop of a context polls it once more, which a torn or unstarted actor must not see
        if !orderly || !actor.ctx().parts().started() {
            actor.ctx().terminate();
        }
        if let Err(panic) = caught::call(move || drop(actor)) {
            let why = self.reporter.panicked(panic);
            tracing::error!(%why, "dropping an actor panicked");
        }
    }
}

impl<A, Id> Future for Guardian<A, Id>
where
    A: Supervised + Actor<Context = Context<A>>,
    Id: fmt::Debug + Clone + Send + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let span = this.reporter.span.clone();
        let _inside = span.enter();
        let polled = this.advance(cx);
        health::beat();
        polled
    }
}

impl<A, Id> Drop for Guardian<A, Id>
where
    A: Supervised + Actor<Context = Context<A>>,
    Id: fmt::Debug + Clone + Send + 'static,
{
    fn drop(&mut self) {
        let span = self.reporter.span.clone();
        let _inside = span.enter();
        let orderly = matches!(self.phase, Phase::Running);
        self.close(orderly);
    }
}

impl<A, Id> fmt::Debug for Guardian<A, Id>
where
    A: Supervised + Actor<Context = Context<A>>,
    Id: fmt::Debug + Clone + Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guardian").field("actor", &actor_name::<A>()).finish_non_exhaustive()
    }
}
