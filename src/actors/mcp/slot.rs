//! Keeps one connection standing: connect, shake hands, probe while idle, and again when it is lost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Loss, RequestError};
use super::handshake::{Peer, handshake, refresh, verdict};
use super::keepalive::{self, Due};
use super::messages::SlotFailed;
use super::reconnect::{Backoff, LossReason};
use super::{Live, McpActor, McpHealth, McpState};
use crate::runtime::{Deadline, WeakHandle};
use crate::telemetry::clock;

/// Tools that are said to have changed are read no sooner after each other: a server that says so at every reading
/// must not keep both sides busy.
const TOOLS_READ_MIN: Duration = Duration::from_secs(1);

/// A connection that has shaken hands.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) connection: Rc<Connection>,
    pub(super) peer: Rc<Peer>,
}

/// The place of one connection: it stands, is being made, or waits for the next attempt.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) ready: RefCell<Option<Ready>>,
    /// Whether a connection may come at once: an attempt is under way, or one was lost just now.
    pub(super) hopeful: Cell<bool>,
    /// When the next attempt comes, while none is under way.
    pub(super) retry_at: Cell<Instant>,
}

impl Default for Slot {
    fn default() -> Self {
        // the first attempt begins with the actor
        Self { ready: RefCell::default(), hopeful: Cell::new(true), retry_at: Cell::new(Instant::now()) }
    }
}

impl Slot {
    /// Its connection, if it stands.
    pub(super) fn standing(&self) -> Option<Ready> {
        self.ready.borrow().as_ref().filter(|ready| !ready.connection.is_lost()).cloned()
    }
}

/// Tells the actor when what holds it panics: nobody would keep the connection any more.
#[derive(Debug)]
pub(super) struct Alarm(pub(super) WeakHandle<McpActor>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(actor) = self.0.upgrade()
            && let Err(error) = actor.tell(SlotFailed)
        {
            tracing::error!(%error, "telling the actor that a connection is no longer kept");
        }
    }
}

/// Runs for as long as the actor does.
///
/// A task of its own: as a future of the actor it would keep the actor alive after its last handle.
#[expect(clippy::infinite_loop, reason = "ends with the actor, which aborts it")]
pub(super) async fn keep(live: Rc<Live>, number: usize, _alarm: Alarm) {
    let Some(slot) = live.slots.get(number) else { return };
    let mut backoff = Backoff::default();
    loop {
        slot.hopeful.set(true);
        let good = match connect(&live).await {
            Ok(ready) => {
                let connection = Rc::clone(&ready.connection);
                live.up(slot, ready);
                let loss = stay(&live, slot).await;
                live.lost(slot, &loss);
                connection.was_good()
            }
            Err(why) => {
                live.failed(slot, &why);
                false
            }
        };
        let pause = backoff.pause(good, chance());
        slot.retry_at.set(Instant::now() + pause);
        sleep(pause).await;
    }
}

/// 0 to 1; without randomness the middle.
fn chance() -> f64 {
    clock::random_bytes().map_or(0.5, |[byte]| f64::from(byte) / 255.0)
}

async fn connect(live: &Live) -> Result<Ready, String> {
    let config = &live.seed.config;
    let target = &config.target;
    let stream = match timeout(config.timeout, target.open(config.timeout)).await {
        Ok(opened) => opened.map_err(|error| format!("connecting to {target}: {error}"))?,
        Err(_elapsed) => return Err(format!("connecting to {target}: not answered in time")),
    };
    let connection = Connection::start(stream, live.seed.ids.clone(), config.line_bytes_max);
    let deadline = Deadline::within(config.handshake_timeout);
    let outcome = handshake(&connection, live.era.get(), deadline).await;
    live.era.set(verdict(&outcome));
    match outcome {
        Ok(peer) => Ok(Ready { connection: Rc::new(connection), peer: Rc::new(peer) }),
        Err(error) => Err(format!("shaking hands with {target}: {error}")),
    }
}

/// Watches over a connection; returns why it ended.
async fn stay(live: &Live, slot: &Slot) -> Loss {
    let config = &live.seed.config;
    let interval = config.keepalive_interval.max(keepalive::INTERVAL_MIN);
    let mut read_at: Option<Instant> = None;
    loop {
        let Some(ready) = slot.ready.borrow().clone() else {
            return Loss { reason: LossReason::Dropped, text: "closed".into() };
        };
        let Ready { connection, peer } = &ready;
        match keepalive::due(connection.quiet(), connection.in_flight(), connection.let_down(), interval) {
            Due::Later(wait) => tokio::select! {
                loss = connection.lost() => return loss,
                () = connection.tools_changed(), if read_at.is_none_or(|at| at.elapsed() >= TOOLS_READ_MIN) => {
                    let deadline = Deadline::within(config.handshake_timeout);
                    let read = refresh(connection, peer, deadline).await;
                    read_at = Some(Instant::now());
                    live.tools_read(slot, read);
                }
                () = sleep(wait) => {}
            },
            Due::Probe => probe(connection, peer, interval).await,
        }
        if connection.is_lost() {
            return connection.lost().await;
        }
    }
}

/// Asks for a sign of life and ends the connection when none comes.
async fn probe(connection: &Connection, peer: &Peer, interval: Duration) {
    let (rpc, params) = keepalive::probe(peer);
    match connection.request(rpc, params, Deadline::within(interval)).await {
        Ok(_any_answer) => return,
        Err(RequestError::Deadline { .. } | RequestError::Lost { .. }) => {}
        // the peer does not read: it gets as long as for an answer
        Err(RequestError::Full | RequestError::TooLarge { .. }) => {
            tokio::select! { _loss = connection.lost() => {}, () = sleep(interval) => {} }
        }
    }
    // an answer to another request is life as well
    if connection.quiet() >= interval && !connection.is_lost() {
        metrics::counter!("visionflow_mcp_keepalives_missed_total").increment(1);
        connection.lose(LossReason::Keepalive, "it missed a keepalive");
    }
}

impl Live {
    fn up(&self, slot: &Slot, ready: Ready) {
        let peer = Rc::clone(&ready.peer);
        slot.ready.replace(Some(ready));
        let missing_tools = peer.adapter.missing();
        tracing::info!(server = peer.name, version = peer.version, protocol = peer.protocol,
            runtime = peer.adapter.kind().as_str(), ?missing_tools, at = %self.seed.config.target,
            "connected to the agent runtime");
        metrics::counter!("visionflow_mcp_connections_total", "outcome" => "ok").increment(1);
        self.publish(|health| McpHealth {
            server: Some(peer.name.clone()),
            server_version: Some(peer.version.clone()),
            protocol: Some(peer.protocol.clone()),
            runtime: Some(peer.adapter.kind()),
            missing_tools,
            connects: health.connects + 1,
            ..health
        });
    }

    fn lost(&self, slot: &Slot, loss: &Loss) {
        metrics::counter!("visionflow_mcp_connections_total", "outcome" => "lost").increment(1);
        metrics::counter!("visionflow_mcp_reconnects_total", "reason" => loss.reason.as_str()).increment(1);
        tracing::warn!(why = loss.text, at = %self.seed.config.target, "lost the connection to the agent runtime");
        self.last_error.replace(loss.text.clone());
        slot.hopeful.set(true);
        slot.ready.replace(None);
        self.publish(|health| McpHealth {
            losses: health.losses + 1,
            last_error: Some(loss.text.clone()),
            ..health
        });
    }

    fn failed(&self, slot: &Slot, why: &str) {
        metrics::counter!("visionflow_mcp_connections_total", "outcome" => "failed").increment(1);
        // the same failure again and again is one message
        if self.last_error.replace(why.to_owned()) != why {
            tracing::warn!(why, at = %self.seed.config.target, "no connection to the agent runtime");
        }
        slot.hopeful.set(false);
        self.publish(|health| McpHealth { last_error: Some(why.to_owned()), ..health });
    }

    fn tools_read(&self, slot: &Slot, read: Result<Peer, super::handshake::HandshakeError>) {
        match read {
            Ok(peer) => {
                let (kind, missing_tools) = (peer.adapter.kind(), peer.adapter.missing());
                if let Some(ready) = slot.ready.borrow_mut().as_mut() {
                    ready.peer = Rc::new(peer);
                }
                self.publish(|health| McpHealth { runtime: Some(kind), missing_tools, ..health });
            }
            // the old list stays; the keepalive finds out what is wrong
            Err(error) => tracing::warn!(%error, "reading the changed tools of the agent runtime"),
        }
    }

    /// Publishes what changed, with the state that follows from the slots.
    pub(super) fn publish(&self, change: impl FnOnce(McpHealth) -> McpHealth) {
        let sockets = self.slots.iter().filter(|slot| slot.standing().is_some()).count();
        let state = if sockets > 0 { McpState::Connected } else { McpState::Down };
        metrics::gauge!("visionflow_mcp_connected").set(f64::from(u8::from(sockets > 0)));
        self.seed.health.send_modify(|health| {
            let since = if health.state == state { health.since } else { Some(clock::now()) };
            let changed = change(McpHealth::clone(health));
            *health = McpHealth { state, since, sockets, ..changed }.into();
        });
        self.changed.notify_waiters();
    }
}
