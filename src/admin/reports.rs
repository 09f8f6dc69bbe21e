//! Reports of backfills and verifications, to download.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;

use super::auth::View;
use super::layout::{self, Failure};
use super::log::download;
use super::state::Admin;
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::report::{html, store};

/// Which of these entries of the log have a report.
pub(super) async fn among(db: &Db, entries: &[i64]) -> Result<Vec<i64>> {
    let sql =
        "select operation from tributary.report where report is not null and operation = any($1)";
    let rows = db.query("target: looking for reports", sql, &[&entries]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// `<entry>.html` or `<entry>.json`. Never shown in place: the page has styles of its own, which the policy refuses.
pub(super) async fn serve(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> std::result::Result<Response, Failure> {
    let named = name.split_once('.').and_then(|(entry, kind)| Some((entry.parse().ok()?, kind)));
    let Some((entry, kind @ ("html" | "json"))) = named else { return Ok(layout::not_found(&who)) };
    let db = Db::new(admin.read().await?);
    let Some(report) = store::load(&db, Some(entry)).await? else {
        return Ok(layout::not_found(&who));
    };
    let name = format!("report-{entry}.{kind}");
    if kind == "html" {
        let page = html::page(&report, &admin.current().config.rules.zone)?;
        return Ok(download("text/html; charset=utf-8", &name, page));
    }
    let text = serde_json::to_string_pretty(&report);
    let text = text.map_err(|error| Error::failed("writing JSON", error))?;
    Ok(download("application/json", &name, text))
}
