//! When a connection is probed, and with what. Any answer with one of our ids is life, an error too.

use std::time::Duration;

use serde_json::{Value, json};

use super::handshake::Peer;
use crate::wire::mcp::method;

/// Shorter intervals are taken for this.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// What to do about a connection that was quiet for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask whether it lives.
    Probe,
    /// Look again after this long.
    Later(Duration),
}

/// Decides from how long nothing was answered, how many requests are in flight, and how many ran into their deadline
/// since the last answer.
///
/// A server may work on a call for long and answer nothing else meanwhile: it is asked only when it has nothing to do,
/// or has let a call down already.
pub(super) fn due(quiet: Duration, in_flight: usize, let_down: u32, interval: Duration) -> Due {
    match interval.checked_sub(quiet) {
        Some(rest) if !rest.is_zero() => Due::Later(rest),
        Some(_) | None if in_flight == 0 || let_down > 0 => Due::Probe,
        Some(_) | None => Due::Later(interval),
    }
}

/// The request that asks for a sign of life: cheap, and answered by every server, if only with an error.
pub(super) fn probe(peer: &Peer) -> (&'static str, Option<Value>) {
    match &peer.meta {
        Some(meta) => (method::DISCOVER, Some(json!({ "_meta": meta }))),
        None => (method::PING, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_idle_and_those_who_let_a_call_down_are_probed() {
        let s = Duration::from_secs;
        assert_eq!(due(s(2), 0, 0, s(5)), Due::Later(s(3)));
        assert_eq!(due(s(2), 9, 9, s(5)), Due::Later(s(3)));
        assert_eq!(due(s(5), 0, 0, s(5)), Due::Probe);
        assert_eq!(due(s(60), 1, 0, s(5)), Due::Later(s(5)), "it may work on the call");
        assert_eq!(due(s(60), 1, 1, s(5)), Due::Probe);
    }
}
