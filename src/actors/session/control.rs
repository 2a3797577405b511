//! What a session does at a client's word.

use actix::prelude::*;
use actix_web_actors::ws::WebsocketContext;

use super::subscription::Subscription;
use super::{SessionActor, clock};
use crate::actors::frames::class_for;
use crate::domain::SwarmId;
use crate::identity::TokenError;
use crate::runtime::Deadline;
use crate::wire::control::Resume;
use crate::wire::{ClientCommand, ClientMessage, CloseCode, ServerMessage};

type Ctx = WebsocketContext<SessionActor>;

pub(super) fn handle(session: &mut SessionActor, message: ClientMessage, ctx: &mut Ctx) {
    let reference = message.reference;
    if session.identity.is_none()
        && !matches!(message.command, ClientCommand::Auth { .. } | ClientCommand::Ping { .. })
    {
        let text = "sign in first: send {\"type\":\"auth\",\"token\":\"…\"}";
        session.refuse(ctx, &error("unauthenticated", text.to_owned(), reference));
        return;
    }
    match message.command {
        ClientCommand::Subscribe { swarm_id, rate, resume } => {
            subscribe(session, SwarmId(swarm_id), rate, resume, reference, ctx);
        }
        ClientCommand::Unsubscribe { swarm_id } => {
            if session.unsubscribe(SwarmId(swarm_id)) {
                let reason = "requested".to_owned();
                session.send(ctx, &ServerMessage::Unsubscribed { swarm_id, reason, reference });
            } else {
                session.refuse(ctx, &not_subscribed(reference));
            }
        }
        ClientCommand::Resync { swarm_id } => match session.subscriptions.get_mut(&SwarmId(swarm_id)) {
            Some(subscription) => {
                subscription.resync(&session.parts.frames);
                session.pump(ctx);
            }
            None => session.refuse(ctx, &not_subscribed(reference)),
        },
        ClientCommand::Pause { paused } => {
            session.paused = paused;
            session.pump(ctx);
        }
        ClientCommand::Ping { id } => {
            let server_time_us = clock::now().timestamp_micros().cast_unsigned();
            session.send(ctx, &ServerMessage::Pong { id, server_time_us, reference });
        }
        ClientCommand::Auth { token } => sign_in(session, &token, ctx),
    }
}

fn sign_in(session: &mut SessionActor, token: &str, ctx: &mut Ctx) {
    let verified = session.parts.verifier.verify(token, clock::now());
    match verified {
        Ok(identity) if (session.parts.revoked.0)(&identity.token_id) => {
            session.close(ctx, CloseCode::InvalidToken);
        }
        Ok(identity) => {
            // a refresh must not hand the session's subscriptions to somebody else
            if session.identity.as_ref().is_some_and(|before| before.subject != identity.subject) {
                session.close(ctx, CloseCode::Forbidden);
            } else {
                session.sign_in(identity, ctx);
            }
        }
        Err(error) => {
            let code = if matches!(error, TokenError::Expired { .. }) {
                CloseCode::TokenExpired
            } else {
                CloseCode::InvalidToken
            };
            session.send(ctx, &self::error(error.code(), error.to_string(), None));
            session.close(ctx, code);
        }
    }
}

fn subscribe(
    session: &mut SessionActor,
    id: SwarmId,
    rate: Option<u16>,
    resume: Option<Resume>,
    reference: Option<String>,
    ctx: &mut Ctx,
) {
    let limit = session.parts.swarm_limit;
    if !session.subscriptions.contains_key(&id) && session.subscriptions.len() >= limit {
        let text = format!("a session holds at most {limit} subscriptions");
        session.refuse(ctx, &error("swarm_limit_reached", text, reference));
        return;
    }
    let found = session.parts.swarms.find(id).filter(|swarm| session.may_see(swarm.owner()));
    let Some(swarm) = found else {
        session.refuse(ctx, &error("swarm_not_found", format!("there is no swarm {id}"), reference));
        return;
    };
    let (Some(waker), fps) = (session.waker.clone(), session.parts.fps) else { return };
    let class = class_for(rate.map_or(fps, u32::from), fps);
    swarm.channel().subscribe(session.place.number(), class, waker);
    let poll_rate = session.parts.poll_rate;
    let subscription = Subscription::new(swarm.clone(), class, fps, poll_rate, resume, reference);
    session.subscriptions.insert(id, subscription);
    session.parts.frames.want_keyframe(id, class);
    // a sleeping swarm wakes by use; what it then publishes wakes this session
    let deadline = Deadline::within(session.parts.deadline);
    let touch = async move { swarm.touch(deadline).await };
    ctx.spawn(touch.into_actor(session).map(|touched, session, ctx| {
        if let Err(error) = touched {
            tracing::debug!(session = %session.place.id(), %error, "waking a swarm");
            session.send(ctx, &self::error("swarm_unavailable", error.to_string(), None));
        }
    }));
    session.pump(ctx);
}

fn not_subscribed(reference: Option<String>) -> ServerMessage {
    error("not_subscribed", "the session has no subscription to this swarm".to_owned(), reference)
}

fn error(code: &str, message: String, reference: Option<String>) -> ServerMessage {
    ServerMessage::Error { code: code.to_owned(), message, allowed: None, reference }
}
