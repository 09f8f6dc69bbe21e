//! The review queue and the people in it: see, preview, decide, take back (SPEC §6, §7).
//!
//! | file | holds |
//! |---|---|
//! | `filter` | the filter as it stands in an address, and what was searched for, which does not |
//! | `list` | the queue, its bulk decisions, the export |
//! | `conflict` | one conflict: both sides, preview, decision, the way back |
//! | `people` | the search for people, one person |

mod conflict;
mod filter;
mod list;
mod people;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::state::Admin;
use crate::error::Result;
use crate::pg::Db;

pub(super) use filter::Searches;

/// The addresses of these pages.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin/conflicts", get(list::list))
        .route("/admin/conflicts/search", post(list::search))
        .route("/admin/conflicts/bulk", post(list::bulk))
        .route("/admin/conflicts/export.csv", get(list::export))
        .route("/admin/conflicts/{id}", get(conflict::show))
        .route("/admin/conflicts/{id}/decide", post(conflict::decide))
        .route("/admin/people", get(people::form).post(people::search))
        .route("/admin/people/{profile}", get(people::show))
}

/// A read-only session, with statements of its own.
async fn reader(admin: &Admin) -> Result<Arc<Db>> {
    Ok(Arc::new(Db::new(admin.read().await?)))
}

/// Names and values, one under the other or beside those of others.
struct Columns {
    heads: Vec<String>,
    rows: Vec<Line>,
}

/// One value of each side.
struct Line {
    name: String,
    differs: bool,
    cells: Vec<String>,
}

impl Columns {
    fn of(sides: &[crate::review::sides::Side]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in sides.iter().flat_map(|side| &side.values) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let line = |name: &str| {
            let value = |side: &crate::review::sides::Side| {
                let found = side.values.iter().find(|(known, _)| known == name);
                found.map_or_else(String::new, |(_, value)| crate::facts::visible(value))
            };
            let cells: Vec<String> = sides.iter().map(value).collect();
            let differs = cells.iter().any(|cell| Some(cell) != cells.first());
            Line { name: name.to_owned(), differs, cells }
        };
        let rows = names.into_iter().map(line).collect();
        Self { heads: sides.iter().map(|side| crate::facts::visible(&side.title)).collect(), rows }
    }
}
