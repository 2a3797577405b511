//! The accept loop: connections up to the limit, the others told why not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection;
use super::shared::{Counters, Shared};
use super::stop::{self, Stop};
use crate::wire::jsonrpc::{RpcError, error_line};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1_024;
/// Pause after a failed accept, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a refused client has to read why.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);
/// Refused clients at once that are given that time; others are closed at once.
const REFUSALS_MAX: usize = 32;
/// JSON-RPC code for "too many connections".
const SERVER_BUSY: i64 = -32000;
/// Unanswered probes after which a silent peer counts as gone, and the time between two.
const KEEPALIVE_PROBES: u32 = 4;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Binds without waiting for the ends of an earlier process's connections.
pub(super) fn bind(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until told to stop, then waits for the connections; dropping it ends them.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<Stop>) {
    let mut clients = Clients { stop: stop.clone(), shared, served: JoinSet::new(), refused: JoinSet::new() };
    loop {
        tokio::select! {
            biased;
            () = stop::asked(&mut stop) => break,
            Some(_) = clients.served.join_next() => {}
            Some(_) = clients.refused.join_next() => {}
            accepted = listener.accept() => clients.take(accepted).await,
        }
    }
    drop(listener);
    tokio::select! {
        () = async { while clients.served.join_next().await.is_some() {} } => {}
        () = stop::now(&mut stop) => {}
    }
}

#[derive(Debug)]
struct Clients {
    shared: Arc<Shared>,
    stop: watch::Receiver<Stop>,
    served: JoinSet<()>,
    refused: JoinSet<()>,
}

impl Clients {
    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let max = self.shared.config.wire.connections;
        match accepted {
            Ok((stream, _)) if self.served.len() < max => {
                prepare(&stream, self.shared.config.wire.keepalive);
                self.served.spawn(connection::serve(stream, Arc::clone(&self.shared), self.stop.clone()));
            }
            Ok((stream, peer)) => {
                self.note_refusal(peer);
                if self.refused.len() < REFUSALS_MAX {
                    self.refused.spawn(refuse(stream, max));
                }
            }
            Err(error) => {
                note_failure(&error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn note_refusal(&self, peer: SocketAddr) {
        Counters::count(&self.shared.counters.connections_refused);
        metrics::counter!("mcp_runtime_connections_refused_total").increment(1);
        tracing::warn!(%peer, max = self.shared.config.wire.connections, "refusing an mcp connection: too many");
    }
}

fn note_failure(error: &io::Error) {
    metrics::counter!("mcp_runtime_accept_failures_total").increment(1);
    tracing::warn!(%error, "accepting an mcp connection");
}

/// Answers leave at once, and a peer that vanished is noticed without any traffic of ours.
fn prepare(stream: &TcpStream, idle: Duration) {
    let keepalive =
        TcpKeepalive::new().with_time(idle).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "setting options of an mcp connection");
    }
}

/// Tells a client why it is not served, and gives it a moment to read that before the connection is reset.
async fn refuse(mut stream: TcpStream, max: usize) {
    let line = error_line(None, RpcError::new(SERVER_BUSY, format!("too many connections; allowed: {max}")));
    let told = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1_024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if !matches!(timeout(REFUSAL_LINGER, told).await, Ok(Ok(()))) {
        tracing::debug!("a refused mcp client did not close in time");
    }
}
