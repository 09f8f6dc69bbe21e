//! Made-up rows into a source database by COPY.

use std::fmt::Write as _;
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::{Client, CopyInSink};

use crate::people::{Population, Values};
use crate::source_schema::SourceLayout;

use crate::error::{Context as _, Result};

/// Bytes handed to the connection at once: big enough to make system calls rare.
const BUFFER_BYTES: usize = 256 * 1024;

const WHAT: &str = "loading made-up rows";

/// Creates the source tables of a layout.
///
/// # Errors
/// Those of the server, such as tables that exist.
pub async fn create_tables(client: &Client, layout: SourceLayout) -> Result<()> {
    client.batch_execute(layout.schema()).await.context("creating the source tables")
}

/// Loads contacts and payments with the numbers of the two ranges, and updates the planner's statistics.
///
/// # Errors
/// Those of the server, such as a key that is there already.
pub async fn load(
    client: &Client,
    layout: SourceLayout,
    population: &Population,
    contacts: std::ops::Range<u64>,
    payments: std::ops::Range<u64>,
) -> Result<()> {
    append(client, layout, population, contacts, payments).await?;
    client.batch_execute("analyze public.systemeio; analyze public.xendit").await.context(WHAT)
}

/// The same rows without the statistics, in one transaction.
///
/// # Errors
/// Those of the server, such as a key that is there already.
pub async fn append(
    client: &Client,
    layout: SourceLayout,
    population: &Population,
    contacts: std::ops::Range<u64>,
    payments: std::ops::Range<u64>,
) -> Result<()> {
    client.batch_execute("begin").await.context(WHAT)?;
    let rows = contacts.map(|number| population.contact(number).values(layout));
    copy(client, "public.systemeio", layout.contact_columns(), rows).await?;
    let rows = payments.map(|number| population.payment(number).values(layout));
    copy(client, "public.xendit", layout.payment_columns(), rows).await?;
    client.batch_execute("commit").await.context(WHAT)
}

async fn copy(
    client: &Client,
    table: &str,
    columns: &[&str],
    rows: impl Iterator<Item = Values>,
) -> Result<()> {
    let columns: Vec<String> = columns.iter().map(|name| escape_identifier(name)).collect();
    let statement = format!("copy {table} ({}) from stdin", columns.join(", "));
    let sink: CopyInSink<Bytes> = client.copy_in(&statement).await.context(WHAT)?;
    let mut sink = pin!(sink);
    let mut buffer = String::with_capacity(BUFFER_BYTES + 4096);
    for row in rows {
        write_row(&mut buffer, &row);
        if buffer.len() >= BUFFER_BYTES {
            sink.send(Bytes::from(std::mem::take(&mut buffer))).await.context(WHAT)?;
        }
    }
    sink.send(Bytes::from(buffer)).await.context(WHAT)?;
    sink.finish().await.context(WHAT)?;
    Ok(())
}

/// One line of COPY's text format.
fn write_row(buffer: &mut String, row: &Values) {
    for (index, value) in row.iter().enumerate() {
        if index > 0 {
            buffer.push('\t');
        }
        let Some(value) = value else {
            buffer.push_str("\\N");
            continue;
        };
        for character in value.chars() {
            match character {
                '\\' => buffer.push_str("\\\\"),
                '\n' => buffer.push_str("\\n"),
                '\r' => buffer.push_str("\\r"),
                '\t' => buffer.push_str("\\t"),
                other => {
                    // Writing to a String cannot fail.
                    let _ = buffer.write_char(other);
                }
            }
        }
    }
    buffer.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Cluster, ClusterOptions};
    use crate::dirt::DirtRates;

    #[test]
    fn a_row_is_one_escaped_line() {
        let mut line = String::new();
        write_row(&mut line, &vec![Some("a\tb\\\n".into()), None, Some(String::new())]);
        assert_eq!(line, "a\\tb\\\\\\n\t\\N\t\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn made_up_rows_load_into_both_layouts() {
        let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
        for (name, layout) in [("c", SourceLayout::Canonical), ("l", SourceLayout::Legacy)] {
            cluster.create_database(name).await.unwrap();
            let client = cluster.connect(name).await.unwrap();
            create_tables(&client, layout).await.unwrap();
            for (seed, dirt) in [(1, DirtRates::heavy()), (2, DirtRates::none())] {
                client.batch_execute("truncate public.xendit, public.systemeio").await.unwrap();
                let population = Population { seed, people: 2_000, dirt };
                load(&client, layout, &population, 0..3_000, 0..5_000).await.unwrap();
                let count =
                    "select (select count(*) from systemeio), (select count(*) from xendit)";
                let row = client.query_one(count, &[]).await.unwrap();
                assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3_000, 5_000));
            }
        }
    }
}
