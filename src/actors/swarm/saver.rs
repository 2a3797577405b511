//! Writes what the actor's futures changed, one write at a time, everything that waits in one transaction.
//!
//! One writer per swarm keeps the order of its rows; what comes while a write is under way joins the next
//! one. Views and events go out only after they are persisted.

use std::sync::Arc;

use super::state::Live;
use crate::store::Change;

/// Saves until a write fails; returns why. The actor is then restarted from what is persisted.
pub(super) async fn run(live: Live) -> String {
    loop {
        live.save.notified().await;
        let empty = Change::new(live.seed.entry.id);
        let (change, waiters) = live
            .with(|state| (std::mem::replace(&mut state.pending, empty), std::mem::take(&mut state.waiters)));
        if change.is_empty() && waiters.is_empty() {
            continue;
        }
        match live.seed.store.save(change).await {
            Ok(events) => {
                live.publish();
                live.seed.entry.channel.push_events(events);
                for waiter in waiters {
                    // an asker that has gone away needs no answer
                    drop(waiter.send(Ok(())));
                }
            }
            // the last words of a swarm that was deleted meanwhile
            Err(_) if live.with(|state| state.ended) => {}
            Err(error) => {
                let why = format!("saving the swarm: {error}");
                let error = Arc::new(error);
                for waiter in waiters {
                    drop(waiter.send(Err(Arc::clone(&error))));
                }
                return why;
            }
        }
    }
}
