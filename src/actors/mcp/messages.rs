//! What the actor is asked: call a tool of the runtime.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{McpError, RuntimeTool};
use crate::runtime::Deadline;

/// Whether a call changes something in the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only asks: it may be repeated, and runs beside others.
    Read,
    /// It changes something: one at a time, and never repeated blindly.
    Write,
}

/// The same key always means the same thing; a runtime that takes it makes that thing once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of what `id` names; ids of swarms, agents and tasks are never used twice.
    #[must_use]
    pub fn of(id: &impl fmt::Display) -> Self {
        Self(id.to_string())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One call of a tool, in our names; the adapter turns them into the runtime's.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// What is asked for.
    pub tool: RuntimeTool,
    /// An object: `swarmId`, `agentId`, `taskId`, `type`, `name`, `capabilities`, `task`, `strategy`, `priority`,
    /// `maxAgents`, `topology`. What the runtime's tool does not take is left out.
    pub arguments: Value,
    /// Whether it changes something.
    pub effect: Effect,
    /// What makes a call that changes something repeatable, in a runtime that takes keys.
    pub key: Option<IdempotencyKey>,
}

impl ToolCall {
    /// A call without a key, with the effect that the tool has. Arguments that are null are left out.
    #[must_use]
    pub fn new(tool: RuntimeTool, arguments: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let arguments: Map<String, Value> = arguments
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self { tool, arguments: Value::Object(arguments), effect: tool.effect(), key: None }
    }

    /// The same call with a key.
    #[must_use]
    pub fn keyed(self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// A call on its way to the actor.
///
/// Answered through a channel of its own: when the waiting side goes away the call is cancelled in the runtime, and
/// when the actor crashes the channel tells at once.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct CallTool {
    pub(super) call: ToolCall,
    pub(super) deadline: Deadline,
    pub(super) answer: oneshot::Sender<Result<Value, McpError>>,
    /// Set while the call may have reached the runtime.
    pub(super) sent: Arc<AtomicBool>,
}

/// The task that keeps a connection has panicked: the actor must be rebuilt.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct SlotFailed;
