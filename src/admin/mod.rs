//! The operators' page `/admin` (SPEC §9): off unless `[admin]` names who may log in.
//!
//! It reads the target with sessions of its own and asks the daemon for everything that changes something, through the
//! table of commands ([`crate::ask`]): it is never a second writer. It is part of the daemon's HTTP endpoint and can be
//! turned on and off by a reload.
//!
//! | file | holds |
//! |---|---|
//! | `state` | [`Admin`]: the configuration in force, the pool, the sessions |
//! | `router` | the addresses of all pages |
//! | `guard` | what every request passes: `Host`, origin, headers of the answer |
//! | `auth` | tokens, sessions, the extractors [`View`], [`Decide`], [`Operate`], log-in and log-out |
//! | `layout` | [`Page`], [`render`], the pages of errors |
//! | `overview`, `control`, `log` | a page each |
//! | `requests`, `progress`, `imports` | what was asked of the daemon and what became of it; how far long work is |
//! | `reports` | reports of backfills and verifications, to download |
//! | `history`, `kept`, `problems` | what the charts show; counts that are kept for a while; what is wrong |
//! | `assets` | the style sheet and the script, embedded, named by their digest |
//!
//! # How to add a page
//!
//! 1. A template in `templates/admin/` that begins with `{% extends "admin/base.html" %}` and has a block `main`. Values are
//!    escaped; never write `|safe` behind a value of a customer. No `style=` and no `on…=`: the content security policy
//!    refuses them.
//! 2. A struct with `#[derive(askama::Template)] #[template(path = "admin/….html")]` and a field `page: Page`.
//! 3. A handler whose first argument is the role it needs; the state is `State<Arc<Admin>>`:
//!
//!    ```text
//!    async fn list(View(who): View, State(admin): State<Arc<Admin>>) -> Result<Response, Failure> {
//!        let db = admin.read().await?; // a read-only session of the target
//!        let rows = db.query("select … from tributary.conflict …", &[]).await.context("target: …")?;
//!        Ok(render(&ListPage { page: Page::new(&who, "review", "Review"), … }))
//!    }
//!    ```
//!
//!    [`Failure`] turns an [`Error`](crate::error::Error) into a page; a refusal of the daemon is shown, not logged.
//! 4. A line in `router`; a page of the navigation also has a line in `layout::NAVIGATION`.
//!
//! What changes something is a `POST` with a form (`axum::Form`), answered by a redirect (`303`, [`see_other`]). It asks the
//! daemon with [`Admin::ask`], whose actor is the holder of the token, so that the operation log names it. Nothing that
//! belongs to a customer may stand in an address: it would be in logs and histories.

mod assets;
mod auth;
mod control;
mod guard;
mod history;
mod imports;
mod kept;
mod layout;
mod log;
mod overview;
mod problems;
mod progress;
mod reports;
mod requests;
mod review;
mod router;
mod state;
#[cfg(test)]
mod tests;

pub use auth::{Decide, Operate, View, Who};
pub use layout::{Failure, Page, render, see_other};
pub(crate) use router::{LARGEST_FORM, router};
pub use state::Admin;
