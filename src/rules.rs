//! The business rules that the operator may change: products, tags, status words, zone, currency.
//!
//! A [`Rules`] value is plain data. It is read from the `[rules]` section of the configuration,
//! and passed into every pure function of [`crate::facts`] and [`crate::unify`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use uuid::Uuid;

/// Namespace of every UUIDv5 that Tributary derives (SPEC §4.1, §5.2). It never changes: target ids
/// depend on it.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x7472_6962_7574_5172_8000_6461_7461_0001);

/// How a slashed date with both parts at most 12 is read (SPEC §3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// `6/5/2025` is the fifth of June.
    #[default]
    MonthFirst,
    /// `6/5/2025` is the sixth of May.
    DayFirst,
}

/// A normalised payment status (SPEC §3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waiting to be paid.
    Pending,
    /// No rule knows the word, or there is none.
    Unknown,
    /// Refused by the bank or channel.
    Failed,
    /// Not paid in time.
    Expired,
    /// Taken back before money moved.
    Voided,
    /// Paid.
    Paid,
    /// Paid and transferred to the merchant.
    Settled,
    /// A part was paid back.
    PartiallyRefunded,
    /// All was paid back.
    Refunded,
    /// The bank took the money back.
    Chargeback,
}

impl Status {
    /// Every status, in declaration order.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Unknown,
        Self::Failed,
        Self::Expired,
        Self::Voided,
        Self::Paid,
        Self::Settled,
        Self::PartiallyRefunded,
        Self::Refunded,
        Self::Chargeback,
    ];

    /// The word stored in the target, such as `PARTIALLY_REFUNDED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Unknown => "UNKNOWN",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
            Self::Voided => "VOIDED",
            Self::Paid => "PAID",
            Self::Settled => "SETTLED",
            Self::PartiallyRefunded => "PARTIALLY_REFUNDED",
            Self::Refunded => "REFUNDED",
            Self::Chargeback => "CHARGEBACK",
        }
    }

    /// The inverse of [`Status::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Money is with the merchant: PAID, SETTLED, PARTIALLY_REFUNDED (SPEC §3.10).
    #[must_use]
    pub fn is_successful(self) -> bool {
        matches!(self, Self::Paid | Self::Settled | Self::PartiallyRefunded)
    }

    /// The words of the successful ones, for a query.
    #[must_use]
    pub fn successful() -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|status| status.is_successful()).map(Self::as_str).collect()
    }

    /// Money went back: REFUNDED, CHARGEBACK (SPEC §3.10).
    #[must_use]
    pub fn is_reversed(self) -> bool {
        matches!(self, Self::Refunded | Self::Chargeback)
    }

    /// The rank that decides between duplicate payments, higher first (SPEC §5.1).
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Pending | Self::Unknown => 0,
            Self::Failed | Self::Expired | Self::Voided => 1,
            Self::Paid => 2,
            Self::Settled => 3,
            Self::PartiallyRefunded => 4,
            Self::Refunded | Self::Chargeback => 5,
        }
    }
}

/// A product that payments are for (SPEC §3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Short stable name, such as `p2p`; also the slug of its course.
    pub code: String,
    /// Name shown to people, stored as `product_name`.
    pub name: String,
    /// Stored as `product_id`; the id of its course when [`Product::course`] holds.
    pub id: Uuid,
    /// Stored as `product_type`, such as `course` or `ebook`.
    pub kind: String,
    /// Phrases whose occurrence as whole words in a description means this product.
    pub phrases: Vec<String>,
    /// Whether a payment opens an enrollment.
    pub course: bool,
    /// Length of an access period in days; `None` is lifetime.
    pub access_days: Option<u32>,
    /// The contact tag that says the person has the product.
    pub tag: Option<String>,
}

/// A pattern of e-mail addresses, such as `*@test.example`: `*` is any text, `?` one character (SPEC §1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailPattern(String);

impl EmailPattern {
    /// A pattern as it is written; case does not count.
    #[must_use]
    pub fn new(written: &str) -> Self {
        Self(written.trim().to_lowercase())
    }

    /// The pattern in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches an e-mail key as a whole. Takes no more steps than the product of both lengths.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), key.chars());
        // Where to go on after the last star, with one character more of the key taken by it.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let at = rest.clone();
            let matched = match (pattern.next(), rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((pattern.clone(), at.clone()));
                    rest = at;
                    continue;
                }
                (Some('?'), Some(_)) => true,
                (Some(wanted), Some(found)) => wanted == found,
                _ => false,
            };
            if matched {
                continue;
            }
            let Some((after_star, mut from)) = retry.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            (pattern, rest) = (after_star.clone(), from.clone());
            retry = Some((after_star, from));
        }
    }
}

/// Which people become profiles. Empty is everybody (SPEC §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileFilter {
    /// Profiles are only for people with one of these tags (ignoring case), if any is named.
    pub tags: Vec<String>,
    /// A person with any payment becomes a profile too, whatever their tags.
    pub or_payment: bool,
}

/// Which payments become transactions. `None` is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionFilter {
    /// Only these statuses.
    pub statuses: Option<Vec<Status>>,
    /// Only payments whose product (by code) is one of these.
    pub products: Option<Vec<String>>,
}

/// All rules of the data that are configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Zone of local dates, quarters and cohorts, and of times without one (SPEC §3.7).
    pub zone: TimeZone,
    /// The currency of the business, uppercase (SPEC §3.9).
    pub currency: String,
    /// Reading of ambiguous slashed dates.
    pub date_order: DateOrder,
    /// First month of the fiscal year, 1 to 12 (SPEC §5.2).
    pub fiscal_year_start_month: u8,
    /// Preferred spellings of tags (SPEC §3.6).
    pub known_tags: Vec<String>,
    /// Products in configuration order.
    pub products: Vec<Product>,
    /// Status words, cleaned, case-folded, with `_` for spaces and `-` (SPEC §3.10).
    pub status_words: BTreeMap<String, Status>,
    /// Which people become profiles.
    pub profiles: ProfileFilter,
    /// Which payments become transactions.
    pub transactions: TransactionFilter,
    /// Addresses whose rows give no fact (SPEC §1).
    pub exclude: Vec<EmailPattern>,
}

/// The time zones in the binary: what a text means must not depend on the host's files.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone with this IANA name, in any case.
#[must_use]
pub fn time_zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// The names of all zones.
#[must_use]
pub fn time_zones() -> Vec<String> {
    ZONES.available().map(|zone| zone.to_string()).collect()
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            zone: time_zone("Asia/Manila").unwrap_or(TimeZone::UTC),
            currency: "PHP".into(),
            date_order: DateOrder::MonthFirst,
            fiscal_year_start_month: 1,
            known_tags: [
                "PaidP2P",
                "PaidCanva",
                "Canva",
                "FBInviteSent",
                "InvitedtoCourse",
                "Imported",
            ]
            .map(String::from)
            .to_vec(),
            products: default_products(),
            status_words: default_status_words(),
            profiles: ProfileFilter::default(),
            transactions: TransactionFilter::default(),
            exclude: Vec::new(),
        }
    }
}

impl Rules {
    /// The pattern that excludes an e-mail key, if any.
    #[must_use]
    pub fn excludes(&self, key: &str) -> Option<&EmailPattern> {
        self.exclude.iter().find(|pattern| pattern.matches(key))
    }

    /// The product with this code.
    #[must_use]
    pub fn product(&self, code: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.code == code)
    }
}

/// The two products of SPEC §3.11, with ids derived from their codes.
fn default_products() -> Vec<Product> {
    let product = |code: &str, name: &str, kind: &str, phrases: &[&str], tag: &str| Product {
        code: code.into(),
        name: name.into(),
        id: default_product_id(code),
        kind: kind.into(),
        phrases: phrases.iter().map(|p| (*p).to_owned()).collect(),
        course: kind == "course",
        access_days: (kind == "course").then_some(365),
        tag: Some(tag.into()),
    };
    let course = ["papers to profits", "papers to profit", "p2p"];
    let ebook = ["canva ebook", "canva e book", "canva"];
    vec![
        product("p2p", "Papers to Profits", "course", &course, "PaidP2P"),
        product("canva", "Canva Ebook", "ebook", &ebook, "PaidCanva"),
    ]
}

/// The id of a product for which the configuration names none.
#[must_use]
pub fn default_product_id(code: &str) -> Uuid {
    crate::digest::uuid_v5(&NAMESPACE, format!("product:{code}").as_bytes())
}

/// The words of SPEC §3.10.
#[must_use]
pub fn default_status_words() -> BTreeMap<String, Status> {
    let words: [(Status, &[&str]); 9] = [
        (Status::Paid, &["paid", "completed", "complete", "success", "successful", "succeeded"]),
        (Status::Settled, &["settled"]),
        (Status::Pending, &["pending", "unpaid", "active"]),
        (Status::Expired, &["expired", "stopped", "inactive"]),
        (Status::Failed, &["failed"]),
        (Status::Refunded, &["refunded"]),
        (Status::PartiallyRefunded, &["partially_refunded"]),
        (Status::Voided, &["voided", "void", "cancelled", "canceled", "reversed"]),
        (Status::Chargeback, &["chargeback", "charged_back"]),
    ];
    words
        .into_iter()
        .flat_map(|(status, words)| words.iter().map(move |word| ((*word).to_owned(), status)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_addresses_spec_1() {
        let check = |pattern: &str, key: &str, expected: bool| {
            assert_eq!(EmailPattern::new(pattern).matches(key), expected, "{pattern} {key}");
        };
        check("*@Test.example", "ana@test.example", true);
        check("*@test.example", "ana@test.example.ph", false);
        check("*@test.example", "@test.example", true);
        check("test+*@*", "test+1@gmail.com", true);
        check("test+*@*", "atest+1@gmail.com", false);
        check("ana@example.com", "ana@example.com", true);
        check("ana@example.com", "ana@example.co", false);
        check("a?a@example.com", "aña@example.com", true);
        check("a?a@example.com", "aa@example.com", false);
        check("*", "anything", true);
        check("", "", true);
        check("", "a", false);
        check("*a*b*c", "xxaxxbxxbxxc", true);
        check("*a*b*c", "xxaxxbxxbxx", false);
        check(&"*a".repeat(30), &"a".repeat(5_000), true);
        check(&format!("{}b", "*a".repeat(30)), &"a".repeat(5_000), false);
    }
}
