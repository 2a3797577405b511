//! What a client may say, and the errors that name what was wrong. Parsing is strict and done field by field, so that an
//! error can always name the field.

use super::{MAX_DEPTH, MAX_RATE, MAX_REF_BYTES, MAX_TEXT_BYTES};
use crate::wire::version::MAX_TOKEN_BYTES;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The types that a client may send.
pub const CLIENT_TYPES: [&str; 6] = ["subscribe", "unsubscribe", "resync", "pause", "ping", "auth"];

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMessage {
    /// What it wants.
    pub command: ClientCommand,
    /// The client's own label, repeated in answers.
    pub reference: Option<String>,
}

/// What a client wants.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCommand {
    /// Stream a swarm to this session.
    Subscribe {
        /// The swarm.
        swarm_id: Uuid,
        /// Frames per second at most, 1–240; `None` for the server's rate.
        rate: Option<u16>,
        /// The last state and event that the client holds from an earlier session.
        resume: Option<Resume>,
    },
    /// Stop streaming a swarm.
    Unsubscribe {
        /// The swarm.
        swarm_id: Uuid,
    },
    /// Send a keyframe: the client cannot apply the deltas.
    Resync {
        /// The swarm.
        swarm_id: Uuid,
    },
    /// Send no positions while true: the tab is hidden.
    Pause {
        /// The new state.
        paused: bool,
    },
    /// Answer with `pong`.
    Ping {
        /// Repeated in the answer.
        id: Option<u64>,
    },
    /// Sign in, or extend the session with a fresh token.
    Auth {
        /// The JWT, not yet checked.
        token: String,
    },
}

// By hand, so that a token never reaches a log.
impl std::fmt::Debug for ClientCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subscribe { swarm_id, rate, resume } => f
                .debug_struct("Subscribe")
                .field("swarm_id", swarm_id)
                .field("rate", rate)
                .field("resume", resume)
                .finish(),
            Self::Unsubscribe { swarm_id } => f.debug_tuple("Unsubscribe").field(swarm_id).finish(),
            Self::Resync { swarm_id } => f.debug_tuple("Resync").field(swarm_id).finish(),
            Self::Pause { paused } => f.debug_tuple("Pause").field(paused).finish(),
            Self::Ping { id } => f.debug_tuple("Ping").field(id).finish(),
            Self::Auth { .. } => f.write_str("Auth(…)"),
        }
    }
}

/// Where an earlier session stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Incarnation of the swarm's streams.
    pub epoch: u32,
    /// Last event sequence number seen in that epoch.
    pub seq: u64,
}

/// Why a text frame was refused. [`ControlError::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Over [`MAX_TEXT_BYTES`].
    #[error("a message of {bytes} bytes; at most {MAX_TEXT_BYTES} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// No JSON object with a `type`, or nested too deeply.
    #[error("a message must be one JSON object with a string \"type\": {what}")]
    BadJson {
        /// What was found.
        what: String,
    },
    /// A type that no client may send.
    #[error("unknown message type \"{got}\"")]
    UnknownType {
        /// The type, clipped.
        got: String,
        /// The client's label, when it could be read.
        reference: Option<String>,
    },
    /// A field is missing, of the wrong type, out of range or unknown.
    #[error("field \"{field}\" {what}")]
    BadField {
        /// The field, with dots into objects.
        field: String,
        /// What is wrong and what is allowed.
        what: String,
        /// The client's label, when it could be read.
        reference: Option<String>,
    },
}

impl ControlError {
    /// Gives the stable code of the `error` message.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::BadJson { .. } => "bad_json",
            Self::UnknownType { .. } => "unknown_type",
            Self::BadField { .. } => "bad_field",
        }
    }

    /// Gives the label of the refused message, when it could be read.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::TooLarge { .. } | Self::BadJson { .. } => None,
            Self::UnknownType { reference, .. } | Self::BadField { reference, .. } => reference.as_deref(),
        }
    }

    /// Gives what would have been allowed, where that is a list.
    #[must_use]
    pub fn allowed(&self) -> Option<&'static [&'static str]> {
        matches!(self, Self::UnknownType { .. }).then_some(&CLIENT_TYPES)
    }
}

/// Reads one text frame of a client.
///
/// # Errors
/// One [`ControlError`]; the session goes on.
pub fn parse(text: &str) -> Result<ClientMessage, ControlError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ControlError::TooLarge { bytes: text.len() });
    }
    let bad = |what: &str| ControlError::BadJson { what: what.to_owned() };
    if depth(text) > MAX_DEPTH {
        return Err(bad("it is nested too deeply"));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
    let Value::Object(map) = value else { return Err(bad("it is no object")) };
    let mut fields = Fields { map, reference: None, prefix: "" };
    fields.take_reference()?;
    let Some(Value::String(kind)) = fields.map.remove("type") else {
        return Err(bad("it has no string \"type\""));
    };
    let command = match kind.as_str() {
        "subscribe" => ClientCommand::Subscribe {
            swarm_id: fields.swarm_id()?,
            rate: fields.rate()?,
            resume: fields.resume()?,
        },
        "unsubscribe" => ClientCommand::Unsubscribe { swarm_id: fields.swarm_id()? },
        "resync" => ClientCommand::Resync { swarm_id: fields.swarm_id()? },
        "pause" => ClientCommand::Pause { paused: fields.paused()? },
        "ping" => ClientCommand::Ping { id: fields.optional_number("id")? },
        "auth" => ClientCommand::Auth { token: fields.token()? },
        other => {
            let got = other.chars().take(40).collect();
            return Err(ControlError::UnknownType { got, reference: fields.reference });
        }
    };
    fields.finish()?;
    Ok(ClientMessage { command, reference: fields.reference })
}

/// Gives the deepest nesting of brackets outside strings; right for valid JSON, and safe for any text.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The fields of one object that were not read yet.
struct Fields {
    map: Map<String, Value>,
    reference: Option<String>,
    prefix: &'static str,
}

impl Fields {
    fn bad(&self, field: &str, what: &str) -> ControlError {
        let field = format!("{}{}", self.prefix, field.chars().take(40).collect::<String>());
        ControlError::BadField { field, what: what.to_owned(), reference: self.reference.clone() }
    }

    fn take_reference(&mut self) -> Result<(), ControlError> {
        match self.map.remove("ref") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(text)) if text.len() <= MAX_REF_BYTES => {
                self.reference = Some(text);
                Ok(())
            }
            Some(_) => Err(self.bad("ref", "must be a string of at most 64 bytes")),
        }
    }

    /// Refuses whatever is left, by name.
    fn finish(&self) -> Result<(), ControlError> {
        match self.map.keys().next() {
            Some(unknown) => Err(self.bad(unknown, "is not known in this message")),
            None => Ok(()),
        }
    }

    fn swarm_id(&mut self) -> Result<Uuid, ControlError> {
        match self.map.remove("swarm_id") {
            Some(Value::String(text)) => {
                Uuid::try_parse(&text).map_err(|_bad| self.bad("swarm_id", "is not a UUID"))
            }
            Some(_) => Err(self.bad("swarm_id", "must be a string")),
            None => Err(self.bad("swarm_id", "is missing")),
        }
    }

    fn optional_number(&mut self, field: &'static str) -> Result<Option<u64>, ControlError> {
        match self.map.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(field, "must be a whole number, not negative")),
            },
        }
    }

    fn rate(&mut self) -> Result<Option<u16>, ControlError> {
        let Some(rate) = self.optional_number("rate")? else { return Ok(None) };
        match u16::try_from(rate) {
            Ok(rate) if (1..=MAX_RATE).contains(&rate) => Ok(Some(rate)),
            _ => Err(self.bad("rate", "must be 1 to 240 frames per second")),
        }
    }

    fn resume(&mut self) -> Result<Option<Resume>, ControlError> {
        let map = match self.map.remove("resume") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.bad("resume", "must be an object with epoch and seq")),
        };
        let mut inner = Fields { map, reference: self.reference.clone(), prefix: "resume." };
        let epoch = inner.optional_number("epoch")?.and_then(|epoch| u32::try_from(epoch).ok());
        let epoch = epoch.ok_or_else(|| inner.bad("epoch", "must be a number of 32 bits"))?;
        let seq = inner.optional_number("seq")?.ok_or_else(|| inner.bad("seq", "is missing"))?;
        inner.finish()?;
        Ok(Some(Resume { epoch, seq }))
    }

    fn paused(&mut self) -> Result<bool, ControlError> {
        match self.map.remove("paused") {
            Some(Value::Bool(paused)) => Ok(paused),
            Some(_) => Err(self.bad("paused", "must be true or false")),
            None => Err(self.bad("paused", "is missing")),
        }
    }

    fn token(&mut self) -> Result<String, ControlError> {
        match self.map.remove("token") {
            Some(Value::String(token)) if token.len() > MAX_TOKEN_BYTES => {
                Err(self.bad("token", "is longer than 8 KiB"))
            }
            Some(Value::String(token)) if !token.is_empty() => Ok(token),
            Some(_) => Err(self.bad("token", "must be a string that is not empty")),
            None => Err(self.bad("token", "is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn command(text: &str) -> ClientCommand {
        parse(text).unwrap().command
    }

    fn refused(text: &str) -> (String, String) {
        let error = parse(text).unwrap_err();
        (error.code().to_owned(), error.to_string())
    }

    #[test]
    fn every_message_of_the_document_parses() {
        let swarm_id = Uuid::parse_str(ID).unwrap();
        let full = format!(
            r#"{{"type":"subscribe","swarm_id":"{ID}","rate":30,"resume":{{"epoch":3,"seq":900}},"ref":"a"}}"#
        );
        let message = parse(&full).unwrap();
        assert_eq!(message.reference.as_deref(), Some("a"));
        let resume = Some(Resume { epoch: 3, seq: 900 });
        assert_eq!(message.command, ClientCommand::Subscribe { swarm_id, rate: Some(30), resume });
        assert_eq!(
            command(&format!(r#"{{"type":"resync","swarm_id":"{ID}"}}"#)),
            ClientCommand::Resync { swarm_id }
        );
        assert_eq!(
            command(&format!(r#"{{"swarm_id":"{ID}","type":"unsubscribe","ref":null}}"#)),
            ClientCommand::Unsubscribe { swarm_id }
        );
        assert_eq!(command(r#"{"type":"pause","paused":true}"#), ClientCommand::Pause { paused: true });
        assert_eq!(command(r#"{"type":"ping"}"#), ClientCommand::Ping { id: None });
        assert_eq!(command(r#"{"type":"ping","id":7}"#), ClientCommand::Ping { id: Some(7) });
        let auth = command(r#"{"type":"auth","token":"secret"}"#);
        assert_eq!(format!("{auth:?}"), "Auth(…)");
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (text, code, says) in [
            ("", "bad_json", "EOF"),
            ("[]", "bad_json", "no object"),
            ("{}", "bad_json", "type"),
            (r#"{"type":1}"#, "bad_json", "type"),
            (r#"{"type":"requestInitialData"}"#, "unknown_type", "requestInitialData"),
            (r#"{"type":"subscribe"}"#, "bad_field", "swarm_id"),
            (r#"{"type":"subscribe","swarm_id":"x"}"#, "bad_field", "UUID"),
            (r#"{"type":"pause","paused":1}"#, "bad_field", "paused"),
            (r#"{"type":"ping","idd":1}"#, "bad_field", "\"idd\" is not known"),
            (r#"{"type":"ping","id":-1}"#, "bad_field", "id"),
            (r#"{"type":"ping","ref":5}"#, "bad_field", "ref"),
            (r#"{"type":"auth","token":""}"#, "bad_field", "token"),
            (r#"{"type":"ping","id":[[[[[[[[]]]]]]]]}"#, "bad_json", "deep"),
        ] {
            let (got, message) = refused(text);
            assert_eq!(got, code, "{text}");
            assert!(message.contains(says), "{text}: {message}");
        }
        let rate = format!(r#"{{"type":"subscribe","swarm_id":"{ID}","rate":241,"ref":"r1"}}"#);
        assert_eq!(parse(&rate).unwrap_err().reference(), Some("r1"));
        let resume =
            format!(r#"{{"type":"subscribe","swarm_id":"{ID}","resume":{{"epoch":1,"seq":2,"x":3}}}}"#);
        assert!(refused(&resume).1.contains("resume.x"));
        assert_eq!(refused(&" ".repeat(MAX_TEXT_BYTES + 1)).0, "too_large");
        assert!(parse(r#"{"type":"x"}"#).unwrap_err().allowed().unwrap().contains(&"subscribe"));
        assert_eq!(depth(r#"{"a":"[[\"[[","b":[{}]}"#), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in "\\PC{0,200}") {
            drop(parse(&text));
        }

        #[test]
        fn damaged_messages_never_panic(at in 0_usize..120, byte in any::<char>()) {
            let good = format!(r#"{{"type":"subscribe","swarm_id":"{ID}","rate":30,"resume":{{"epoch":3,"seq":900}}}}"#);
            let damaged: String = good.chars().enumerate().map(|(i, c)| if i == at { byte } else { c }).collect();
            drop(parse(&damaged));
        }
    }
}
