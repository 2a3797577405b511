//! One WebSocket client: JSON control in, JSON control and binary frames out.
//!
//! The only place that names `actix-web-actors`. The session lives on an HTTP worker and holds no queue: on
//! a [`Wake`] it looks at its subscriptions and sends the newest of each. While the socket is full actix
//! does not poll it, so wakes stop at one, frames supersede each other, and the kernel's user timeout on the
//! socket ends a client that has stopped reading.

mod control;
mod registry;
mod subscription;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use tokio::time::Instant;

pub use registry::{Sessions, TooManySessions};

use super::frames::{FramesHandle, Wake, Waker};
use super::swarms::SwarmsHandle;
use crate::domain::SwarmId;
use crate::identity::{Identity, Role, TokenVerifier};
use crate::telemetry::clock;
use crate::wire::{CloseCode, ServerMessage, control as wire_control, version};
use registry::{Farewell, Place};
use subscription::{Outgoing, Subscription};

/// How often the server pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Silence after which a client is gone: two pings and the time to answer.
const SILENCE_MAX: Duration = Duration::from_secs(58);
/// How long a session may stay without a token.
const SIGN_IN_MAX: Duration = Duration::from_secs(10);
/// How long a session outlives its token, so that a refresh can arrive.
const EXPIRY_GRACE: Duration = Duration::from_secs(25);
/// Refused messages after which the session is closed.
const REFUSALS_MAX: u32 = 64;

/// What every session is given.
#[derive(Debug, Clone)]
pub struct SessionParts {
    /// Finds swarms.
    pub swarms: SwarmsHandle,
    /// Makes keyframes.
    pub frames: FramesHandle,
    /// Checks tokens of `auth` messages.
    pub verifier: Arc<TokenVerifier>,
    /// Whether a token id has been revoked.
    pub revoked: Revoked,
    /// Every session of the server.
    pub sessions: Sessions,
    /// `POSITION_UPDATE_FPS`.
    pub fps: u32,
    /// `MAX_SWARMS_PER_CLIENT`.
    pub swarm_limit: usize,
    /// `CLIENT_POLL_RATE_MS`.
    pub poll_rate: Duration,
    /// Longest time to wake a sleeping swarm.
    pub deadline: Duration,
}

/// Tells whether a token id has been revoked; asks nobody.
#[derive(Clone)]
pub struct Revoked(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl std::fmt::Debug for Revoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Revoked")
    }
}

/// How a session starts.
#[derive(Debug)]
pub enum Opening {
    /// Signed in, or to be signed in by an `auth` message.
    Session(Option<Identity>),
    /// To be told a JSON text and closed.
    Refused(CloseCode, String),
}

/// Upgrades the request and starts the session.
///
/// # Errors
/// actix's own, for requests that are no WebSocket upgrade.
pub fn start(
    parts: SessionParts,
    place: Place,
    opening: Opening,
    echo: Option<&'static str>,
    request: &HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let session = SessionActor::new(parts, place, opening);
    let protocols: Vec<&str> = echo.into_iter().collect();
    ws::WsResponseBuilder::new(session, request, stream)
        .protocols(&protocols)
        .frame_size(wire_control::MAX_TEXT_BYTES + 1)
        .start()
}

/// The actor. See the module.
#[derive(Debug)]
pub struct SessionActor {
    parts: SessionParts,
    place: Place,
    opening: Option<Opening>,
    identity: Option<Identity>,
    waker: Option<Arc<Waker>>,
    subscriptions: BTreeMap<SwarmId, Subscription>,
    heard_at: Instant,
    heard_anything: bool,
    paused: bool,
    refusals: u32,
}

impl SessionActor {
    fn new(parts: SessionParts, place: Place, opening: Opening) -> Self {
        Self {
            parts,
            place,
            opening: Some(opening),
            identity: None,
            waker: None,
            subscriptions: BTreeMap::new(),
            heard_at: Instant::now(),
            heard_anything: false,
            paused: false,
            refusals: 0,
        }
    }

    fn send(&self, ctx: &mut ws::WebsocketContext<Self>, message: &ServerMessage) {
        match message.to_text() {
            Ok(text) => ctx.text(text),
            Err(error) => tracing::error!(session = %self.place.id(), %error, "writing a control message"),
        }
    }

    /// Says goodbye, closes and ends.
    fn close(&self, ctx: &mut ws::WebsocketContext<Self>, code: CloseCode) {
        const RETRY_MS: u64 = 1_000;
        self.send(ctx, &ServerMessage::goodbye(code, RETRY_MS));
        Self::end(ctx, code);
    }

    fn end(ctx: &mut ws::WebsocketContext<Self>, code: CloseCode) {
        metrics::counter!("visionflow_sessions_closed_total", "reason" => code.reason()).increment(1);
        ctx.close(Some(ws::CloseReason {
            code: code.number().into(),
            description: Some(code.reason().into()),
        }));
        ctx.stop();
    }

    /// Takes the identity of a checked token and tells the client who it is.
    fn sign_in(&mut self, identity: Identity, ctx: &mut ws::WebsocketContext<Self>) {
        self.watch_expiry(&identity, ctx);
        self.identity = Some(identity);
        self.hello(ctx);
    }

    fn watch_expiry(&self, identity: &Identity, ctx: &mut ws::WebsocketContext<Self>) {
        let left = (identity.expires_at - clock::now()).to_std().unwrap_or_default();
        let token_id = identity.token_id.clone();
        ctx.run_later(left + EXPIRY_GRACE, move |session, ctx| {
            // a refreshed session has another token by now
            if session.identity.as_ref().is_some_and(|identity| identity.token_id == token_id) {
                session.close(ctx, CloseCode::TokenExpired);
            }
        });
    }

    fn hello(&self, ctx: &mut ws::WebsocketContext<Self>) {
        let identity = self.identity.as_ref();
        let hello = ServerMessage::Hello {
            proto: 2,
            session: self.place.id(),
            server_time_us: clock::now().timestamp_micros().cast_unsigned(),
            ping_s: u32::try_from(PING_INTERVAL.as_secs()).unwrap_or(u32::MAX),
            max_fps: u16::try_from(self.parts.fps).unwrap_or(u16::MAX),
            swarm_limit: u32::try_from(self.parts.swarm_limit).unwrap_or(u32::MAX),
            poll_rate_ms: u64::try_from(self.parts.poll_rate.as_millis()).unwrap_or(u64::MAX),
            subject: identity.map(|identity| identity.subject.clone()),
            role: identity.map(|identity| identity.role.as_str().to_owned()),
            expires_at: identity.map(|identity| identity.expires_at.to_rfc3339()),
        };
        self.send(ctx, &hello);
    }

    /// Sends what is new of every subscription.
    fn pump(&mut self, ctx: &mut ws::WebsocketContext<Self>) {
        let (mut out, mut ended) = (Vec::new(), Vec::new());
        for (id, subscription) in &mut self.subscriptions {
            if !subscription.pump(self.paused, &self.parts.frames, &mut out) {
                ended.push(*id);
            }
        }
        for id in ended {
            self.unsubscribe(id);
            let gone =
                ServerMessage::Unsubscribed { swarm_id: id.0, reason: "deleted".into(), reference: None };
            out.push(Outgoing::Message(Box::new(gone)));
        }
        for outgoing in out {
            match outgoing {
                Outgoing::Message(message) => self.send(ctx, &message),
                Outgoing::Frame(bytes) => {
                    metrics::counter!("visionflow_frames_sent_total").increment(1);
                    metrics::counter!("visionflow_frame_bytes_sent_total").increment(bytes.len() as u64);
                    ctx.binary(bytes);
                }
            }
        }
    }

    fn unsubscribe(&mut self, id: SwarmId) -> bool {
        let subscription = self.subscriptions.remove(&id);
        subscription.as_ref().inspect(|s| s.channel().unsubscribe(self.place.number())).is_some()
    }

    /// Whether the identity may see a swarm of `owner`.
    fn may_see(&self, owner: &str) -> bool {
        self.identity.as_ref().is_some_and(|who| who.role == Role::Admin || who.subject == owner)
    }

    /// Counts a refused message; a client that sends nothing else is closed.
    fn refuse(&mut self, ctx: &mut ws::WebsocketContext<Self>, error: &ServerMessage) {
        self.refusals += 1;
        metrics::counter!("visionflow_session_messages_refused_total").increment(1);
        self.send(ctx, error);
        if self.refusals >= REFUSALS_MAX {
            self.close(ctx, CloseCode::BadRequest);
        }
    }

    fn heard_text(&mut self, text: &str, ctx: &mut ws::WebsocketContext<Self>) {
        let first = !std::mem::replace(&mut self.heard_anything, true);
        if first && version::is_v1_text(text) {
            ctx.text(version::v1_error());
            Self::end(ctx, CloseCode::ProtocolVersion);
            return;
        }
        match wire_control::parse(text) {
            Ok(message) => control::handle(self, message, ctx),
            Err(error) => self.refuse(ctx, &ServerMessage::from_control_error(&error)),
        }
    }

    fn heard_binary(&mut self, len: usize, ctx: &mut ws::WebsocketContext<Self>) {
        if version::is_v1_binary(len) {
            ctx.text(version::v1_error());
            Self::end(ctx, CloseCode::ProtocolVersion);
            return;
        }
        let error = ServerMessage::Error {
            code: "unexpected_binary".into(),
            message: "clients send JSON text frames; binary frames carry positions from the server only"
                .into(),
            allowed: None,
            reference: None,
        };
        self.refuse(ctx, &error);
    }

    /// Pings, and ends a client that has been silent for too long.
    fn keep_alive(ctx: &mut ws::WebsocketContext<Self>) {
        ctx.run_later(PING_INTERVAL, |session, ctx| {
            if session.heard_at.elapsed() > SILENCE_MAX {
                session.close(ctx, CloseCode::Slow);
            } else {
                ctx.ping(b"");
                Self::keep_alive(ctx);
            }
        });
    }
}

impl Actor for SessionActor {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.waker = Some(Arc::new(Waker::new(ctx.address().recipient())));
        self.place.arrive(ctx.address().recipient());
        match self.opening.take() {
            Some(Opening::Refused(code, text)) => {
                ctx.text(text);
                Self::end(ctx, code);
                return;
            }
            Some(Opening::Session(Some(identity))) => self.sign_in(identity, ctx),
            Some(Opening::Session(None)) | None => {
                self.hello(ctx);
                ctx.run_later(SIGN_IN_MAX, |session, ctx| {
                    if session.identity.is_none() {
                        session.close(ctx, CloseCode::InvalidToken);
                    }
                });
            }
        }
        Self::keep_alive(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        for (_, subscription) in std::mem::take(&mut self.subscriptions) {
            subscription.channel().unsubscribe(self.place.number());
        }
        self.place.leave();
    }
}

impl Handler<Wake> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        if let Some(waker) = &self.waker {
            waker.looking();
        }
        self.pump(ctx);
    }
}

impl Handler<Farewell> for SessionActor {
    type Result = ();

    fn handle(&mut self, farewell: Farewell, ctx: &mut Self::Context) {
        self.send(ctx, &ServerMessage::goodbye(farewell.code, farewell.retry_ms));
        Self::end(ctx, farewell.code);
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for SessionActor {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        self.heard_at = Instant::now();
        match message {
            Ok(ws::Message::Text(text)) => self.heard_text(&text, ctx),
            Ok(ws::Message::Binary(bytes)) => self.heard_binary(bytes.len(), ctx),
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Pong(_) | ws::Message::Nop) => {}
            Ok(ws::Message::Close(_)) => Self::end(ctx, CloseCode::Normal),
            Ok(ws::Message::Continuation(_)) => {
                let error = ServerMessage::Error {
                    code: "fragmented".into(),
                    message: "send each control message in one frame".into(),
                    allowed: None,
                    reference: None,
                };
                self.send(ctx, &error);
                self.close(ctx, CloseCode::BadRequest);
            }
            Err(error) => {
                tracing::debug!(session = %self.place.id(), %error, "reading from a websocket");
                let code = "bad_frame";
                let message = format!("reading a frame: {error}; text frames have at most 65536 bytes");
                self.send(
                    ctx,
                    &ServerMessage::Error { code: code.into(), message, allowed: None, reference: None },
                );
                self.close(ctx, CloseCode::BadRequest);
            }
        }
    }
}
