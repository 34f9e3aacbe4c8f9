//! The routes that Kubernetes and Prometheus ask: `/live`, `/ready`, `/metrics`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use crate::{
    readiness::Readiness,
    tokens::{Tokens, guard},
};

/// Content type of Prometheus' text format, as `prometheus-client` writes it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Renders the metrics of a process as text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The probe routes:
///
/// - `GET /live`: 200 while the process runs, also while it drains.
/// - `GET /ready`: 200 when every dependency is reached, else 503 with each one named.
/// - `GET /metrics`: OpenMetrics text.
pub fn router(readiness: Readiness, metrics: RenderMetrics) -> Router {
    guarded_router(readiness, metrics, None)
}

/// As [`router`], with `/metrics` for those only whom a list of tokens lets read them. The others are for everybody: a kubelet has no token.
pub fn guarded_router(readiness: Readiness, metrics: RenderMetrics, tokens: Option<Tokens>) -> Router {
    let render = async |State(render): State<RenderMetrics>| ([(header::CONTENT_TYPE, OPENMETRICS)], render());
    let metrics = Router::new().route("/metrics", get(render).with_state(metrics));
    Router::new()
        .route("/live", get(|| async { Json(json!({"status": "live"})) }))
        .route("/ready", get(ready).with_state(readiness))
        .merge(guard(metrics, tokens))
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let dependencies: serde_json::Map<_, _> = report
        .dependencies
        .iter()
        .map(|(name, outcome)| ((*name).to_owned(), json!(outcome.as_ref().err().map_or("ok", String::as_str))))
        .collect();
    let status = match (report.ready, report.stopping) {
        (true, _) => "ready",
        (false, true) => "stopping",
        (false, false) => "not ready",
    };
    let code = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({"status": status, "dependencies": dependencies}))).into_response()
}
