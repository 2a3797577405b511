//! What others hold of a swarm: reads from the published view, commands to the actor, waking it if it sleeps.

use std::sync::Arc;

use super::{CancelTask, DeleteSwarm, Deleted, RemoveAgent, SpawnAgent, SubmitTask, Used};
use crate::actors::CommandError;
use crate::actors::directory::{SwarmEntry, SwarmView};
use crate::actors::frames::FrameChannel;
use crate::actors::swarms::SwarmsHandle;
use crate::domain::{Agent, AgentId, NewAgent, NewTask, SwarmId, Task, TaskId};
use crate::runtime::{CallError, Deadline};
use crate::telemetry::clock;

/// One swarm. Cloning is cheap; it stays usable while the actor sleeps or recovers.
#[derive(Debug, Clone)]
pub struct SwarmHandle {
    entry: Arc<SwarmEntry>,
    swarms: SwarmsHandle,
}

impl SwarmHandle {
    pub(crate) const fn new(entry: Arc<SwarmEntry>, swarms: SwarmsHandle) -> Self {
        Self { entry, swarms }
    }

    /// The swarm's id.
    #[must_use]
    pub fn id(&self) -> SwarmId {
        self.entry.id
    }

    /// Who created it.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.entry.owner
    }

    /// What is known of it; asks nobody.
    #[must_use]
    pub fn view(&self) -> Arc<SwarmView> {
        self.entry.view()
    }

    /// Where its frames, roster and events are picked up.
    #[must_use]
    pub fn channel(&self) -> Arc<FrameChannel> {
        Arc::clone(&self.entry.channel)
    }

    /// Adds an agent. The agent's `stage` says how far that came until the deadline.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then, except after `Busy` with an unknown outcome.
    pub async fn spawn_agent(
        &self,
        new: NewAgent,
        actor: &str,
        deadline: Deadline,
    ) -> Result<Agent, CommandError> {
        let id = AgentId::from_uuid(clock::uuid_v7());
        self.actor(false, deadline)
            .await?
            .ask(SpawnAgent { id, new, actor: actor.into(), deadline }, deadline)
            .await?
    }

    /// Ends an agent; it stays listed as terminating until the runtime no longer lists it.
    ///
    /// # Errors
    /// As for [`Self::spawn_agent`].
    pub async fn remove_agent(
        &self,
        id: AgentId,
        actor: &str,
        deadline: Deadline,
    ) -> Result<Agent, CommandError> {
        self.actor(false, deadline)
            .await?
            .ask(RemoveAgent { id, actor: actor.into(), deadline }, deadline)
            .await?
    }

    /// Gives the swarm a task.
    ///
    /// # Errors
    /// As for [`Self::spawn_agent`].
    pub async fn submit_task(
        &self,
        new: NewTask,
        actor: &str,
        deadline: Deadline,
    ) -> Result<Task, CommandError> {
        let id = TaskId(clock::uuid_v7());
        self.actor(false, deadline)
            .await?
            .ask(SubmitTask { id, new, actor: actor.into(), deadline }, deadline)
            .await?
    }

    /// Ends a task.
    ///
    /// # Errors
    /// As for [`Self::spawn_agent`].
    pub async fn cancel_task(
        &self,
        id: TaskId,
        actor: &str,
        deadline: Deadline,
    ) -> Result<Task, CommandError> {
        self.actor(false, deadline)
            .await?
            .ask(CancelTask { id, actor: actor.into(), deadline }, deadline)
            .await?
    }

    /// Ends the swarm, here and in the runtime.
    ///
    /// # Errors
    /// As for [`Self::spawn_agent`].
    pub async fn delete(&self, actor: &str, deadline: Deadline) -> Result<Deleted, CommandError> {
        self.actor(true, deadline).await?.ask(DeleteSwarm { actor: actor.into(), deadline }, deadline).await?
    }

    /// Notes a use, such as a new subscriber; wakes a sleeping swarm.
    ///
    /// # Errors
    /// As for [`Self::spawn_agent`].
    pub async fn touch(&self, deadline: Deadline) -> Result<(), CommandError> {
        self.actor(true, deadline).await?.tell(Used)?;
        Ok(())
    }

    /// The actor; started when the swarm sleeps, or `even_failed` to be deleted.
    async fn actor(
        &self,
        even_failed: bool,
        deadline: Deadline,
    ) -> Result<crate::runtime::Handle<super::SwarmActor>, CommandError> {
        if let Some(actor) = self.entry.actor() {
            return Ok(actor);
        }
        if self.entry.channel.is_closed() {
            return Err(CommandError::NoSwarm(self.entry.id));
        }
        self.swarms.wake(self.entry.id, even_failed, deadline).await?;
        self.entry.actor().ok_or(CommandError::Busy(CallError::Full))
    }
}
