//! The schema of the daemon's own tables, `target.schema` (SPEC §10).
//!
//! Statements are written for the default name, `tributary.person`; [`Schema::of`] puts the configured one in its place
//! where a session sends them, so that no statement needs to know it.

use std::borrow::Cow;
use std::sync::Arc;

use super::quote_identifier;
use crate::rules::NAMESPACE;

/// The name that statements are written with, and the default.
const WRITTEN: &str = "tributary";

/// Most bytes of a name, so that what is derived from it fits in the 63 that a server keeps.
const LONGEST: usize = 48;

/// The name of the schema of the daemon's own tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    name: Arc<str>,
}

impl Default for Schema {
    fn default() -> Self {
        Self::named(WRITTEN)
    }
}

impl Schema {
    /// The schema of this name, which exists or was checked.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// The schema that an operator configured, or what is wrong with its name.
    ///
    /// # Errors
    /// What a name must be.
    pub fn configured(name: &str) -> Result<Self, String> {
        if name.is_empty() || name.len() > LONGEST {
            return Err(format!("a schema's name has 1 to {LONGEST} bytes"));
        }
        if name.contains(['\'', '"', '\\', '$']) || name.chars().any(char::is_control) {
            return Err(
                "a schema's name has no quote, backslash, $ or control character".to_owned()
            );
        }
        if name.starts_with("pg_") || ["information_schema", "public", "auth"].contains(&name) {
            return Err(format!("{name} is for others: name a schema of the daemon's own"));
        }
        Ok(Self::named(name))
    }

    /// The name as it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        quote_identifier(&self.name)
    }

    /// The default name of slot and publication: of a-z, 0-9 and `_`, as a slot's must be.
    #[must_use]
    pub fn identifier(&self) -> String {
        let byte = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        self.name.chars().map(byte).collect()
    }

    /// The channel on which operators wake the daemon.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{}_command", self.name)
    }

    /// The advisory lock of this schema for a purpose: those of two installations in one database differ.
    #[must_use]
    pub fn lock(&self, purpose: i64) -> i64 {
        if &*self.name == WRITTEN {
            return purpose;
        }
        let digest =
            crate::digest::uuid_v5(&NAMESPACE, format!("{purpose} {}", self.name).as_bytes());
        digest.as_u64_pair().0.cast_signed()
    }

    /// A statement that is written for the default name, for this schema.
    #[must_use]
    pub fn of<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        if &*self.name == WRITTEN || !sql.contains(WRITTEN) {
            return Cow::Borrowed(sql);
        }
        let named =
            sql.replace("nspname = 'tributary'", &format!("nspname = '{}'", self.name)).replace(
                "to_regnamespace('tributary')",
                &format!("to_regnamespace('{}')", self.quoted()),
            );
        Cow::Owned(self.qualified(&named))
    }

    /// Every `tributary.` that qualifies a name, in code and in texts such as those of `to_regclass`.
    fn qualified(&self, sql: &str) -> String {
        let quoted = self.quoted();
        let mut out = String::with_capacity(sql.len());
        let mut rest = sql;
        while let Some(at) = rest.find(WRITTEN) {
            let (before, found) = rest.split_at(at);
            let after = &found[WRITTEN.len()..];
            let joins = |c: char| c.is_alphanumeric() || "_\"@.$-/`".contains(c);
            // What stands before it is in `out` where two names follow each other.
            let joined =
                if before.is_empty() { out.ends_with(joins) } else { before.ends_with(joins) };
            let begins = !joined;
            let mut next = after.chars();
            let qualifies = next.next() == Some('.')
                && next.next().is_some_and(|c| c.is_ascii_lowercase() || "\"'".contains(c));
            out.push_str(before);
            out.push_str(if begins && qualifies { &quoted } else { WRITTEN });
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_sent_for_the_configured_schema_spec_10() {
        let other = Schema::named("Trib-2");
        let check = |sql: &str, expected: &str| assert_eq!(other.of(sql), expected);
        check(
            "select a from tributary.person o,tributary.state where x = 'tributary' and k = 'a@tributary.invalid'",
            "select a from \"Trib-2\".person o,\"Trib-2\".state where x = 'tributary' and k = 'a@tributary.invalid'",
        );
        check("select to_regclass('tributary.state')", "select to_regclass('\"Trib-2\".state')");
        check("to_regclass('tributary.' || $1)", "to_regclass('\"Trib-2\".' || $1)");
        check("tributary.a", "\"Trib-2\".a");
        check("tributarytributary.a", "tributarytributary.a");
        check(
            "from mytributary.a join tributary_open_row",
            "from mytributary.a join tributary_open_row",
        );
        check("n.nspname = 'tributary'", "n.nspname = 'Trib-2'");
        check("to_regnamespace('tributary')", "to_regnamespace('\"Trib-2\"')");
        check("select \"tributary\".\"x\"", "select \"tributary\".\"x\"");
        check("end. tributary. Next", "end. tributary. Next");
        let default = Schema::default();
        assert_eq!(default.of("select tributary.fence(1)"), "select tributary.fence(1)");
    }

    #[test]
    fn names_derived_from_a_schema_are_its_own() {
        let (default, other) = (Schema::default(), Schema::named("Trib-2"));
        assert_eq!(
            (default.identifier(), other.identifier()),
            ("tributary".into(), "trib_2".into())
        );
        assert_eq!((default.lock(7), default.channel()), (7, "tributary_command".to_owned()));
        assert_ne!(other.lock(7), 7);
        assert_ne!(other.lock(7), other.lock(8));
        assert_ne!(other.lock(7), Schema::named("trib-2").lock(7));
    }

    #[test]
    fn a_schema_that_is_not_the_daemons_own_is_refused() {
        for name in ["", "pg_temp", "public", "a'b", "a\"b", "information_schema", "a\nb"] {
            assert!(Schema::configured(name).is_err(), "{name}");
        }
        assert!(Schema::configured(&"x".repeat(49)).is_err());
        assert_eq!(Schema::configured("Trib-2").unwrap().name(), "Trib-2");
    }
}
