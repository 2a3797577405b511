//! What others hold of the swarms' supervisor: creating, finding and paging swarms.

use std::sync::Arc;

use super::{CreateSwarm, SwarmSupervisor, WakeSwarm};
use crate::actors::CommandError;
use crate::actors::directory::{SwarmDirectory, SwarmView};
use crate::actors::swarm::SwarmHandle;
use crate::domain::{Event, NewSwarm, SwarmId, SwarmState, Task, TaskId, Timestamp};
use crate::runtime::{Deadline, Handle};
use crate::store::Store;

/// All swarms. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct SwarmsHandle {
    pub(in crate::actors) supervisor: Handle<SwarmSupervisor>,
    directory: Arc<SwarmDirectory>,
    store: Store,
}

impl SwarmsHandle {
    pub(super) const fn new(
        supervisor: Handle<SwarmSupervisor>,
        directory: Arc<SwarmDirectory>,
        store: Store,
    ) -> Self {
        Self { supervisor, directory, store }
    }

    /// Persists a swarm, starts its actor and waits until the runtime has confirmed it, refused it, or could not
    /// be reached: the view's state is then `active`, `failed` or still `creating`.
    ///
    /// # Errors
    /// [`CommandError::Domain`] when the owner has too many, [`CommandError::Store`], [`CommandError::Busy`].
    pub async fn create(
        &self,
        new: NewSwarm,
        owner: &str,
        deadline: Deadline,
    ) -> Result<SwarmHandle, CommandError> {
        let owner = owner.to_owned();
        let entry = self.supervisor.ask(CreateSwarm { new, owner }, deadline).await??;
        let mut views = entry.watch();
        let settled = views.wait_for(|view| view.attempted || view.swarm.status != SwarmState::Creating);
        // not settled in time is no error: the view says `creating`
        drop(tokio::time::timeout_at(deadline.instant(), settled).await);
        Ok(SwarmHandle::new(entry, self.clone()))
    }

    /// The swarm with this id, whoever owns it, unless it has been deleted.
    #[must_use]
    pub fn find(&self, id: SwarmId) -> Option<SwarmHandle> {
        self.directory.get(id).map(|entry| SwarmHandle::new(entry, self.clone()))
    }

    /// At most `limit` swarms of `owner` (`None`: of everybody) in the order of creation, after the swarm `after`.
    #[must_use]
    pub fn page(&self, owner: Option<&str>, after: Option<SwarmId>, limit: usize) -> Vec<Arc<SwarmView>> {
        self.directory.page(owner, after, limit).iter().map(|entry| entry.view()).collect()
    }

    /// A task of any swarm, also one that ended long ago.
    ///
    /// # Errors
    /// [`CommandError::Store`].
    pub async fn task(&self, id: TaskId) -> Result<Option<Task>, CommandError> {
        let known = self.directory.all().into_iter().find_map(|entry| entry.view().task(id).cloned());
        match known {
            Some(task) => Ok(Some(task)),
            None => Ok(self.store.task(id).await?),
        }
    }

    /// At most `limit` tasks of a swarm, newest first, behind `after` (creation and id of the last one seen).
    ///
    /// # Errors
    /// [`CommandError::Store`].
    pub async fn tasks(
        &self,
        swarm: SwarmId,
        after: Option<(Timestamp, TaskId)>,
        limit: usize,
    ) -> Result<Vec<Task>, CommandError> {
        Ok(self.store.list_tasks(swarm, after, limit).await?)
    }

    /// At most `limit` events of a swarm, newest first, older than number `before`.
    ///
    /// # Errors
    /// [`CommandError::Store`].
    pub async fn events(
        &self,
        swarm: SwarmId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Event>, CommandError> {
        Ok(self.store.list_events(swarm, before, limit).await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`CommandError::Store`].
    pub async fn ping_store(&self) -> Result<(), CommandError> {
        Ok(self.store.ping().await?)
    }

    /// Starts the actor of a sleeping swarm; of a failed one only `even_failed`, to delete it.
    pub(crate) async fn wake(
        &self,
        id: SwarmId,
        even_failed: bool,
        deadline: Deadline,
    ) -> Result<(), CommandError> {
        self.supervisor.ask(WakeSwarm { id, even_failed }, deadline).await?
    }
}
