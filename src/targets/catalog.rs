//! What the catalog says of the configured target tables, and the statements made from it at the start.

use std::collections::HashMap;

use uuid::Uuid;

use super::auth_users;
use super::column_types::{column_types, require_uuid, type_of};
use super::money::Keeps;
use super::statements;
use crate::config::{AuthUsers, TableName, Target};
use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::error::{Context, Error, Result};
use crate::pg::Client;
use crate::rules::NAMESPACE;

/// Quoted names of the target tables.
#[derive(Debug, Clone)]
pub struct Names {
    /// Profiles.
    pub profiles: String,
    /// Transactions.
    pub transactions: String,
    /// Enrollments.
    pub enrollments: String,
    /// Courses.
    pub courses: String,
    /// Transactions whose foreign keys hold: these, and those that they are copies of.
    pub referenced: Vec<String>,
    /// Tables whose foreign keys do not, as copies stand for them.
    pub copied: Vec<String>,
}

impl Names {
    fn of(target: &Target) -> Self {
        let copied = target.copies_of.iter().flat_map(|of| [&of.transactions, &of.enrollments]);
        let mut referenced = vec![target.transactions.quoted()];
        referenced.extend(target.copies_of.iter().map(|of| of.transactions.quoted()));
        Self {
            profiles: target.profiles.quoted(),
            transactions: target.transactions.quoted(),
            enrollments: target.enrollments.quoted(),
            courses: target.courses.quoted(),
            referenced,
            copied: copied.map(TableName::quoted).collect(),
        }
    }
}

/// Statements and facts about the target tables, read from the catalog at start.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Their names.
    pub names: Names,
    /// Writes profiles that differ or are new.
    pub write_profiles: String,
    /// Writes transactions that differ or are new.
    pub write_transactions: String,
    /// Writes enrollments that differ or are new.
    pub write_enrollments: String,
    /// As `write_profiles`, of profiles that are known to be there, to differ and to have their address.
    pub update_profiles: String,
    /// As `write_transactions`, of transactions that are known to be there and to differ.
    pub update_transactions: String,
    /// As `write_profiles`, of profiles that are known to be new.
    pub insert_profiles: String,
    /// As `write_transactions`, of transactions that are known to be new.
    pub insert_transactions: String,
    /// The type of the profiles' systemeio_id.
    pub systemeio_type: String,
    /// The type of the profiles' email.
    pub email_type: String,
    /// The type of the enrollments' status.
    pub enrollment_status_type: String,
    /// Whether the values of a profile are what the input functions of its columns read.
    pub profiles_by_copy: bool,
    /// Whether new transactions may be written by COPY.
    pub transactions_by_copy: bool,
    /// Finds the ids of new persons.
    pub profile_ids: String,
    /// Finds transactions by their provider id; `None`: its type holds no text.
    pub transactions_by_provider: Option<String>,
    /// Names the target tables and the types of their columns: outcome digests hold for these alone.
    pub identity: Uuid,
    /// What the amounts of transactions keep.
    pub amount_keeps: Keeps,
    /// The same of their fees.
    pub fee_keeps: Keeps,
    /// Opens a transaction in which the application's deferred constraints are checked by each statement,
    /// so that a row they refuse can be isolated: at the commit it would be too late.
    pub begin: String,
    /// Whether `auth.users` exists and people take ids from it.
    pub link_auth_users: bool,
    /// Its ids with the e-mail keys that they are found by.
    pub auth_users: String,
    /// Makes the users of new profiles; `None`: they are not made here, or this is a dry run, in which they count as made.
    pub create_auth_users: Option<String>,
    /// Whether a new person without a user is not waited for, as the user is made.
    pub creates_auth_users: bool,
    /// Whether the profile id must be an `auth.users` id.
    pub needs_auth_user: bool,
}

impl Tables {
    /// Refuses target tables, as far as they are there, whose ids are of another type than ours.
    ///
    /// # Errors
    /// The refusal with its remedy; those of the target.
    pub async fn require_ids(client: &Client, target: &Target) -> Result<()> {
        for table in [&target.profiles, &target.transactions, &target.enrollments] {
            let types = match column_types(client, table).await {
                Err(Error::Refused { .. }) => continue,
                types => types?,
            };
            // A missing column is added by `migrate`.
            if types.contains_key("id") {
                require_uuid(table, &types)?;
            }
        }
        Ok(())
    }

    /// Reads the catalog of the target.
    pub async fn read(client: &Client, target: &Target) -> Result<Self> {
        let names = Names::of(target);
        let profile = column_types(client, &target.profiles).await?;
        let transaction = column_types(client, &target.transactions).await?;
        let enrollment = column_types(client, &target.enrollments).await?;
        let lasting = target.lasting();
        let auth = client
            .query_one(include_str!("sql/auth_users.sql"), &[&lasting.profiles.quoted()])
            .await
            .context("target: looking for auth.users")?;
        let tables = [&names.profiles, &names.transactions, &names.enrollments];
        let deferrable: Option<String> = client
            .query_one(include_str!("sql/deferrable_constraints.sql"), &[&tables.as_slice()])
            .await
            .context("target: reading deferrable constraints")?
            .get(0);
        let link_auth_users: bool = target.auth_users != AuthUsers::Off && auth.get(0);
        let creates_auth_users = link_auth_users && target.auth_users == AuthUsers::Create;
        let create_auth_users = match target.copies_of {
            None if creates_auth_users => Some(auth_users::create(client, &names.profiles).await?),
            _ => None,
        };
        let auth_users = if link_auth_users { auth_users::KEYED } else { auth_users::NONE };
        let profile_ids = include_str!("sql/profile_ids.sql")
            .replace("{profiles}", &names.profiles)
            .replace("{email_type}", &type_of(&profile, "email"))
            .replace("{auth_users}", auth_users);
        let auth_users = auth_users.to_owned();
        for (table, types) in [
            (&target.profiles, &profile),
            (&target.transactions, &transaction),
            (&target.enrollments, &enrollment),
        ] {
            require_uuid(table, types)?;
        }
        // PostgreSQL takes no COPY where row-level security holds for the role.
        let secured = "select coalesce(row_security_active(to_regclass($1)), false), \
                       coalesce(row_security_active(to_regclass($2)), false)";
        let secured = client
            .query_one(secured, &[&names.profiles, &names.transactions])
            .await
            .context("target: asking for row-level security")?;
        let identity = identity(lasting, [&profile, &transaction, &enrollment]);
        let begin = match deferrable {
            Some(names) => format!("begin; set constraints {names} immediate"),
            None => "begin".to_owned(),
        };
        Ok(Self {
            begin,
            write_profiles: statements::write_profiles(&names.profiles, &profile)?,
            write_transactions: statements::write_transactions(&names.transactions, &transaction)?,
            update_profiles: statements::update_profiles(&names.profiles, &profile)?,
            update_transactions: statements::update_transactions(
                &names.transactions,
                &transaction,
            )?,
            systemeio_type: type_of(&profile, "systemeio_id"),
            email_type: type_of(&profile, "email"),
            enrollment_status_type: type_of(&enrollment, "status"),
            profiles_by_copy: !secured.get::<_, bool>(0)
                && !creates_auth_users
                && !profile.get("tags").is_some_and(|kind| kind.starts_with("json")),
            transactions_by_copy: !secured.get::<_, bool>(1),
            insert_profiles: statements::insert_profiles(&names.profiles, &profile)?,
            insert_transactions: statements::insert_transactions(
                &names.transactions,
                &transaction,
            )?,
            identity,
            write_enrollments: statements::write_enrollments(&names.enrollments, &enrollment)?,
            amount_keeps: Keeps::of(transaction.get("amount")),
            fee_keeps: Keeps::of(transaction.get("payment_provider_fee")),
            link_auth_users,
            auth_users,
            create_auth_users,
            creates_auth_users,
            profile_ids,
            transactions_by_provider: statements::transactions_by_provider(
                &names.transactions,
                &transaction,
            ),
            needs_auth_user: auth.get(1),
            names,
        })
    }
}

/// The digest's seed: the tables by name and the types of the columns that are written (the application may add others).
fn identity(target: &Target, types: [&HashMap<String, String>; 3]) -> Uuid {
    let [profiles, transactions, enrollments] =
        [&target.profiles, &target.transactions, &target.enrollments].map(TableName::quoted);
    let mut text = format!("{profiles} {transactions} {enrollments}");
    let written: [&[&str]; 3] = [&PROFILE, &TRANSACTION, &ENROLLMENT];
    for (types, written) in types.into_iter().zip(written) {
        for column in written {
            text.push_str(&format!("\n{column} {}", type_of(types, column)));
        }
        text.push('\n');
    }
    crate::digest::uuid_v5(&NAMESPACE, text.as_bytes())
}
