//! `/health`, `/health/live` and `/health/ready`: open to everybody, so they tell states and no internals.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::limits::{PROBE_LIFE, PROBE_TIMEOUT};
use super::state::AppState;

const HEALTH_JSON: &str = "application/health+json";

/// How the whole server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overall {
    /// Everything works.
    Ok,
    /// Something is missing, but requests are served.
    Degraded,
    /// The database is dead: nothing can be kept.
    Down,
}

/// What the database said when it was last asked.
#[derive(Debug, Clone, Copy)]
struct Probed {
    at: Instant,
    latency: Option<Duration>,
}

/// Asks the database whether it answers, at most every half second however often it is itself asked.
#[derive(Debug, Default)]
pub struct DatabaseProbe {
    last: Mutex<Option<Probed>>,
    asking: tokio::sync::Mutex<()>,
}

impl DatabaseProbe {
    /// How long the database took; `None` when it did not answer.
    async fn latency(&self, state: &AppState) -> Option<Duration> {
        if let Some(fresh) = self.fresh() {
            return fresh.latency;
        }
        // whoever comes while somebody asks waits for that answer
        let _asking = self.asking.lock().await;
        if let Some(fresh) = self.fresh() {
            return fresh.latency;
        }
        let before = Instant::now();
        let answered = match tokio::time::timeout(PROBE_TIMEOUT, state.swarms.ping_store()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database does not answer");
                false
            }
            Err(_elapsed) => {
                tracing::warn!(
                    timeout_ms = PROBE_TIMEOUT.as_millis(),
                    "the database does not answer in time"
                );
                false
            }
        };
        let probed = Probed { at: Instant::now(), latency: answered.then(|| before.elapsed()) };
        *self.last.lock() = Some(probed);
        probed.latency
    }

    fn fresh(&self) -> Option<Probed> {
        self.last.lock().filter(|probed| probed.at.elapsed() < PROBE_LIFE)
    }
}

/// The states of the parts.
#[derive(Debug)]
pub struct Checks {
    database: Option<Duration>,
    mcp: Value,
    compute: Value,
    compute_ok: bool,
    threads_ok: bool,
    draining: bool,
}

impl Checks {
    async fn make(state: &AppState) -> Self {
        let compute = state.compute.health();
        Self {
            database: state.database.latency(state).await,
            mcp: (state.mcp_health)(),
            compute_ok: compute.status == "ok",
            compute: serde_json::to_value(&*compute).unwrap_or_default(),
            threads_ok: state.readiness.is_ready(),
            draining: state.gate.is_draining(),
        }
    }

    fn mcp_status(&self) -> &str {
        self.mcp.get("status").and_then(Value::as_str).unwrap_or("down")
    }

    /// How the whole does.
    #[must_use]
    pub fn overall(&self) -> Overall {
        if self.database.is_none() {
            Overall::Down
        } else if self.mcp_status() == "ok" && self.compute_ok && self.threads_ok && !self.draining {
            Overall::Ok
        } else {
            Overall::Degraded
        }
    }

    /// Why the server should get no new work; empty when it should.
    #[must_use]
    pub fn hindrances(&self) -> Vec<&'static str> {
        let all = [
            (self.draining, "draining"),
            (self.database.is_none(), "database"),
            (self.mcp_status() == "down", "mcp"),
            (!self.compute_ok, "compute"),
            (!self.threads_ok, "threads"),
        ];
        all.into_iter().filter_map(|(hinders, name)| hinders.then_some(name)).collect()
    }

    fn body(&self, uptime: Duration) -> Value {
        let database = match self.database {
            Some(latency) => {
                json!({ "status": "ok", "latency_ms": (latency.as_secs_f64() * 1e6).round() / 1e3 })
            }
            None => json!({ "status": "down", "latency_ms": null }),
        };
        json!({
            "status": self.overall(),
            "version": env!("CARGO_PKG_VERSION"),
            "checks": {
                "database": database,
                "mcp": self.mcp,
                "compute": self.compute,
                "threads": { "status": if self.threads_ok { "ok" } else { "degraded" } },
            },
            "uptime_s": uptime.as_secs(),
            "draining": self.draining,
        })
    }
}

/// `GET /health`: 200 while requests can be served, 503 when nothing can be kept.
pub(crate) async fn health(state: web::Data<AppState>) -> HttpResponse {
    let checks = Checks::make(&state).await;
    let mut answer = if checks.overall() == Overall::Down {
        HttpResponse::ServiceUnavailable()
    } else {
        HttpResponse::Ok()
    };
    answer.content_type(HEALTH_JSON).json(checks.body(state.started_at.elapsed()))
}

/// `GET /health/live`: the process runs; nothing else is looked at.
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type(HEALTH_JSON).json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: whether new work should be sent here.
pub(crate) async fn ready(state: web::Data<AppState>) -> HttpResponse {
    let hindrances = Checks::make(&state).await.hindrances();
    let ready = hindrances.is_empty();
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.content_type(HEALTH_JSON).json(json!({ "ready": ready, "hindrances": hindrances }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(database: bool, mcp: &str, compute_ok: bool, draining: bool) -> Checks {
        Checks {
            database: database.then_some(Duration::from_millis(2)),
            mcp: json!({ "status": mcp }),
            compute: json!({ "status": if compute_ok { "ok" } else { "failed" } }),
            compute_ok,
            threads_ok: true,
            draining,
        }
    }

    #[test]
    fn a_stuck_thread_degrades_the_server_and_hinders_it() {
        let stuck = Checks { threads_ok: false, ..checks(true, "ok", true, false) };
        assert_eq!((stuck.overall(), stuck.hindrances()), (Overall::Degraded, vec!["threads"]));
        assert_eq!(stuck.body(Duration::ZERO)["checks"]["threads"]["status"], "degraded");
    }

    #[test]
    fn only_a_dead_database_takes_the_server_down() {
        assert_eq!(checks(true, "ok", true, false).overall(), Overall::Ok);
        for degraded in [
            checks(true, "down", true, false),
            checks(true, "degraded", true, false),
            checks(true, "ok", false, false),
            checks(true, "ok", true, true),
        ] {
            assert_eq!(degraded.overall(), Overall::Degraded, "{degraded:?}");
        }
        assert_eq!(checks(false, "ok", true, false).overall(), Overall::Down);
    }

    #[test]
    fn an_mcp_part_that_says_nothing_counts_as_down() {
        let mut silent = checks(true, "ok", true, false);
        silent.mcp = Value::Null;
        assert_eq!(silent.overall(), Overall::Degraded);
        assert_eq!(silent.hindrances(), ["mcp"]);
    }

    #[test]
    fn ready_says_what_hinders() {
        assert!(checks(true, "degraded", true, false).hindrances().is_empty());
        assert_eq!(
            checks(false, "down", false, true).hindrances(),
            ["draining", "database", "mcp", "compute"]
        );
    }

    #[test]
    fn a_latency_that_was_not_measured_is_null() {
        let body = checks(false, "ok", true, false).body(Duration::from_secs(61));
        assert!(body["checks"]["database"]["latency_ms"].is_null());
        assert_eq!((body["status"].as_str(), body["uptime_s"].as_u64()), (Some("down"), Some(61)));
    }
}
