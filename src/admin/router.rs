//! The addresses of all pages.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};

use super::auth::{self, View};
use super::state::Admin;
use super::{assets, control, guard, layout, log, overview, reports, requests};

/// Largest form, in bytes.
pub(crate) const LARGEST_FORM: usize = 256 * 1024;

/// Everything below `/admin`.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/admin", get(overview::overview))
        .route("/admin/events", get(overview::events))
        .route("/admin/control", get(control::show).post(control::run))
        .route("/admin/requests/{id}", get(requests::show))
        .route("/admin/requests/{id}/report.json", get(requests::json))
        .route("/admin/log", get(log::list))
        .route("/admin/reports/{name}", get(reports::serve))
        .route("/admin/log.json", get(log::json))
        .route("/admin/log.csv", get(log::csv))
        .route("/admin/", get(async || layout::see_other("/admin")))
        .route("/admin/login", get(auth::form).post(auth::log_in))
        .route("/admin/logout", axum::routing::post(auth::log_out))
        .route("/admin/assets/{name}", get(assets::serve))
        .merge(super::review::routes())
        .route("/admin/{*rest}", get(not_found))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::guard))
        .with_state(admin)
}

async fn not_found(View(who): View) -> Response {
    layout::not_found(&who)
}
