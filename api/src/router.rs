//! The route table, and what every request passes through.

use axum::{Router, middleware::from_fn_with_state, response::Redirect, routing::get};
use service::probes;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{middleware, openapi, routes, state::AppState};

/// All routes. The caller runs the background parts of the state (see [`crate::Api::run`]); without them nothing is stored.
pub fn router(state: AppState) -> Router {
    let (documented, document) = documented().split_for_parts();
    let routes = documented
        .with_state(state.clone())
        .merge(openapi::router(document))
        .merge(probes::router(state.readiness.clone(), state.metrics.render()))
        .route("/", get(|| async { Redirect::to("/docs/") }));
    routes.layer(from_fn_with_state(state, middleware::around))
}

/// The routes that are in the OpenAPI document.
#[rustfmt::skip]
fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(routes::submit::submit, routes::list::list))
        .routes(routes!(routes::batch::submit_batch))
        .routes(routes!(routes::task::get_task, routes::cancel::delete_task))
        .routes(routes!(routes::explain::explain_task))
        .routes(routes!(routes::events::task_events))
        .routes(routes!(routes::cancel::cancel_task))
        .routes(routes!(routes::retry::retry_task))
        .routes(routes!(routes::queues::list_queues))
        .routes(routes!(routes::settings::update_queue))
        .routes(routes!(routes::queues::pause_queue))
        .routes(routes!(routes::queues::resume_queue))
        .routes(routes!(routes::workers::list_workers))
        .routes(routes!(routes::problems::list_problems))
        .routes(routes!(routes::problems::get_problem))
}
