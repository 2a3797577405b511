//! What the server tells a session, as JSON text. A field that is not known is absent or `null`, never invented.

use super::client::ControlError;
use crate::wire::close::CloseCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// One message of the server. `reference` is the client's `ref` of the message that it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// First message of every session.
    Hello {
        /// Protocol version: 2.
        proto: u8,
        /// The session, for logs and support.
        session: Uuid,
        /// Server clock, µs since the Unix epoch.
        server_time_us: u64,
        /// Seconds between the server's pings; silence of twice that is a dead server.
        ping_s: u32,
        /// Frames per second that the server makes at most.
        max_fps: u16,
        /// Subscriptions that the session may hold.
        swarm_limit: u32,
        /// How often metadata should be polled, ms.
        poll_rate_ms: u64,
        /// Subject of the token; `null` until signed in.
        subject: Option<String>,
        /// Role of the token; `null` until signed in.
        role: Option<String>,
        /// When the token expires, RFC 3339; `null` until signed in.
        expires_at: Option<String>,
    },
    /// A subscription stands; binary frames of `stream` may follow.
    Subscribed {
        /// The swarm.
        swarm_id: Uuid,
        /// Number of its frames' `stream` field. A later `subscribed` for the same swarm replaces it.
        stream: u32,
        /// Incarnation of the stream.
        epoch: u32,
        /// Frames per second of this stream at most.
        fps: u16,
        /// Version of the roster that follows.
        roster: u32,
        /// See [`ServerMessage`].
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// A subscription ended, by request or because the swarm is gone.
    Unsubscribed {
        /// The swarm.
        swarm_id: Uuid,
        /// `requested`, `deleted` or `forbidden`.
        reason: String,
        /// See [`ServerMessage`].
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// Who the slots are: all, or what changed since the version before.
    Roster {
        /// The swarm.
        swarm_id: Uuid,
        /// Its stream.
        stream: u32,
        /// Its epoch.
        epoch: u32,
        /// Version after this message.
        roster_version: u32,
        /// True when `agents` is everyone.
        full: bool,
        /// New or changed agents.
        agents: Vec<AgentEntry>,
        /// Slots of agents that left.
        removed: Vec<u32>,
    },
    /// Metadata of a swarm: as `GET /api/swarms/{id}/metadata` gives it.
    Swarm {
        /// The swarm.
        swarm_id: Uuid,
        /// The metadata.
        #[serde(flatten)]
        metadata: Map<String, Value>,
    },
    /// Something happened in a swarm. Events of one epoch come in order of `seq`, without a gap unless `gap` says so.
    Event {
        /// The swarm.
        swarm_id: Uuid,
        /// Incarnation that `seq` belongs to.
        epoch: u32,
        /// Number of the event.
        seq: u64,
        /// What happened.
        kind: String,
        /// When, RFC 3339.
        at: String,
        /// Details, by kind.
        data: Value,
    },
    /// Events were lost; a full roster and metadata follow.
    Gap {
        /// The swarm.
        swarm_id: Uuid,
        /// Incarnation of the events.
        epoch: u32,
        /// The first event that follows.
        next_seq: u64,
    },
    /// The answer to `resume`: every missed event follows, or none can and a snapshot does.
    Recovered {
        /// The swarm.
        swarm_id: Uuid,
        /// Whether every missed event follows.
        recovered: bool,
        /// Incarnation of the events.
        epoch: u32,
        /// Last event so far.
        seq: u64,
    },
    /// Answer to `ping`.
    Pong {
        /// The ping's `id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Server clock, µs since the Unix epoch.
        server_time_us: u64,
        /// See [`ServerMessage`].
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// A text for people.
    Notice {
        /// `info`, `warning` or `error`.
        level: String,
        /// The text.
        text: String,
    },
    /// What this session gets changed for the worse, or is good again.
    Degraded {
        /// The part: `runtime`, `frames`, `compute` or `database`.
        part: String,
        /// False when it is over.
        active: bool,
        /// What it means.
        text: String,
        /// The swarm, when only one is concerned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        swarm_id: Option<Uuid>,
        /// Frames per second now, when that is what changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fps: Option<u16>,
    },
    /// A request was refused; the session goes on.
    Error {
        /// Stable code.
        code: String,
        /// For people.
        message: String,
        /// What would have been allowed, where that is a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allowed: Option<Vec<String>>,
        /// See [`ServerMessage`].
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// The server closes the session next, with this code.
    Goodbye {
        /// Close code.
        code: u16,
        /// Its stable reason.
        reason: String,
        /// When to come back, ms; `null` when a reconnect is useless.
        retry_in_ms: Option<u64>,
    },
}

/// One agent of a roster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentEntry {
    /// Its slot in the frames; never reused within an epoch.
    pub slot: u32,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its state.
    pub state: String,
    /// No news for three poll periods: `state` is what was last seen.
    pub stale: bool,
    /// When it was last seen, RFC 3339; `null` when never.
    pub observed_at: Option<String>,
    /// Further figures (health, workload, capabilities …), each absent or `null` when not seen.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl ServerMessage {
    /// Gives the answer to a refused text frame.
    #[must_use]
    pub fn from_control_error(error: &ControlError) -> Self {
        Self::Error {
            code: error.code().to_owned(),
            message: error.to_string(),
            allowed: error.allowed().map(|list| list.iter().map(|&item| item.to_owned()).collect()),
            reference: error.reference().map(str::to_owned),
        }
    }

    /// Gives the goodbye for a close code; `retry_in_ms` is kept only where a reconnect makes sense.
    #[must_use]
    pub fn goodbye(code: CloseCode, retry_in_ms: u64) -> Self {
        Self::Goodbye {
            code: code.number(),
            reason: code.reason().to_owned(),
            retry_in_ms: code.may_reconnect().then_some(retry_in_ms),
        }
    }

    /// Gives the text of the frame.
    ///
    /// # Errors
    /// Never for values that this crate builds; serde's error otherwise.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::parse;
    use serde_json::json;

    fn value(message: &ServerMessage) -> Value {
        let text = message.to_text().unwrap();
        assert_eq!(&serde_json::from_str::<ServerMessage>(&text).unwrap(), message, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn messages_have_the_documented_shape() {
        let swarm_id = Uuid::from_u128(7);
        let subscribed =
            ServerMessage::Subscribed { swarm_id, stream: 3, epoch: 1, fps: 60, roster: 4, reference: None };
        assert_eq!(
            value(&subscribed),
            json!({"type":"subscribed","swarm_id":swarm_id,"stream":3,"epoch":1,"fps":60,"roster":4})
        );
        let mut more = Map::new();
        more.insert("health".into(), json!(0.5));
        let agent = AgentEntry {
            slot: 0,
            id: "a".into(),
            name: "alpha".into(),
            kind: "coder".into(),
            state: "idle".into(),
            stale: false,
            observed_at: None,
            more,
        };
        let roster = ServerMessage::Roster {
            swarm_id,
            stream: 3,
            epoch: 1,
            roster_version: 4,
            full: true,
            agents: vec![agent],
            removed: vec![9],
        };
        assert_eq!(
            value(&roster)["agents"],
            json!([{"slot":0,"id":"a","name":"alpha","type":"coder","state":"idle","stale":false,
                    "observed_at":null,"health":0.5}])
        );
        let goodbye = value(&ServerMessage::goodbye(CloseCode::Slow, 250));
        assert_eq!(goodbye, json!({"type":"goodbye","code":4408,"reason":"slow","retry_in_ms":250}));
        assert_eq!(value(&ServerMessage::goodbye(CloseCode::Forbidden, 250))["retry_in_ms"], Value::Null);
        let mut metadata = Map::new();
        metadata.insert("status".into(), json!("active"));
        assert_eq!(value(&ServerMessage::Swarm { swarm_id, metadata })["status"], "active");
    }

    #[test]
    fn refusals_tell_what_is_allowed() {
        let error = parse(r#"{"type":"requestInitialData","ref":"1"}"#).unwrap_err();
        let text = value(&ServerMessage::from_control_error(&error));
        assert_eq!(text["code"], "unknown_type");
        assert_eq!(text["ref"], "1");
        assert_eq!(text["allowed"][0], "subscribe");
    }
}
