//! Whether two targets say the same (P3).

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::{Place, World};
use testkit::source_schema::SourceLayout;

/// Differences shown before the rest is only counted.
const SHOWN: usize = 12;

/// Facts of a stream's history that a fresh backfill cannot know (P3): profiles without a fact and
/// profiles whose e-mail is an alias of another.
const HISTORY: &str = "
    exists (select from tributary.person o
            where o.profile_id = p.id and o.state in ('absent', 'merged'))";

/// What is compared: a name and a query of key and row, without the bookkeeping columns of SPEC §2.
const VIEWS: [(&str, &str); 4] = [
    (
        "profile",
        "select p.email, to_jsonb(p) - '{id,updated_at,last_api_sync_at,api_sync_version,tier,
                tier_assignment,tier_assignment_notes}'::text[]
                || jsonb_build_object('created_at', {created_at})
         from unified_profiles p",
    ),
    (
        "transaction",
        "select t.id::text, to_jsonb(t) - '{user_id,last_api_sync_at,api_sync_version,processed_at}'::text[]
                || jsonb_build_object('person', p.email)
         from transactions t left join unified_profiles p on p.id = t.user_id",
    ),
    (
        "enrollment",
        "select p.email || '#' || coalesce(c.slug, c.title),
                to_jsonb(e) - '{id,user_id,course_id,created_at,updated_at,completion_date,progress,
                last_activity_at,notes}'::text[]
         from enrollments e join unified_profiles p on p.id = e.user_id join courses c on c.id = e.course_id
         where not (e.transaction_id is null and e.metadata ->> 'managed_by' = 'tributary')",
    ),
    (
        "conflict",
        "select kind || ' ' || subject, jsonb_build_object('severity', severity, 'evidence', evidence)
         from tributary.conflict
         where status = 'open'
               and kind not in ('source_absent', 'email_change_collision', 'email_change_split',
                                'delete_blocked')",
    ),
];

type Rows = BTreeMap<String, Value>;

/// Panics with the differences where the streamed target is not what the fresh one is.
pub(crate) async fn assert_targets_equal(streamed: &Place, fresh: &Place, layout: SourceLayout) {
    let mut differences = differences(streamed, fresh, layout).await;
    let rest = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    assert!(
        differences.is_empty(),
        "the streamed target differs from a fresh one:\n{}\n… and {rest} more",
        differences.join("\n")
    );
}

/// What the streamed target says otherwise than the fresh one.
async fn differences(streamed: &Place, fresh: &Place, layout: SourceLayout) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, sql) in VIEWS {
        let mut left = rows(streamed, sql, layout).await;
        let right = rows(fresh, sql, layout).await;
        if name == "profile" {
            let history =
                format!("select p.email, '{{}}'::jsonb from unified_profiles p where {HISTORY}");
            for email in rows(streamed, &history, layout).await.keys() {
                if !right.contains_key(email) {
                    left.remove(email);
                }
            }
        }
        differences.extend(difference(name, &left, &right));
    }
    differences
}

/// Backfills an empty target with the decisions of the first one, and compares.
pub(crate) async fn assert_equals_fresh_backfill(world: &World) {
    let fresh = fresh_backfill(world).await;
    assert_targets_equal(&world.target, &fresh, world.layout).await;
}

/// As [`assert_equals_fresh_backfill`]: the differences, some of them.
pub(crate) async fn differences_from_fresh_backfill(world: &World) -> Vec<String> {
    let fresh = fresh_backfill(world).await;
    let mut differences = differences(&world.target, &fresh, world.layout).await;
    let drop = format!("drop database {}", fresh.database);
    fresh.cluster.execute("postgres", &drop).await.unwrap();
    differences.truncate(SHOWN);
    differences
}

async fn fresh_backfill(world: &World) -> Place {
    let fresh = world.with_fresh_target().await;
    fresh.succeed(&["migrate"]).await;
    copy_decisions(&world.target, &fresh.target).await;
    fresh.succeed(&["backfill"]).await;
    fresh.succeed(&["slot", "drop"]).await;
    fresh.target
}

/// The legacy layout has no sync_timestamp, so a person without a readable date is created at the
/// first write, which is not compared (SPEC §4.2).
async fn rows(place: &Place, sql: &str, layout: SourceLayout) -> Rows {
    let created_at = match layout {
        SourceLayout::Canonical => "created_at",
        SourceLayout::Legacy => {
            "case when created_at < now() - interval '1 day' then created_at end"
        }
    };
    let created_at = created_at.replace("created_at", "p.created_at");
    let client = place.connect().await;
    let rows = client.query(&sql.replace("{created_at}", &created_at), &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn difference(name: &str, left: &Rows, right: &Rows) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, row) in left {
        match right.get(key) {
            None => lines.push(format!("{name} {key}: only in the streamed target: {row}")),
            Some(other) if other != row => {
                lines.push(format!("{name} {key}: {}", fields(row, other)));
            }
            Some(_) => {}
        }
    }
    let missing = right.iter().filter(|(key, _)| !left.contains_key(*key));
    lines
        .extend(missing.map(|(key, row)| format!("{name} {key}: only in the fresh target: {row}")));
    lines
}

/// The fields that differ, streamed against fresh.
fn fields(left: &Value, right: &Value) -> String {
    let keys =
        left.as_object().into_iter().chain(right.as_object()).flat_map(|object| object.keys());
    let keys: std::collections::BTreeSet<&String> = keys.collect();
    let differing = keys.into_iter().filter(|key| left.get(*key) != right.get(*key));
    let shown = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
    let texts =
        differing.map(|key| format!("{key} {} ≠ {}", shown(left.get(key)), shown(right.get(key))));
    texts.collect::<Vec<_>>().join("; ")
}

pub(crate) async fn copy_decisions(from: &Place, to: &Place) {
    let sql = "select coalesce(jsonb_agg(to_jsonb(d)), '[]') from tributary.decision d";
    let decisions: Value = from.connect().await.query_one(sql, &[]).await.unwrap().get(0);
    let insert = "insert into tributary.decision overriding system value
                  select * from jsonb_populate_recordset(null::tributary.decision, $1)";
    to.connect().await.execute(insert, &[&decisions]).await.unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_fields() {
        let rows =
            |amount: i32| Rows::from([("a".into(), serde_json::json!({"amount": amount, "x": 1}))]);
        assert!(difference("transaction", &rows(1), &rows(1)).is_empty());
        let lines = difference("transaction", &rows(1), &rows(2));
        assert_eq!(lines, ["transaction a: amount 1 ≠ 2"]);
        assert_eq!(difference("transaction", &Rows::new(), &rows(2)).len(), 1);
        assert_eq!(difference("transaction", &rows(2), &Rows::new()).len(), 1);
    }
}
