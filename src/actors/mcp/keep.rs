//! Keeps a connection standing: connect, shake hands, probe while idle, and again when it is lost.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::adapter::RuntimeTool;
use super::backoff;
use super::connection::{Connection, RequestError};
use super::handshake::{Peer, handshake};
use super::health::McpState;
use super::{Live, McpHealth, Ready};
use crate::runtime::Deadline;
use crate::telemetry::clock;
use crate::wire::mcp::method;

/// Runs for as long as the actor does.
#[expect(clippy::infinite_loop, reason = "ends with the actor, which drops it")]
pub(super) async fn keep_connected(live: Rc<Live>) {
    let mut failures = 0u32;
    loop {
        live.connecting.set(true);
        match connect(&live).await {
            Ok(ready) => {
                failures = 0;
                let ready = Rc::new(ready);
                live.up(&ready);
                let why = stay(&live, &ready).await;
                live.down(&why, true);
            }
            Err(why) => live.down(&why, false),
        }
        tokio::time::sleep(backoff::pause(failures, chance())).await;
        failures = failures.saturating_add(1);
    }
}

fn chance() -> f64 {
    let byte = clock::random_bytes::<1>().map_or(128, |[byte]| byte);
    f64::from(byte) / 255.0
}

async fn connect(live: &Live) -> Result<Ready, String> {
    let config = &live.seed.config;
    let opened = timeout(config.timeout, config.target.open(config.timeout)).await;
    let stream = match opened {
        Ok(opened) => opened.map_err(|error| format!("connecting to {}: {error}", config.target))?,
        Err(_elapsed) => return Err(format!("connecting to {}: not answered in time", config.target)),
    };
    let connection = Connection::start(stream, live.seed.ids.clone(), config.line_bytes_max);
    let deadline = Deadline::within(config.handshake_timeout);
    let peer = handshake(&connection, deadline)
        .await
        .map_err(|error| format!("shaking hands with {}: {error}", config.target))?;
    Ok(Ready { connection, peer })
}

/// Probes the connection while it is idle; returns why it ended.
async fn stay(live: &Live, ready: &Ready) -> String {
    let interval = live.seed.config.keepalive_interval;
    loop {
        match timeout(interval, ready.connection.lost()).await {
            Ok(why) => return why,
            Err(_still_there) if ready.connection.silence() < interval => {}
            Err(_idle) => {
                let (rpc, params) = probe(&ready.peer);
                // any answer is life, an error too
                match ready.connection.request(rpc, params, Deadline::within(interval)).await {
                    Ok(_) | Err(RequestError::Refused) => {}
                    Err(RequestError::Lost { .. }) => return ready.connection.lost().await,
                    Err(RequestError::Deadline { .. }) => {
                        metrics::counter!("visionflow_mcp_keepalives_missed_total").increment(1);
                        ready.connection.lose("it missed a keepalive");
                    }
                }
            }
        }
    }
}

fn probe(peer: &Peer) -> (&'static str, Option<Value>) {
    match &peer.meta {
        Some(meta) => (method::DISCOVER, Some(json!({ "_meta": meta }))),
        None => (method::PING, None),
    }
}

impl Live {
    fn up(&self, ready: &Rc<Ready>) {
        let peer = &ready.peer;
        let missing = RuntimeTool::ALL.iter().filter(|tool| tool.find(&peer.tools).is_none());
        let missing_tools: Vec<&'static str> = missing.map(|tool| tool.name()).collect();
        tracing::info!(server = peer.name, version = peer.version, protocol = peer.protocol, ?missing_tools,
            at = %self.seed.config.target, "connected to the agent runtime");
        metrics::counter!("visionflow_mcp_connections_total", "outcome" => "ok").increment(1);
        metrics::gauge!("visionflow_mcp_connected").set(1.0);
        self.connecting.set(false);
        self.ready.replace(Some(Rc::clone(ready)));
        self.seed.health.send_modify(|health| {
            *health = McpHealth {
                state: McpState::Connected,
                since: Some(clock::now()),
                server: Some(peer.name.clone()),
                server_version: Some(peer.version.clone()),
                protocol: Some(peer.protocol.clone()),
                missing_tools,
                connects: health.connects + 1,
                ..McpHealth::clone(health)
            }
            .into();
        });
        self.changed.notify_waiters();
    }

    fn down(&self, why: &str, was_up: bool) {
        let outcome = if was_up { "lost" } else { "failed" };
        metrics::counter!("visionflow_mcp_connections_total", "outcome" => outcome).increment(1);
        metrics::gauge!("visionflow_mcp_connected").set(0.0);
        let known = self.last_error.replace(why.to_owned());
        // the same failure again and again is one message
        if was_up || known != why {
            tracing::warn!(why, at = %self.seed.config.target, "no connection to the agent runtime");
        }
        self.connecting.set(false);
        self.ready.replace(None);
        self.seed.health.send_modify(|health| {
            let since = if health.state == McpState::Down { health.since } else { Some(clock::now()) };
            let state = McpState::Down;
            *health =
                McpHealth { state, since, last_error: Some(why.to_owned()), ..McpHealth::clone(health) }
                    .into();
        });
        self.changed.notify_waiters();
    }
}
