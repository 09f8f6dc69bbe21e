//! The courses of products.

use super::{How, note};
use crate::config::TableName;
use crate::error::{Context, Error, Result};
use crate::pg::Client;
use crate::rules::Product;

/// Adds the configured courses that are missing, by id; the slug is the product's code (SPEC §9).
pub(super) async fn courses(
    client: &Client,
    table: &TableName,
    products: &[Product],
    how: How,
) -> Result<Vec<String>> {
    let mut done = Vec::new();
    for product in products.iter().filter(|product| product.course) {
        let there = format!("select exists (select from {} where id = $1)", table.quoted());
        let there = client.query_one(&there, &[&product.id]).await;
        if there.context("target: looking at the courses")?.get(0) {
            continue;
        }
        note(client, how, "course", table, &product.id.to_string()).await?;
        let sql = format!(
            "insert into {} (id, title, slug) select $1, $2, $3 \
             where not exists (select from {} where id = $1)",
            table.quoted(),
            table.quoted()
        );
        let context = format!("target: adding course {}", product.code);
        let added = client
            .execute(&sql, &[&product.id, &product.name, &product.code])
            .await
            .map_err(|error| course_error(Error::postgres(context, &error), table, product))?;
        if added > 0 {
            done.push(format!("added course {} to {table}", product.code));
        }
    }
    Ok(done)
}

fn course_error(error: Error, table: &TableName, product: &Product) -> Error {
    match error {
        Error::Data { context, cause, .. } => Error::refused(
            format!("{context}: {cause}"),
            format!(
                "a course with slug '{code}' is there under another id: look it up with \
                 `select id from {table} where slug = '{code}'` and set it as the id of product \
                 {code} in the configuration",
                code = product.code
            ),
        ),
        other => other,
    }
}
