//! A blocking WebSocket client that speaks v2 and holds what the frames tell.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::time::Instant;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use crate::wire::version::{BEARER_PREFIX, SUBPROTOCOL};
use crate::wire::{Decoder, FrameHeader, WireError};

/// How long a message is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one read may block.
const READ_MAX: Duration = Duration::from_millis(50);
/// Largest message that is taken, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the upgrade offers.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    query: String,
    headers: Vec<(String, String)>,
    protocols: Vec<String>,
    receive_buffer: Option<usize>,
}

/// An upgrade that was answered over HTTP.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Status of the answer.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A control message.
    Text(Value),
    /// A binary frame.
    Frame(Vec<u8>),
    /// The end: code (1006 without a close frame) and reason.
    Closed(u16, String),
}

/// A frame after it was applied.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its header.
    pub header: FrameHeader,
    /// Every agent's slot and position in layout units.
    pub positions: Vec<(u32, [f32; 3])>,
    /// The frame as it came.
    pub bytes: Vec<u8>,
}

/// One session.
#[derive(Debug)]
pub struct WsClient {
    socket: WebSocket<TcpStream>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
    decoders: BTreeMap<u32, Decoder>,
    waiting: VecDeque<Incoming>,
}

impl Opening {
    /// An upgrade that offers nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// v2, with the token in the second subprotocol, as browsers do it.
    #[must_use]
    pub fn bearer(token: &str) -> Self {
        let encoded = URL_SAFE_NO_PAD.encode(token);
        Self::nothing().protocol(SUBPROTOCOL).protocol(&format!("{BEARER_PREFIX}{encoded}"))
    }

    /// With a single-use ticket.
    #[must_use]
    pub fn ticket(ticket: &str) -> Self {
        Self::nothing().query(&format!("ticket={ticket}"))
    }

    /// Adds to the query.
    #[must_use]
    pub fn query(mut self, pairs: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(pairs);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Offers a subprotocol.
    #[must_use]
    pub fn protocol(mut self, name: &str) -> Self {
        self.protocols.push(name.to_owned());
        self
    }

    /// Makes the kernel hold little of what is not read, so that a client that stops reading is felt soon.
    #[must_use]
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Opens the session.
    ///
    /// # Panics
    /// When the upgrade is refused.
    #[must_use]
    pub fn open(&self, server: SocketAddr) -> WsClient {
        match self.try_open(server) {
            Ok(client) => client,
            Err(refused) => panic!("the upgrade was refused: {refused:?}"),
        }
    }

    /// Opens the session, or tells how it was refused.
    ///
    /// # Errors
    /// [`Refused`] when the server answers over HTTP.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub fn try_open(&self, server: SocketAddr) -> Result<WsClient, Refused> {
        match self.attempt(server) {
            Ok(client) => Ok(client),
            Err(Error::Http(answer)) => {
                let status = answer.status().as_u16();
                let body = answer.into_body().unwrap_or_default();
                Err(Refused { status, body: String::from_utf8_lossy(&body).into_owned() })
            }
            Err(error) => panic!("opening a WebSocket at {server}: {error}"),
        }
    }

    fn attempt(&self, server: SocketAddr) -> Result<WsClient, Error> {
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut request = format!("ws://{server}/wss{mark}{}", self.query).into_client_request()?;
        let offered = (!self.protocols.is_empty())
            .then(|| ("Sec-WebSocket-Protocol".to_owned(), self.protocols.join(", ")));
        for (name, value) in self.headers.iter().chain(&offered) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(tungstenite::http::Error::from)?;
            let value = HeaderValue::from_str(value).map_err(tungstenite::http::Error::from)?;
            request.headers_mut().insert(name, value);
        }
        let stream = self.connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        // the one check of the library that servers may fail: it wants a subprotocol chosen when one is offered
        let (socket, answer) = tungstenite::client::client_with_config(request, stream, Some(config))
            .map_err(|error| match error {
                HandshakeError::Failure(error) => error,
                HandshakeError::Interrupted(_) => Error::ConnectionClosed,
            })?;
        socket.get_ref().set_read_timeout(Some(READ_MAX))?;
        let chosen = answer.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
        Ok(WsClient {
            protocol: chosen.map(str::to_owned),
            socket,
            decoders: BTreeMap::new(),
            waiting: VecDeque::new(),
        })
    }

    fn connect(&self, server: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(server), socket2::Type::STREAM, None)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect(&server.into())?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }
}

impl WsClient {
    /// Sends a control message.
    ///
    /// # Panics
    /// When the socket is gone.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!(…) in place")]
    pub fn send(&mut self, message: Value) {
        self.send_text(&message.to_string());
    }

    /// Sends any text.
    ///
    /// # Panics
    /// When the socket is gone.
    pub fn send_text(&mut self, text: &str) {
        if let Err(error) = self.socket.send(Message::text(text)) {
            panic!("sending a text: {error}");
        }
    }

    /// Sends bytes, which no client may.
    ///
    /// # Panics
    /// When the socket is gone.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        if let Err(error) = self.socket.send(Message::binary(bytes.to_vec())) {
            panic!("sending bytes: {error}");
        }
    }

    /// What comes next; `None` when nothing comes for `within`.
    pub fn next(&mut self, within: Duration) -> Option<Incoming> {
        let begun = Instant::now();
        loop {
            if let Some(incoming) = self.waiting.pop_front().or_else(|| self.read()) {
                return Some(incoming);
            }
            if begun.elapsed() >= within {
                return None;
            }
        }
    }

    fn read(&mut self) -> Option<Incoming> {
        match self.socket.read() {
            Ok(Message::Text(text)) => {
                // a text that is no JSON is shown as it is
                let value = serde_json::from_str(&text);
                Some(Incoming::Text(value.unwrap_or_else(|_none| Value::String(text.to_string()))))
            }
            Ok(Message::Binary(bytes)) => Some(Incoming::Frame(bytes.to_vec())),
            Ok(Message::Close(frame)) => Some(frame.map_or_else(
                || Incoming::Closed(1005, String::new()),
                |frame| Incoming::Closed(frame.code.into(), frame.reason.to_string()),
            )),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => None,
            Err(Error::Io(error))
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                None
            }
            Err(error) => Some(Incoming::Closed(1006, error.to_string())),
        }
    }

    /// The next control message of this type; others and frames before it are dropped.
    ///
    /// # Panics
    /// When the session ends or nothing of the kind comes in time.
    pub fn message(&mut self, kind: &str) -> Value {
        self.message_where(kind, |_| true)
    }

    /// The next control message of this type that `fits`; others and frames before it are dropped.
    ///
    /// # Panics
    /// When the session ends or nothing of the kind comes in time.
    pub fn message_where(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut passed = Vec::new();
        while begun.elapsed() < PATIENCE {
            match self.next(PATIENCE.saturating_sub(begun.elapsed())) {
                Some(Incoming::Text(message)) => {
                    if message.get("type").and_then(Value::as_str) == Some(kind) && fits(&message) {
                        return message;
                    }
                    passed.push(message);
                }
                Some(Incoming::Frame(_)) => {}
                Some(Incoming::Closed(code, reason)) => {
                    panic!("closed with {code} {reason:?} while {kind:?} was awaited, after {passed:?}")
                }
                None => break,
            }
        }
        panic!("no {kind:?} came within {PATIENCE:?}, but {passed:?}")
    }

    /// The code that the session ends with; what comes before it is dropped.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn close_code(&mut self) -> u16 {
        let begun = Instant::now();
        while let Some(incoming) = self.next(PATIENCE.saturating_sub(begun.elapsed())) {
            if let Incoming::Closed(code, _) = incoming {
                return code;
            }
        }
        panic!("the session does not end")
    }

    /// The next frame that says something new, applied; control messages before it are dropped, `subscribed` of
    /// another stream is obeyed by itself since decoders are kept per stream.
    ///
    /// # Panics
    /// When the session ends, a frame is damaged or none comes in time.
    pub fn frame(&mut self) -> Seen {
        match self.frame_within(PATIENCE) {
            Some(seen) => seen,
            None => panic!("no frame came within {PATIENCE:?}"),
        }
    }

    /// As [`WsClient::frame`]; `None` when no frame comes for `within`.
    ///
    /// # Panics
    /// When the session ends or a frame is damaged.
    pub fn frame_within(&mut self, within: Duration) -> Option<Seen> {
        let begun = Instant::now();
        loop {
            match self.next(within.saturating_sub(begun.elapsed()))? {
                Incoming::Frame(bytes) => {
                    if let Some(seen) = self.apply(bytes) {
                        return Some(seen);
                    }
                }
                Incoming::Text(_) => {}
                Incoming::Closed(code, reason) => panic!("closed with {code} {reason:?}"),
            }
        }
    }

    fn apply(&mut self, bytes: Vec<u8>) -> Option<Seen> {
        let stream = bytes.get(4..8).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes);
        let decoder = self.decoders.entry(stream).or_default();
        match decoder.apply(&bytes) {
            Ok(view) => {
                let (header, positions) = (view.header, view.positions().collect());
                Some(Seen { header, positions, bytes })
            }
            Err(WireError::Stale { .. }) => None,
            Err(error) => panic!("a frame of stream {stream} can't be applied: {error}"),
        }
    }

    /// Subscribes and gives the announcement.
    ///
    /// # Panics
    /// As [`WsClient::message`].
    pub fn subscribe(&mut self, swarm_id: &str) -> Value {
        self.send(serde_json::json!({ "type": "subscribe", "swarm_id": swarm_id }));
        self.message_where("subscribed", |message| {
            message.get("swarm_id").and_then(Value::as_str) == Some(swarm_id)
        })
    }

    /// Puts something back, to be read next.
    pub fn put_back(&mut self, incoming: Incoming) {
        self.waiting.push_front(incoming);
    }
}
