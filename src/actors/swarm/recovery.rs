//! From the store to a running swarm: the first start and every restart alike.

use std::time::Duration;

use super::SwarmSeed;
use super::state::Live;
use crate::domain::{SwarmModel, SwarmState};
use crate::store::StoreError;

/// First pause before the store is asked again when it could not be reached.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Loads the swarm, counts a new epoch and gives layout and sessions what they need.
///
/// Waits for as long as the database can't be reached: nothing can be decided without it, and restarting
/// would be no different. `None` when the swarm is no longer there.
///
/// # Errors
/// [`StoreError`] when rows can't be understood.
pub(super) async fn recover(seed: SwarmSeed) -> Result<Option<Live>, StoreError> {
    let mut pause = PAUSE_MIN;
    loop {
        match load(&seed).await {
            Err(error) if error.is_temporary() => {
                tracing::warn!(swarm.id = %seed.entry.id, %error, "loading a swarm, will try again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            loaded => return loaded,
        }
    }
}

async fn load(seed: &SwarmSeed) -> Result<Option<Live>, StoreError> {
    let id = seed.entry.id;
    match seed.store.begin_epoch(id).await {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        begun => begun?,
    };
    let Some((swarm, agents, tasks)) = seed.store.load_swarm(id).await? else { return Ok(None) };
    let start = seed.store.load_snapshot(id).await?.map(|snapshot| snapshot.positions);
    let mut model = SwarmModel::new(swarm, agents, tasks);
    model.note_loaded();
    let live = Live::new(seed.clone(), model, start.unwrap_or_default());
    live.publish();
    if live.swarm().status == SwarmState::Idle {
        // only use starts the actor of a sleeping swarm
        live.advance(SwarmState::Active, None);
        live.used();
    }
    Ok(Some(live))
}
