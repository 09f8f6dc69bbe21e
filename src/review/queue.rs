//! The review queue in pages: filters, orders, and the next page by the last row of the one before.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::query::Stored;
use crate::error::Result;
use crate::facts::email_key;
use crate::pg::Db;
use crate::unify::{ConflictKind, Severity, fingerprint};

/// Conflicts on a page.
pub(crate) const PAGE: usize = 50;
/// A count of what matches goes no further.
pub(crate) const COUNTED: i64 = 10_000;

const WHAT: &str = "target: reading conflicts";

/// Fields that a subject may name beside the row.
const TIMES: [&str; 7] =
    ["created", "updated", "paid_at", "settled_at", "created_at", "updated_at", "sync_timestamp"];

/// Which conflicts are in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Status {
    /// Open ones.
    #[default]
    Open,
    /// Those that were put aside.
    Dismissed,
    /// Closed ones.
    Resolved,
}

impl Status {
    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Dismissed => "dismissed",
            Self::Resolved => "resolved",
        }
    }
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those first that wait longest.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
    /// The most money first.
    Amount,
}

impl Order {
    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Oldest => "oldest",
            Self::Newest => "newest",
            Self::Amount => "amount",
        }
    }

    fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Oldest | Self::Newest => ("first_seen_at", "timestamptz"),
            Self::Amount => ("amount", "numeric"),
        }
    }
}

/// What conflicts are about, as somebody typed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum About {
    /// Anything.
    #[default]
    Anything,
    /// Nothing at all.
    Nothing,
    /// The conflict with this number.
    Number(i64),
    /// A person.
    Person(String),
    /// Exactly this subject, or a field of that row.
    Subject(String),
    /// Subjects that hold this text; its ASCII letters in lower case.
    Part(String),
}

impl About {
    /// What a text means.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::Anything;
        }
        if let Ok(number) = text.parse() {
            return Self::Number(number);
        }
        match email_key(text).0 {
            Ok(key) => Self::Person(key.to_string()),
            Err(_) if text.contains(':') => Self::Subject(text.to_owned()),
            Err(_) => Self::Part(text.to_ascii_lowercase()),
        }
    }
}

/// Everything that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) status: Status,
    pub(crate) severity: Severity,
    pub(crate) kind: Option<ConflictKind>,
    pub(crate) feed: Option<String>,
    /// First seen so many days ago, or earlier.
    pub(crate) days: Option<i32>,
    /// At least so much money.
    pub(crate) amount: Option<Decimal>,
    pub(crate) about: About,
    pub(crate) order: Order,
}

impl Filter {
    /// Whether it says nothing beside severity and kind of open conflicts, which are counted for all pages.
    pub(crate) fn is_of_kind_alone(&self) -> bool {
        let Self { status, severity, kind, order, .. } = self;
        let (status, severity, kind, order) = (*status, *severity, *kind, *order);
        *self == Self { status, severity, kind, order, ..Self::default() } && status == Status::Open
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            status: Status::Open,
            severity: Severity::Review,
            kind: None,
            feed: None,
            days: None,
            amount: None,
            about: About::Anything,
            order: Order::Oldest,
        }
    }
}

/// The place of a conflict in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its value: the instant or the amount.
    pub(crate) value: String,
    pub(crate) id: i64,
}

impl Place {
    /// As it stands in an address.
    pub(crate) fn encoded(&self) -> String {
        format!("{}_{}", self.value, self.id)
    }

    /// Reads what [`Place::encoded`] wrote for this order.
    pub(crate) fn parse(text: &str, order: Order) -> Option<Self> {
        let (value, id) = text.rsplit_once('_')?;
        let id = id.parse().ok()?;
        let is_value = match order {
            Order::Amount => value.parse::<Decimal>().is_ok(),
            Order::Oldest | Order::Newest => value.parse::<Timestamp>().is_ok(),
        };
        is_value.then(|| Self { value: value.to_owned(), id })
    }
}

/// A conflict in the queue.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) conflict: Stored,
    pub(crate) amount: Decimal,
}

impl Entry {
    fn of(row: &Row) -> Self {
        let amount = row.get::<_, &str>("amount").parse().unwrap_or_default();
        Self { conflict: Stored::of(row), amount }
    }

    /// Where it stands.
    pub(crate) fn place(&self, order: Order) -> Place {
        let value = match order {
            Order::Amount => self.amount.to_string(),
            Order::Oldest | Order::Newest => self.conflict.first_seen_at.to_string(),
        };
        Place { value, id: self.conflict.id }
    }
}

/// A condition with its parameters. Words of our own are written into it, so that the planner sees which index holds.
struct Where {
    sql: String,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Where {
    fn of(filter: &Filter) -> Self {
        let (status, severity) = (filter.status.as_str(), filter.severity.as_str());
        let sql = format!("k.status = '{status}' and k.severity = '{severity}'");
        let mut built = Self { sql, params: Vec::new() };
        if let Some(kind) = filter.kind {
            built.sql.push_str(&format!(" and k.kind = '{kind}'"));
        }
        if let Some(feed) = &filter.feed {
            built.and("k.feed = $", Box::new(feed.clone()));
        }
        if let Some(days) = filter.days {
            built.and("k.first_seen_at < now() - make_interval(days => $)", Box::new(days));
        }
        if let Some(amount) = filter.amount {
            built.and("k.amount >= $::text::numeric", Box::new(amount.to_string()));
        }
        match &filter.about {
            About::Anything => {}
            About::Nothing => built.sql.push_str(" and false"),
            About::Number(id) => built.and("k.id = $", Box::new(*id)),
            About::Person(key) => built.about_person(key, filter.status),
            About::Subject(subject) => {
                built.and("k.fingerprint = any($)", Box::new(fingerprints(subject)));
            }
            About::Part(part) => {
                // Of ASCII letters alone: in the language of the database it takes ten times as long.
                built.and("strpos(lower(k.subject collate \"C\"), $) > 0", Box::new(part.clone()));
            }
        }
        built
    }

    /// Adds a condition with one parameter, `$`.
    fn and(&mut self, condition: &str, param: Box<dyn ToSql + Sync + Send>) {
        self.params.push(param);
        let number = format!("${}", self.params.len());
        self.sql.push_str(&format!(" and {}", condition.replacen('$', &number, 1)));
    }

    /// The units that conflicts of a person are judged from have indexes, while these are not resolved.
    fn about_person(&mut self, key: &str, status: Status) {
        let scopes: Vec<String> =
            ["owner", "pair", "collision", "with"].map(|word| format!("{word}:{key}")).into();
        let number = self.params.len() + 1;
        let unresolved =
            if status == Status::Resolved { "" } else { "k.status <> 'resolved' and " };
        self.sql.push_str(&format!(
            " and {unresolved}(k.scope = any(${number}) or k.also is not null and k.also = any(${number}))"
        ));
        self.params.push(Box::new(scopes));
    }

    /// Only what comes after a place.
    fn after(&mut self, place: &Place, order: Order, comes: &str) {
        let (column, kind) = order.column();
        let (value, id) = (self.params.len() + 1, self.params.len() + 2);
        self.params.push(Box::new(place.value.clone()));
        self.params.push(Box::new(place.id));
        self.sql
            .push_str(&format!(" and (k.{column}, k.id) {comes} (${value}::text::{kind}, ${id})"));
    }

    async fn query(&self, db: &Db, sql: &str) -> Result<Vec<Row>> {
        let params: Vec<&(dyn ToSql + Sync)> =
            self.params.iter().map(|param| param.as_ref() as &(dyn ToSql + Sync)).collect();
        db.query(WHAT, sql, &params).await
    }
}

/// The identity of every conflict with this subject, or about a time of that row.
fn fingerprints(subject: &str) -> Vec<Uuid> {
    let of_times = TIMES
        .map(|field| fingerprint(ConflictKind::UnparsableTimestamp, &format!("{subject}#{field}")));
    let of_kinds = ConflictKind::ALL.into_iter().map(|kind| fingerprint(kind, subject));
    of_kinds.chain(of_times).collect()
}

/// Which way one reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// At most `limit` conflicts after (or before) a place, in the order of the filter.
pub(crate) async fn page(
    db: &Db,
    filter: &Filter,
    from: Option<&Place>,
    direction: Direction,
    limit: usize,
) -> Result<Vec<Entry>> {
    let mut condition = Where::of(filter);
    let ascends = (filter.order == Order::Oldest) == (direction == Direction::Forward);
    if let Some(place) = from {
        condition.after(place, filter.order, if ascends { ">" } else { "<" });
    }
    let (column, _) = filter.order.column();
    let way = if ascends { "asc" } else { "desc" };
    // Which match is found in the index alone, where it has what is asked for.
    let sql = format!(
        "select {}, k.amount::text as amount from ( \
             select k.id from tributary.conflict k where {} order by k.{column} {way}, k.id {way} limit {limit} \
         ) m join tributary.conflict k using (id) order by k.{column} {way}, k.id {way}",
        super::query::COLUMNS,
        condition.sql
    );
    let rows = condition.query(db, &sql).await?;
    let mut entries: Vec<Entry> = rows.iter().map(Entry::of).collect();
    if direction == Direction::Back {
        entries.reverse();
    }
    Ok(entries)
}

/// One conflict, whatever its state.
pub(crate) async fn entry(db: &Db, id: i64) -> Result<Option<Entry>> {
    let sql = format!(
        "select {}, k.amount::text as amount from tributary.conflict k where k.id = $1",
        super::query::COLUMNS
    );
    let rows = db.query(WHAT, &sql, &[&id]).await?;
    Ok(rows.first().map(Entry::of))
}

/// How many match, up to [`COUNTED`].
pub(crate) async fn matching(db: &Db, filter: &Filter) -> Result<i64> {
    let condition = Where::of(filter);
    let sql = format!(
        "select count(*) from (select from tributary.conflict k where {} limit {}) m",
        condition.sql,
        COUNTED + 1
    );
    let rows = condition.query(db, &sql).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_what_it_is() {
        let check = |text: &str, expected: About| assert_eq!(About::parse(text), expected);
        check("  ", About::Anything);
        check("17", About::Number(17));
        check("Maria@Example.com ", About::Person("maria@example.com".into()));
        check("xendit:1", About::Subject("xendit:1".into()));
        check("Gmail", About::Part("gmail".into()));
    }

    #[test]
    fn what_is_counted_for_all_pages_is_not_counted_again() {
        let kind = Some(ConflictKind::Underpaid);
        let of_kind = Filter { kind, order: Order::Amount, ..Filter::default() };
        assert!(of_kind.is_of_kind_alone() && Filter::default().is_of_kind_alone());
        let others = [
            Filter { status: Status::Dismissed, ..Filter::default() },
            Filter { days: Some(1), ..Filter::default() },
            Filter { about: About::Number(1), ..Filter::default() },
        ];
        assert!(others.iter().all(|filter| !filter.is_of_kind_alone()));
    }

    #[test]
    fn conditions_have_their_parameters_in_order() {
        let filter = Filter {
            kind: Some(ConflictKind::Underpaid),
            feed: Some("xendit".into()),
            days: Some(7),
            amount: Some(Decimal::ONE_HUNDRED),
            about: About::Person("a@example.com".into()),
            ..Filter::default()
        };
        let mut built = Where::of(&filter);
        built.after(&Place { value: "1".into(), id: 2 }, Order::Amount, "<");
        insta::assert_snapshot!(built.sql, @"k.status = 'open' and k.severity = 'review' and k.kind = 'underpaid' and k.feed = $1 and k.first_seen_at < now() - make_interval(days => $2) and k.amount >= $3::text::numeric and k.status <> 'resolved' and (k.scope = any($4) or k.also is not null and k.also = any($4)) and (k.amount, k.id) < ($5::text::numeric, $6)");
        assert_eq!(built.params.len(), 6);
    }

    #[test]
    fn a_place_that_does_not_fit_the_order_is_none() {
        let place = Place { value: "2025-06-30T04:00:00.5Z".into(), id: 7 };
        assert_eq!(Place::parse(&place.encoded(), Order::Newest), Some(place.clone()));
        assert_eq!(Place::parse(&place.encoded(), Order::Amount), None);
        assert_eq!(Place::parse("12.50_3", Order::Amount).map(|place| place.id), Some(3));
        assert_eq!(Place::parse("x", Order::Oldest), None);
    }
}
