//! The calls of version 1: each answers 410 and tells what to call instead.
//!
//! They need no token, since clients of version 1 have none and must learn that they need one.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::error::Code;
use super::problem::{ApiError, echo};

struct Replacement {
    method: &'static str,
    path: &'static str,
    /// The body's shape as JSON; `None` when there is no body.
    body: Option<fn() -> Value>,
}

const SPAWN: Replacement = Replacement {
    method: "POST",
    path: "/api/swarms/{swarm_id}/agents/spawn",
    body: Some(
        || json!({ "type": "researcher", "name": "optional, 1 to 50 characters", "capabilities": ["analysis"] }),
    ),
};
const TASK: Replacement = Replacement {
    method: "POST",
    path: "/api/swarms/{swarm_id}/tasks",
    body: Some(|| {
        json!({
            "description": "what is to be done",
            "priority": "low | medium | high | critical, optional",
            "strategy": "parallel | sequential | adaptive, optional",
        })
    }),
};
const STATUS: Replacement =
    Replacement { method: "GET", path: "/api/swarms/{swarm_id}/metadata", body: None };
const LIST_AGENTS: Replacement =
    Replacement { method: "GET", path: "/api/swarms/{swarm_id}/agents", body: None };
const CREATE: Replacement = Replacement {
    method: "POST",
    path: "/api/swarms",
    body: Some(
        || json!({ "name": "1 to 50 characters", "topology": "mesh | hierarchical | ring | star, optional" }),
    ),
};

/// `POST /api/agents/spawn`.
pub(crate) async fn spawn(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(gone(&req, &SPAWN))
}

/// `POST /api/agents/task`.
pub(crate) async fn task(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(gone(&req, &TASK))
}

/// `GET /api/agents/swarm/{id}/status`.
pub(crate) async fn status(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(gone(&req, &STATUS))
}

/// Anything below `/api/bots`.
pub(crate) async fn bots(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(gone(&req, of_bots(req.path(), req.method())))
}

fn of_bots(path: &str, method: &Method) -> &'static Replacement {
    let asks = |word: &str| path.to_ascii_lowercase().contains(word);
    if method == Method::GET {
        if asks("status") { &STATUS } else { &LIST_AGENTS }
    } else if asks("spawn") || asks("add") {
        &SPAWN
    } else if asks("task") {
        &TASK
    } else {
        &CREATE
    }
}

fn gone(req: &HttpRequest, new: &Replacement) -> ApiError {
    metrics::counter!("visionflow_v1_calls_total").increment(1);
    let (old_method, old_path) = (req.method().as_str(), echo(req.path()));
    let (method, path) = (new.method, new.path);
    let first =
        if path.contains("{swarm_id}") { "; POST /api/swarms makes a swarm and gives its id" } else { "" };
    ApiError::new(Code::V1CallGone)
        .detail(format!(
            "{old_method} {old_path} was a call of version 1; call {method} {path} with the header \
             Authorization: Bearer <token>{first}"
        ))
        .with(
            "replacement",
            json!({
                "method": method,
                "path": path,
                "headers": {
                    "Authorization": "Bearer <token>; `visionflow token` issues one",
                    "Content-Type": new.body.map(|_| "application/json"),
                },
                "body": new.body.map(|body| body()),
            }),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_for_bots_find_what_they_meant() {
        for (path, method, new) in [
            ("/api/bots/spawn-agent-hybrid", Method::POST, SPAWN.path),
            ("/api/bots/initialize-swarm", Method::POST, CREATE.path),
            ("/api/bots/submit-task", Method::POST, TASK.path),
            ("/api/bots/status", Method::GET, STATUS.path),
            ("/api/bots/data", Method::GET, LIST_AGENTS.path),
            ("/api/bots", Method::DELETE, CREATE.path),
        ] {
            assert_eq!(of_bots(path, &method).path, new, "{method} {path}");
        }
    }

    #[test]
    fn the_shown_bodies_are_ones_that_the_new_calls_take() {
        let spawn = SPAWN.body.unwrap()().to_string();
        assert!(crate::web::dto::new_agent(spawn.as_bytes()).is_ok());
    }
}
