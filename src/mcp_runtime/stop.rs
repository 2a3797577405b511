//! How far the end of the runtime has come.

use tokio::sync::watch;

/// What connections and the accept loop are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Go on.
    Run,
    /// Read nothing more, send what is queued, end.
    Drain,
    /// End now.
    Now,
}

/// Waits until the runtime is to end in one way or another; its owner's drop is an end as well.
pub(super) async fn asked(stop: &mut watch::Receiver<Stop>) {
    drop(stop.wait_for(|stop| *stop != Stop::Run).await);
}

/// Waits until the runtime is to end without waiting for clients.
pub(super) async fn now(stop: &mut watch::Receiver<Stop>) {
    drop(stop.wait_for(|stop| *stop == Stop::Now).await);
}
