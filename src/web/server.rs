//! The HTTP server: sockets, workers, timeouts, and the layers around the routes.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::body::BoxBody;
use actix_web::dev::{Extensions, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::{App, Error, HttpServer, web};
use socket2::SockRef;

use super::body::take_body;
use super::gate::Gate;
use super::middleware::{in_time, observe, screen};
use super::routes::configure;
use super::state::AppState;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Longest time between a connection and the end of its first request's head; also for each later head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a connection that we end may take to end.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);
/// Bytes that the kernel holds for a client that is slow to read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long a browser may remember what a preflight allowed, in seconds.
const PREFLIGHT_LIFE_S: usize = 600;

/// How the server listens.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Worker threads; 0 takes one per core.
    pub workers: usize,
    /// Connections that each worker holds at most; more wait to be accepted.
    pub connections_per_worker: usize,
    /// How long a stopping server lets requests finish, to the second.
    pub shutdown_timeout: Duration,
}

impl ServerOptions {
    /// Options for an address; the rest by default.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, workers: 0, connections_per_worker: 25_000, shutdown_timeout: Duration::from_secs(5) }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("listening on {address} [BIND, PORT]")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A server that listens and answers.
pub struct RunningServer {
    address: SocketAddr,
    handle: ServerHandle,
    ended: JoinHandle<io::Result<()>>,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RunningServer {
    /// Where it really listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections, lets requests finish within `shutdown_timeout`, and ends the workers.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        match self.ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the HTTP server ended with an error"),
            Err(error) => tracing::warn!(%error, "the HTTP server was torn down"),
        }
    }
}

/// Binds the address and starts the workers, which answer from now on. Must be called within an actix system;
/// handles no signals.
///
/// # Errors
/// [`ServerError::Bind`].
pub fn start(state: web::Data<AppState>, options: &ServerOptions) -> Result<RunningServer, ServerError> {
    let failed = |source| ServerError::Bind { address: options.address, source };
    let mut http = HttpServer::new(move || app(&state))
        .backlog(BACKLOG)
        .max_connections(options.connections_per_worker)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .on_connect(tune)
        .disable_signals();
    if options.workers > 0 {
        http = http.workers(options.workers);
    }
    let http = http.bind(options.address).map_err(failed)?;
    let address = http.addrs().first().copied().unwrap_or(options.address);
    let server = http.run();
    Ok(RunningServer { address, handle: server.handle(), ended: actix_web::rt::spawn(server) })
}

/// Prepares a new connection: small frames leave at once, dead peers are noticed, slow ones hold little memory.
fn tune(connection: &dyn Any, _: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)))
        .and_then(|()| socket.set_send_buffer_size(SEND_BUFFER_BYTES));
    if let Err(error) = tuned {
        // the client may be gone already
        tracing::debug!(%error, "tuning a connection");
    }
}

/// The application with all its layers, for the server and for tests.
#[must_use]
pub fn app(state: &web::Data<AppState>) -> App<impl Layered + use<>> {
    let timeout = state.limits.request_timeout;
    let gate = state.gate.clone();
    let state = state.clone();
    with_layers(move |cfg| configure(state, cfg), gate, timeout)
}

/// What [`app`] is made of, whatever its routes.
pub trait Layered:
    ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >
{
}

impl<F> Layered for F where
    F: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        >
{
}

/// Puts the layers around any routes. `timeout` counts from when the body is there.
pub(super) fn with_layers<F: FnOnce(&mut web::ServiceConfig)>(
    configure: F,
    gate: web::Data<Gate>,
    timeout: Duration,
) -> App<impl Layered + use<F>> {
    App::new()
        .app_data(gate.clone())
        .configure(configure)
        .wrap(from_fn(move |req, next| in_time(req, next, timeout)))
        .wrap(from_fn(take_body))
        .wrap(cors(gate))
        .wrap(from_fn(screen))
        .wrap(from_fn(observe))
}

/// Lets pages of the allowed origins call the API. No cookies are used, so none are allowed.
fn cors(gate: web::Data<Gate>) -> Cors {
    let names = |all: &[&'static str]| all.iter().copied().map(HeaderName::from_static).collect::<Vec<_>>();
    Cors::default()
        .allowed_origin_fn(move |origin, head| {
            let host = head.headers().get(header::HOST).and_then(|host| host.to_str().ok());
            origin.to_str().is_ok_and(|origin| gate.origins.allowed(origin, host))
        })
        .allowed_methods(["GET", "HEAD", "POST", "PATCH", "DELETE"])
        .allowed_headers(names(&[
            "authorization",
            "content-type",
            "accept",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "x-request-id",
        ]))
        .expose_headers(names(&["etag", "link", "location", "retry-after", "x-request-id"]))
        .max_age(PREFLIGHT_LIFE_S)
}
