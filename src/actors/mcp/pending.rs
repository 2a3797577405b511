//! Calls that wait for their answer on one connection. Pure but for the channels that it hands answers to.

use std::collections::HashMap;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::wire::jsonrpc::{RequestId, Response, RpcError};

/// How a request ended.
pub(super) type Answer = Result<Value, RpcError>;

/// The requests in flight on one connection, by id. Dropping it tells every waiter that the connection is lost.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: HashMap<String, oneshot::Sender<Answer>>,
    closed: bool,
}

impl Pending {
    /// Registers a request; `None` once the connection is lost.
    pub(super) fn register(&mut self, id: &str) -> Option<oneshot::Receiver<Answer>> {
        if self.closed {
            return None;
        }
        let (told, answer) = oneshot::channel();
        self.waiting.insert(id.to_owned(), told);
        Some(answer)
    }

    /// Hands an answer over; says whether anybody waited for it.
    pub(super) fn resolve(&mut self, response: Response) -> bool {
        let RequestId::String(id) = response.id else { return false };
        match self.waiting.remove(&id) {
            Some(told) => told.send(response.outcome).is_ok(),
            None => false,
        }
    }

    /// Forgets a request whose waiter has given up.
    pub(super) fn forget(&mut self, id: &str) {
        self.waiting.remove(id);
    }

    /// Tells every waiter that the connection is lost, and takes no more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// Requests in flight.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(id: RequestId) -> Response {
        Response { id, outcome: Ok(json!(1)) }
    }

    #[test]
    fn each_answer_goes_to_its_waiter_once_and_strangers_to_nobody() {
        let mut pending = Pending::default();
        let mut one = pending.register("a-1").unwrap();
        assert!(!pending.resolve(answer(RequestId::String("a-2".into()))));
        assert!(!pending.resolve(answer(RequestId::Number(1))));
        assert!(pending.resolve(answer(RequestId::String("a-1".into()))));
        assert!(!pending.resolve(answer(RequestId::String("a-1".into()))));
        assert_eq!(one.try_recv().unwrap().unwrap(), json!(1));
    }

    #[test]
    fn a_lost_connection_tells_all_and_takes_no_more() {
        let mut pending = Pending::default();
        let mut one = pending.register("a-1").unwrap();
        pending.close();
        assert!(one.try_recv().is_err());
        assert!(pending.register("a-2").is_none());
        assert_eq!(pending.len(), 0);
    }
}
