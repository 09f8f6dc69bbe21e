//! The statements of each kind of change, for both layouts. Rows are found by their number, since a row is
//! a pure function of it; a row that is gone or has another key by now is simply not found.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use crate::people::{Population, Values};
use crate::random::Random;
use crate::source_schema::SourceLayout;

/// Length of a description that is stored out of line (TOAST).
const LONG_DESCRIPTION: usize = 100_000;

/// Share of changes that go to a row which the same connection inserted.
const OWN_ROW: f64 = 0.2;

/// One kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    InsertContact,
    InsertPayment,
    UpdateContact,
    UpdatePayment,
    /// A column that no rule reads, or a value that is what it was.
    Uninteresting,
    /// The sync job's visit: `sync_timestamp` alone.
    SyncTimestamp,
    DeleteContact,
    DeletePayment,
    NewKey,
    EmailToNew,
    EmailToExisting,
    EmailBack,
    PayersEmail,
    LongDescription,
    /// Two contacts exchange their contact_id, or their e-mail.
    Swap,
    /// A row is deleted and inserted again under its key.
    Replace,
}

impl Change {
    pub(super) const ALL: [Self; 16] = [
        Self::InsertContact,
        Self::InsertPayment,
        Self::UpdateContact,
        Self::UpdatePayment,
        Self::Uninteresting,
        Self::SyncTimestamp,
        Self::DeleteContact,
        Self::DeletePayment,
        Self::NewKey,
        Self::EmailToNew,
        Self::EmailToExisting,
        Self::EmailBack,
        Self::PayersEmail,
        Self::LongDescription,
        Self::Swap,
        Self::Replace,
    ];

    /// A random kind: mostly inserts and updates, as in production.
    pub(super) fn pick(random: &mut Random) -> Self {
        let usual =
            [Self::InsertContact, Self::InsertPayment, Self::UpdateContact, Self::UpdatePayment];
        if random.chance(0.4) { random.pick(&usual) } else { random.pick(&Self::ALL) }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InsertContact => "contact inserted",
            Self::InsertPayment => "payment inserted",
            Self::UpdateContact => "contact updated",
            Self::UpdatePayment => "payment updated",
            Self::Uninteresting => "nothing of interest updated",
            Self::SyncTimestamp => "sync_timestamp updated",
            Self::DeleteContact => "contact deleted",
            Self::DeletePayment => "payment deleted",
            Self::NewKey => "key changed",
            Self::EmailToNew => "e-mail changed to a new one",
            Self::EmailToExisting => "e-mail changed to another person's",
            Self::EmailBack => "e-mail changed back",
            Self::PayersEmail => "payer's e-mail changed",
            Self::LongDescription => "description of 100 kB",
            Self::Swap => "values of two contacts swapped",
            Self::Replace => "row deleted and inserted again",
        }
    }
}

/// Writes the statements of one connection.
pub(super) struct Author {
    pub(super) layout: SourceLayout,
    pub(super) population: Population,
    pub(super) contacts: u64,
    pub(super) payments: u64,
    /// Number of the first row that this connection inserts.
    pub(super) first_own: u64,
    pub(super) own_contacts: u64,
    pub(super) own_payments: u64,
    /// New addresses given so far.
    pub(super) addresses: u64,
}

impl Author {
    pub(super) fn statements(&mut self, change: Change, random: &mut Random) -> Vec<String> {
        let contact = self.contact(random);
        let payment = self.payment(random);
        let legacy = self.layout == SourceLayout::Legacy;
        let one = match change {
            Change::InsertContact => {
                self.own_contacts += 1;
                self.insert_contact(self.first_own + self.own_contacts - 1)
            }
            Change::InsertPayment => {
                self.own_payments += 1;
                self.insert_payment(self.first_own + self.own_payments - 1)
            }
            Change::UpdateContact => self.update_contact(contact, random),
            Change::UpdatePayment => self.update_payment(payment, random),
            Change::Uninteresting if legacy => self.set_payment(payment, "Bank Name", "Made-up"),
            Change::Uninteresting => self.set_contact(contact, "address_line2", "Made-up Street"),
            Change::SyncTimestamp => self.sync_timestamp(contact, payment, random),
            Change::DeleteContact => format!("delete from systemeio {}", self.of_contact(contact)),
            Change::DeletePayment => format!("delete from xendit {}", self.of_payment(payment)),
            Change::NewKey => self.key_change(contact, payment, random),
            Change::EmailToNew | Change::EmailToExisting | Change::EmailBack => {
                let address = self.new_email(change, contact, random);
                self.set_contact(contact, self.columns().email, &address)
            }
            Change::PayersEmail => {
                let address = self.population.address(random.next());
                self.set_payment(payment, self.columns().payer, &address)
            }
            Change::LongDescription => {
                let text = format!("Papers to Profits {}", random.incompressible(LONG_DESCRIPTION));
                self.set_payment(payment, self.columns().description, &text)
            }
            Change::Swap => self.swap(contact, self.contact(random), random),
            Change::Replace => return self.replace(contact, payment, random),
        };
        vec![one]
    }

    fn contact(&self, random: &mut Random) -> u64 {
        let own = self.own_contacts > 0 && random.chance(OWN_ROW);
        if own {
            self.first_own + random.below(self.own_contacts)
        } else {
            random.below(self.contacts)
        }
    }

    fn payment(&self, random: &mut Random) -> u64 {
        let own = self.own_payments > 0 && random.chance(OWN_ROW);
        if own {
            self.first_own + random.below(self.own_payments)
        } else {
            random.below(self.payments)
        }
    }

    fn columns(&self) -> &'static Columns {
        match self.layout {
            SourceLayout::Canonical => &CANONICAL,
            SourceLayout::Legacy => &LEGACY,
        }
    }

    /// The condition that finds a contact. A legacy contact is found by its registration, unique to the
    /// microsecond, since its e-mail, the other half of the key, changes.
    fn of_contact(&self, number: u64) -> String {
        let row = self.population.contact(number);
        match self.layout {
            SourceLayout::Canonical => format!("where id = '{}'", row.id),
            SourceLayout::Legacy => format!("where \"Date Registered\" = '{}'", row.created_at),
        }
    }

    fn of_payment(&self, number: u64) -> String {
        let row = self.population.payment(number);
        match self.layout {
            SourceLayout::Canonical => format!("where id = '{}'", row.id),
            SourceLayout::Legacy => {
                format!("where \"External ID\" = {}", escape_literal(&row.invoice))
            }
        }
    }

    fn set_contact(&self, number: u64, column: &str, value: &str) -> String {
        let (column, condition) = (escape_identifier(column), self.of_contact(number));
        format!("update systemeio set {column} = {} {condition}", escape_literal(value))
    }

    fn set_payment(&self, number: u64, column: &str, value: &str) -> String {
        let (column, condition) = (escape_identifier(column), self.of_payment(number));
        format!("update xendit set {column} = {} {condition}", escape_literal(value))
    }

    fn insert_contact(&self, number: u64) -> String {
        let values = self.population.contact(number).values(self.layout);
        insert("systemeio", self.layout.contact_columns(), &values)
    }

    fn insert_payment(&self, number: u64) -> String {
        let values = self.population.payment(number).values(self.layout);
        insert("xendit", self.layout.payment_columns(), &values)
    }

    fn update_contact(&self, number: u64, random: &mut Random) -> String {
        let (first, last) = self.population.name(random.next());
        match random.below(3) {
            0 => self.set_contact(number, self.columns().first_name, first),
            1 => self.set_contact(number, self.columns().last_name, &last.to_uppercase()),
            _ => {
                let tags = random.pick(&["PaidP2P, canva", "[\"PaidCanva\"]", "", "Newsletter"]);
                self.set_contact(number, self.columns().tags, tags)
            }
        }
    }

    fn update_payment(&self, number: u64, random: &mut Random) -> String {
        match random.below(3) {
            0 => {
                let amount = random.pick(&["499", "1999", "0", "250"]);
                self.set_payment(number, self.columns().amount, amount)
            }
            1 => {
                let paid = random.pick(&["2025-06-30T04:00:00Z", "6/5/2025 12:02", "soon"]);
                self.set_payment(number, self.columns().paid_at, paid)
            }
            _ => {
                let status = random.pick(&["PAID", "Settled", "REFUNDED", "expired", "mystery"]);
                self.set_payment(number, self.columns().status, status)
            }
        }
    }

    /// The legacy tables have no sync_timestamp: there a value is written over itself.
    fn sync_timestamp(&self, contact: u64, payment: u64, random: &mut Random) -> String {
        let of_contact = random.chance(0.5);
        let (table, condition) = if of_contact {
            ("systemeio", self.of_contact(contact))
        } else {
            ("xendit", self.of_payment(payment))
        };
        match self.layout {
            SourceLayout::Canonical => {
                format!("update {table} set sync_timestamp = clock_timestamp() {condition}")
            }
            SourceLayout::Legacy => {
                let column = if of_contact { self.columns().tags } else { self.columns().status };
                let column = escape_identifier(column);
                format!("update {table} set {column} = {column} {condition}")
            }
        }
    }

    fn key_change(&self, contact: u64, payment: u64, random: &mut Random) -> String {
        let key = format!("{:032x}", u128::from(random.next()) << 64 | u128::from(random.next()));
        match self.layout {
            SourceLayout::Canonical if random.chance(0.5) => self.set_contact(contact, "id", &key),
            SourceLayout::Canonical => self.set_payment(payment, "id", &key),
            SourceLayout::Legacy => self.set_payment(payment, "External ID", &key),
        }
    }

    fn new_email(&mut self, change: Change, contact: u64, random: &mut Random) -> String {
        match change {
            Change::EmailToNew => {
                self.addresses += 1;
                format!("new.{}.{}@example.com", self.first_own, self.addresses)
            }
            Change::EmailToExisting => self.population.address(random.next()).to_uppercase(),
            _ => self.population.contact(contact).email.unwrap_or_default(),
        }
    }

    /// One statement, so that a unique value is in both rows for no moment that anybody sees.
    fn swap(&self, one: u64, other: u64, random: &mut Random) -> String {
        let legacy = self.layout == SourceLayout::Legacy;
        let column = if legacy || random.chance(0.5) { self.columns().email } else { "contact_id" };
        let column = escape_identifier(column);
        let (one, other) = (self.of_contact(one), self.of_contact(other));
        let other_condition = other.trim_start_matches("where ");
        format!(
            "update systemeio as s set {column} = coalesce(o.{column}, '') from systemeio as o
             where s.ctid <> o.ctid and s.ctid in (select ctid from systemeio {one} or {other_condition})
             and o.ctid in (select ctid from systemeio {one} or {other_condition})"
        )
    }

    fn replace(&self, contact: u64, payment: u64, random: &mut Random) -> Vec<String> {
        if random.chance(0.5) {
            let delete = format!("delete from systemeio {}", self.of_contact(contact));
            vec![delete, self.insert_contact(contact)]
        } else {
            let delete = format!("delete from xendit {}", self.of_payment(payment));
            vec![delete, self.insert_payment(payment)]
        }
    }
}

/// What the changed columns are called.
struct Columns {
    email: &'static str,
    first_name: &'static str,
    last_name: &'static str,
    tags: &'static str,
    payer: &'static str,
    description: &'static str,
    status: &'static str,
    amount: &'static str,
    paid_at: &'static str,
}

const CANONICAL: Columns = Columns {
    email: "email",
    first_name: "first_name",
    last_name: "last_name",
    tags: "tags",
    payer: "customer_email",
    description: "description",
    status: "status",
    amount: "amount",
    paid_at: "paid_at",
};

const LEGACY: Columns = Columns {
    email: "Email",
    first_name: "First name",
    last_name: "Last name",
    tags: "Tag",
    payer: "Customer Email",
    description: "Description",
    status: "Status",
    amount: "Amount",
    paid_at: "Paid Timestamp",
};

fn insert(table: &str, columns: &[&str], values: &Values) -> String {
    let columns: Vec<String> = columns.iter().map(|name| escape_identifier(name)).collect();
    let values: Vec<String> =
        values.iter().map(|value| value.as_deref().map_or("null".into(), escape_literal)).collect();
    format!("insert into {table} ({}) values ({})", columns.join(", "), values.join(", "))
}
