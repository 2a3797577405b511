//! From the store to running swarms when the process starts.

use super::{SwarmParts, SwarmView, start_actor};
use crate::domain::{Agent, SwarmState};
use crate::store::StoreError;

/// Loads every swarm into the directory and starts the actors of all that do not sleep.
///
/// Views are there when this returns, so that reads answer at once; each actor then loads its own rows
/// again, which is the path that every restart takes. Returns how many swarms there are.
///
/// # Errors
/// [`StoreError`] when the store can't be read.
pub async fn boot(parts: &SwarmParts) -> Result<usize, StoreError> {
    let stored = parts.store.load_all().await?;
    for corrupt in stored.corrupt {
        let (id, error) = (corrupt.swarm_id, corrupt.error);
        tracing::error!(swarm.id = %id, %error, "a swarm can't be loaded; the others live");
    }
    let count = stored.swarms.len();
    for (swarm, mut agents, tasks) in stored.swarms {
        agents.iter_mut().for_each(Agent::note_loaded);
        let sleeps = matches!(swarm.status, SwarmState::Idle | SwarmState::Failed);
        let view = SwarmView { swarm, agents, tasks, attempted: false };
        let entry = parts.directory.add(view);
        if !sleeps {
            start_actor(parts, &entry);
        }
    }
    Ok(count)
}
