//! Things that go wrong on purpose, for tests of clients: a plan of which answer suffers what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use super::connection::{Closed, Connection};
use super::protocol;
use crate::wire::jsonrpc::{Request, RequestId};

/// What happens to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out; its answer comes this much later, and others may overtake it.
    Delay(Duration),
    /// It is carried out; no answer comes.
    DropReply,
    /// It is not even carried out; no answer comes.
    NeverAnswer,
    /// It is carried out; the answer names another request.
    WrongId,
    /// It is carried out; this line comes before the answer.
    GarbageLine(String),
    /// It is carried out; half of the answer comes, then the connection ends.
    CloseMidReply,
    /// It is carried out; the connection ends without an answer.
    CloseBeforeReply,
    /// It is carried out; the answer comes twice.
    DuplicateReply,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Method, or tool of a `tools/call`; `None` is any.
    name: Option<String>,
    fault: Fault,
    /// Requests that still pass before it strikes.
    skip: u32,
    /// Requests that it still strikes.
    times: u32,
}

/// Which requests suffer what. Clones are the same plan, so that a test can change it while the runtime runs.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    rules: Arc<Mutex<Vec<Rule>>>,
}

impl FaultPlan {
    /// Lets the next `times` requests of this method or tool suffer `fault`.
    pub fn plan(&self, name: &str, fault: Fault, times: u32) {
        self.plan_after(0, name, fault, times);
    }

    /// As [`FaultPlan::plan`], after `skip` more of them went well.
    pub fn plan_after(&self, skip: u32, name: &str, fault: Fault, times: u32) {
        self.rules.lock().push(Rule { name: Some(name.to_owned()), fault, skip, times });
    }

    /// Lets the next `times` requests of any kind suffer `fault`.
    pub fn plan_any(&self, fault: Fault, times: u32) {
        self.rules.lock().push(Rule { name: None, fault, skip: 0, times });
    }

    /// Plans nothing any more.
    pub fn clear(&self) {
        self.rules.lock().clear();
    }

    /// Strikes that are planned and have not happened.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.rules.lock().iter().map(|rule| rule.times).sum()
    }

    /// What a request is to suffer; counts it.
    pub(super) fn take(&self, request: &Request) -> Option<Fault> {
        let tool = request.params.as_ref().and_then(|params| params.get("name")).and_then(Value::as_str);
        let mut rules = self.rules.lock();
        let rule = rules.iter_mut().find(|rule| {
            rule.times > 0
                && rule.name.as_deref().is_none_or(|name| name == request.method || Some(name) == tool)
        })?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

/// Answers that wait for their delay, so that a cancellation can end them.
#[derive(Debug, Default)]
pub(super) struct LateAnswers {
    waiting: HashMap<RequestId, AbortHandle>,
}

impl LateAnswers {
    /// Ends the answer that a `notifications/cancelled` names.
    pub(super) fn cancel(&mut self, params: Option<&Value>) {
        let id = params.and_then(|params| params.get("requestId")).and_then(RequestId::from_value);
        if let Some(answer) = id.and_then(|id| self.waiting.remove(&id)) {
            answer.abort();
        }
    }
}

impl Connection {
    /// Carries a request out as planned.
    pub(super) async fn act_out(
        &mut self,
        fault: Fault,
        request: Request,
        slot: OwnedSemaphorePermit,
    ) -> Result<(), Closed> {
        if fault == Fault::NeverAnswer {
            return Ok(());
        }
        let id = request.id.clone();
        let wrong = Request { id: RequestId::String("no-such-request".into()), ..request.clone() };
        let request = if fault == Fault::WrongId { wrong } else { request };
        let answer = protocol::answer(&self.shared, &mut self.session, request);
        match fault {
            Fault::NeverAnswer | Fault::DropReply => Ok(()),
            Fault::WrongId => self.outbox.put(answer.into(), false, slot).await,
            Fault::GarbageLine(line) => {
                self.outbox.put(format!("{line}\n{answer}").into(), false, slot).await
            }
            Fault::DuplicateReply => self.outbox.put(answer.repeat(2).into(), false, slot).await,
            Fault::CloseBeforeReply => Err(Closed),
            Fault::CloseMidReply => {
                let half = answer.as_bytes().iter().copied().take(answer.len() / 2).collect::<Vec<_>>();
                self.outbox.put(half.into(), true, slot).await?;
                Err(Closed)
            }
            Fault::Delay(time) => {
                let outbox = self.outbox.clone();
                let late = tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    drop(outbox.put(answer.into(), false, slot).await);
                });
                self.late.waiting.retain(|_, answer| !answer.is_finished());
                self.late.waiting.insert(id, late.abort_handle());
                Ok(())
            }
        }
    }
}
