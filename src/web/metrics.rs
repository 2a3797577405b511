//! `GET /metrics`: Prometheus text, for a viewer's token, `METRICS_TOKEN`, or everybody if `METRICS_PUBLIC`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::ApiError;
use super::state::AppState;
use crate::telemetry::MetricsHandle;

/// Renders the metrics of the process.
pub(crate) async fn metrics(req: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let gate = &state.gate;
    if !gate.metrics_public && !gate.is_scraper(req.headers()) {
        gate.identify(req.headers())?;
    }
    Ok(HttpResponse::Ok().content_type(MetricsHandle::CONTENT_TYPE).body(state.metrics.render()))
}
