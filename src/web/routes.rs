//! Every path that is served, in one place.

use actix_web::dev::HttpServiceFactory;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard, web};

use super::error::Code;
use super::problem::{ApiError, echo};
use super::state::AppState;
use super::{agents, health, identity_calls, metrics, old_calls, swarms, tasks, viewer, ws};

/// Adds all paths. The layers around them, and the gate that they need, are added by [`super::app`].
pub fn configure(state: web::Data<AppState>, cfg: &mut web::ServiceConfig) {
    cfg.app_data(state);
    open(cfg);
    open_without_state(cfg);
    swarm_paths(cfg);
    task_paths(cfg);
    identity_paths(cfg);
}

/// Paths that need neither a token nor anything of the server.
pub(super) fn open_without_state(cfg: &mut web::ServiceConfig) {
    cfg.service(reading("/health/live", health::live)).service(reading("/problems/{code}", problem));
    old_paths(cfg);
    viewer::configure(cfg);
    cfg.default_service(web::to(nothing_here));
}

/// Paths that need no token.
fn open(cfg: &mut web::ServiceConfig) {
    cfg.service(reading("/health", health::health))
        .service(reading("/health/ready", health::ready))
        // these two look for a token themselves
        .service(reading("/metrics", metrics::metrics))
        .service(only(web::resource("/wss").route(web::get().to(ws::connect)), "GET"));
}

fn swarm_paths(cfg: &mut web::ServiceConfig) {
    let all =
        web::resource("/api/swarms").route(get().to(swarms::list)).route(web::post().to(swarms::create));
    let one = web::resource("/api/swarms/{id}")
        .route(get().to(swarms::show))
        .route(web::delete().to(swarms::delete));
    let agent = web::resource("/api/swarms/{id}/agents/{agent_id}")
        .route(get().to(agents::show))
        .route(web::delete().to(agents::end));
    let spawn = web::resource("/api/swarms/{id}/agents/spawn").route(web::post().to(agents::spawn));
    cfg.service(only(all, "GET, HEAD, POST"))
        .service(only(one, "GET, HEAD, DELETE"))
        .service(reading("/api/swarms/{id}/metadata", swarms::metadata))
        .service(reading("/api/swarms/{id}/links", swarms::list_links))
        .service(reading("/api/swarms/{id}/events", swarms::list_events))
        .service(reading("/api/swarms/{id}/agents", agents::list))
        .service(only(spawn, "POST"))
        .service(only(agent, "GET, HEAD, DELETE"));
}

fn task_paths(cfg: &mut web::ServiceConfig) {
    let all = web::resource("/api/swarms/{id}/tasks")
        .route(get().to(tasks::list))
        .route(web::post().to(tasks::submit));
    let cancel = web::resource("/api/tasks/{task_id}/cancel").route(web::post().to(tasks::cancel));
    cfg.service(only(all, "GET, HEAD, POST"))
        .service(reading("/api/tasks/{task_id}", tasks::show))
        .service(only(cancel, "POST"));
}

fn identity_paths(cfg: &mut web::ServiceConfig) {
    let ticket = web::resource("/api/auth/ws-ticket").route(web::post().to(identity_calls::ws_ticket));
    let revoke = web::resource("/api/auth/revoke").route(web::post().to(identity_calls::revoke));
    cfg.service(reading("/api/auth/me", identity_calls::me))
        .service(only(ticket, "POST"))
        .service(only(revoke, "POST"));
}

/// Calls of version 1, whatever their method.
fn old_paths(cfg: &mut web::ServiceConfig) {
    cfg.service(web::resource("/api/agents/spawn").to(old_calls::spawn))
        .service(web::resource("/api/agents/task").to(old_calls::task))
        .service(web::resource("/api/agents/swarm/{id}/status").to(old_calls::status))
        .service(web::resource(["/api/bots", "/api/bots/{call:.*}"]).to(old_calls::bots));
}

/// A path that is only read.
pub(crate) fn reading<F, Args>(path: &str, handler: F) -> impl HttpServiceFactory + 'static
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    only(web::resource(path).route(get().to(handler)), "GET, HEAD")
}

/// GET, and HEAD, of which the server sends the head alone.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Answers every method without a route with 405 and the methods that have one.
pub(super) fn only(resource: Resource, allow: &'static str) -> Resource {
    resource.default_service(web::to(move || std::future::ready(not_allowed(allow))))
}

fn not_allowed(allow: &'static str) -> Result<HttpResponse, ApiError> {
    Err(ApiError::method_not_allowed(allow))
}

async fn nothing_here(req: actix_web::HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(Code::RouteNotFound).detail(format!("nothing is served under {}", echo(req.path()))))
}

/// `GET /problems/{code}`: what an error means, so that the `type` of a problem leads somewhere.
async fn problem(path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let code = Code::find(&path).ok_or_else(|| {
        ApiError::new(Code::RouteNotFound).detail(format!("there is no error code {:?}", echo(&path)))
    })?;
    Ok(HttpResponse::Ok().json(code.row()))
}
