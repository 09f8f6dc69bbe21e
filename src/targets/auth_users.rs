//! `auth.users`, the users of Supabase's GoTrue (SPEC §4.1): found by their e-mail key, and made where that is configured.
//!
//! A user is made as GoTrue makes one of which nothing but the confirmed address is known: it has no password, and logs in by a
//! link or a code that is sent to the address, or sets a password. GoTrue reads its texts into variables that cannot be NULL, so
//! that every token is an empty text. The profile takes the user's id.

use uuid::Uuid;

use super::profile_ids::{Page, page};
use crate::error::{Context as _, Error, Result};
use crate::facts::email_key;
use crate::pg::{Client, Db, Tx};

const WHAT: &str = "target: reading auth.users";

/// The ids of users with the keys that they are found by. Most addresses are their own key in lower case; the others are
/// recorded with it.
pub(super) const KEYED: &str = "(select u.id, lower(u.email) as email from auth.users u \
    union all select u.id, e.email_key from tributary.auth_email e \
    join auth.users u on u.id = e.user_id and u.email::text = e.email)";

/// Nobody.
pub(super) const NONE: &str = "(select null::uuid as id, null::text as email where false)";

/// Columns of `auth.users` without which a user cannot be made, with their values.
const USER: [(&str, &str); 16] = [
    ("instance_id", "'00000000-0000-0000-0000-000000000000'::uuid"),
    ("id", "n.id"),
    ("aud", "'authenticated'"),
    ("role", "'authenticated'"),
    ("email", "n.email"),
    ("encrypted_password", "''"),
    ("email_confirmed_at", "now()"),
    ("confirmation_token", "''"),
    ("recovery_token", "''"),
    ("email_change_token_new", "''"),
    ("email_change", "''"),
    ("raw_app_meta_data", "'{\"provider\": \"email\", \"providers\": [\"email\"]}'::jsonb"),
    ("raw_user_meta_data", "'{\"email_verified\": true}'::jsonb"),
    ("created_at", "now()"),
    ("updated_at", "now()"),
    ("last_sign_in_at", "null"),
];

/// Those that not every version has.
const USER_IN_LATER_VERSIONS: [(&str, &str); 7] = [
    ("email_change_token_current", "''"),
    ("phone_change", "''"),
    ("phone_change_token", "''"),
    ("reauthentication_token", "''"),
    ("is_super_admin", "false"),
    ("is_sso_user", "false"),
    ("is_anonymous", "false"),
];

/// Columns of `auth.identities`, without which nobody logs in by e-mail.
const IDENTITY: [(&str, &str); 6] = [
    ("provider_id", "n.id::text"),
    ("user_id", "n.id"),
    (
        "identity_data",
        "jsonb_build_object('sub', n.id::text, 'email', n.email, 'email_verified', true, 'phone_verified', false)",
    ),
    ("provider", "'email'"),
    ("created_at", "now()"),
    ("updated_at", "now()"),
];

/// What is missing before users can be made: columns as `table.column`, then privileges; of a schema as GoTrue makes it nothing.
///
/// # Errors
/// Those of the target.
pub async fn missing(client: &Client) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let tables: [(&str, Vec<&str>); 2] = [
        ("auth.users", USER.iter().map(|(name, _)| *name).collect()),
        ("auth.identities", IDENTITY.iter().map(|(name, _)| *name).collect()),
    ];
    for (table, wanted) in tables {
        let known = columns(client, table).await?;
        let lacks = wanted.into_iter().filter(|name| !known.iter().any(|known| known == name));
        all.extend(lacks.map(|name| format!("column {table}.{name}")));
        let sql = "select has_table_privilege(to_regclass($1), 'select') and has_table_privilege(to_regclass($1), 'insert')";
        let row = client.query_one(sql, &[&table]).await.context(WHAT)?;
        if row.get::<_, Option<bool>>(0) == Some(false) {
            all.push(format!("SELECT, INSERT on {table}"));
        }
    }
    Ok(all)
}

async fn columns(client: &Client, table: &str) -> Result<Vec<String>> {
    let sql = "select a.attname::text from pg_attribute a where a.attrelid = to_regclass($1) \
               and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''";
    let rows = client.query(sql, &[&table]).await.context(WHAT)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statement that makes users: ids and addresses of profiles that may be new. Of one that is there nothing is done.
pub(super) async fn create(client: &Client, profiles: &str) -> Result<String> {
    let missing = missing(client).await?;
    if !missing.is_empty() {
        return Err(Error::refused(
            format!("users cannot be made in auth.users: missing are {}", missing.join(", ")),
            "bring the auth schema up to date (its own service migrates it) and grant what is missing, or set \
             target.auth_users = \"link\"",
        ));
    }
    let known = columns(client, "auth.users").await?;
    let later = USER_IN_LATER_VERSIONS.iter().filter(|(name, _)| known.iter().any(|k| k == name));
    let user: Vec<_> = USER.iter().chain(later).copied().collect();
    let names =
        |of: &[(&str, &str)]| of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let values =
        |of: &[(&str, &str)]| of.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "with n as materialized (select n.id, n.email from unnest($1::uuid[], $2::text[]) as n (id, email) \
             where not exists (select from {profiles} p where p.id = n.id) \
                 and not exists (select from auth.users u where u.id = n.id)), \
         made as (insert into auth.users ({}) select {} from n returning id), \
         known as (insert into auth.identities ({}) select {} from n) \
         insert into tributary.created_auth_user (user_id) select id from made on conflict do nothing",
        names(&user),
        values(&user),
        names(&IDENTITY),
        values(&IDENTITY),
    ))
}

/// Of the next so many users by id those whose address is not its own key, as far as that is to be seen, and is not recorded.
///
/// # Errors
/// Those of the target.
pub async fn unrecorded(db: &Db, after: Uuid, rows: i64) -> Result<Page> {
    let sql = include_str!("sql/unrecorded_users.sql");
    Ok(page(&db.query(WHAT, sql, &[&after, &rows]).await?))
}

/// Which of these users there are.
///
/// # Errors
/// Those of the target.
pub async fn there(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let rows = tx.query(WHAT, "select id from auth.users where id = any($1)", &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Records users with the keys of their addresses.
///
/// # Errors
/// Those of the target.
pub async fn record(tx: &Tx, users: &[(Uuid, String)]) -> Result<()> {
    let ids: Vec<Uuid> = users.iter().map(|(id, _)| *id).collect();
    let emails: Vec<&str> = users.iter().map(|(_, email)| email.as_str()).collect();
    let key = |email: &str| email_key(email).0.ok().map(|key| key.to_string());
    let keys: Vec<Option<String>> = emails.iter().map(|email| key(email)).collect();
    let sql = "insert into tributary.auth_email (user_id, email, email_key) \
               select * from unnest($1::uuid[], $2::text[], $3::text[]) \
               on conflict (user_id) do update set email = excluded.email, email_key = excluded.email_key";
    tx.execute("target: recording addresses", sql, &[&ids, &emails, &keys]).await.map(drop)
}
