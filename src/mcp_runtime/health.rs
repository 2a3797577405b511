//! `GET /health` of the runtime: that it runs, how much it holds, and that its work is simulated.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use super::error::RuntimeError;
use super::executor::EXECUTOR;
use super::shared::Shared;

/// Connections to the health endpoint at once.
const CONNECTIONS_MAX: usize = 64;
/// Seconds that a running answer has on shutdown.
const SHUTDOWN_S: u64 = 1;

/// Serves on a bound listener with one worker. The server has to be polled.
pub(super) fn serve(
    listener: TcpListener,
    shared: &Arc<Shared>,
) -> Result<(Server, ServerHandle), RuntimeError> {
    let shared = web::Data::from(Arc::clone(shared));
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .service(web::resource("/health").route(web::get().to(health)).route(web::head().to(health)))
            .default_service(web::to(not_found))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_S)
        .listen(listener)
        .map_err(RuntimeError::Health)?
        .run();
    let handle = server.handle();
    Ok((server, handle))
}

async fn health(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(report(&shared))
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(json!({"error": "not found", "see": "/health"}))
}

fn report(shared: &Shared) -> Value {
    let counts = shared.engine.lock().counts();
    let counters = &shared.counters;
    json!({
        "status": "healthy",
        "service": "visionflow-mcp-runtime",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": shared.started.elapsed().as_secs(),
        "connections": counters.connections.load(Ordering::Relaxed),
        "connections_max": shared.config.wire.connections,
        "connections_refused": counters.connections_refused.load(Ordering::Relaxed),
        "requests": counters.requests.load(Ordering::Relaxed),
        "lines_refused": counters.lines_refused.load(Ordering::Relaxed),
        "writers_stalled": counters.writers_stalled.load(Ordering::Relaxed),
        "swarms": counts.swarms,
        "agents": counts.agents,
        "busy_agents": counts.busy_agents,
        "tasks": counts.tasks,
        "open_tasks": counts.open_tasks,
        "executor": EXECUTOR,
        "simulated": true,
    })
}
