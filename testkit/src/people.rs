//! Made-up customers: every row is a pure function of the seed and its number, so a test can insert,
//! find and change a row without remembering it.

use jiff::Timestamp;
use uuid::{Builder, Uuid};

use crate::dirt::{self, DirtRates};
use crate::random::Random;
use crate::source_schema::SourceLayout;

/// One value a column; `None` is NULL.
pub type Values = Vec<Option<String>>;

/// 2024-01-01T00:00:00Z: no made-up event is earlier.
const EPOCH_SECONDS: i64 = 1_704_067_200;

/// Two years: no made-up event is later than this after the first.
const SPAN_SECONDS: u64 = 2 * 365 * 86_400;

const FIRST_NAMES: [&str; 16] = [
    "Althea",
    "Bayani",
    "Corazon",
    "Dalisay",
    "Efren",
    "Florante",
    "Ligaya",
    "Honorio",
    "Imelda",
    "Joselito",
    "Kidlat",
    "Luningning",
    "Ma. Teresa",
    "Niño",
    "Rosario",
    "Tala",
];

const LAST_NAMES: [&str; 16] = [
    "Abad",
    "Bautista",
    "Catacutan",
    "Dela Cruz",
    "Del Rosario",
    "Espiña",
    "de los Santos",
    "Guinto",
    "Ibañez",
    "Lacsamana",
    "Magbanua",
    "Nuñez",
    "Peña-Reyes",
    "Quiambao",
    "Santos",
    "Tolentino",
];

const TAGS: [&str; 8] = [
    "PaidP2P",
    "paidp2p",
    "PaidCanva",
    "Canva",
    "FBInviteSent",
    "InvitedtoCourse",
    "Imported",
    "Newsletter",
];

/// One contact row, by logical field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRow {
    /// Primary key of the canonical layout.
    pub id: Uuid,
    /// May be shared by mistake.
    pub contact_id: Option<String>,
    /// May be damaged or missing.
    pub email: Option<String>,
    /// May be damaged or missing.
    pub first_name: Option<String>,
    /// May be damaged or missing.
    pub last_name: Option<String>,
    /// In any spelling.
    pub phone: Option<String>,
    /// Comma-separated or JSON.
    pub tags: Option<String>,
    /// Unique to the microsecond: part of the legacy key.
    pub created_at: Timestamp,
    /// After created_at.
    pub updated_at: Option<Timestamp>,
}

/// One payment row, by logical field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRow {
    /// Primary key of the canonical layout.
    pub id: Uuid,
    /// Primary key of the legacy layout, where it is always unique.
    pub invoice: String,
    /// May be shared by several rows.
    pub external_id: Option<String>,
    /// The same for webhook retries.
    pub payment_id: Option<String>,
    /// In any case and spelling.
    pub status: Option<String>,
    /// Such as `EWALLET`.
    pub payment_method: String,
    /// A numeric literal.
    pub amount: Option<String>,
    /// A numeric literal.
    pub fees: Option<String>,
    /// As typed.
    pub customer_name: Option<String>,
    /// May be damaged or missing.
    pub customer_email: Option<String>,
    /// In any spelling.
    pub customer_phone: Option<String>,
    /// Names no, one or two products.
    pub description: Option<String>,
    /// In any form.
    pub created: Option<String>,
    /// In any form.
    pub updated: Option<String>,
    /// In any form.
    pub paid_at: Option<String>,
    /// In any form.
    pub settled_at: Option<String>,
    /// Mostly PHP.
    pub currency: Option<String>,
    /// A numeric literal.
    pub paid_amount: Option<String>,
}

/// A population of made-up people.
#[derive(Debug, Clone)]
pub struct Population {
    /// Everything follows from it.
    pub seed: u64,
    /// How many people there are; rows beyond that number belong to the same people again.
    pub people: u64,
    /// How dirty their rows are.
    pub dirt: DirtRates,
}

/// One of the independent sequences of random numbers.
#[derive(Clone, Copy)]
enum Stream {
    Person = 1,
    Contact = 2,
    Payment = 3,
}

impl Population {
    /// The clean address of a person.
    #[must_use]
    pub fn address(&self, person: u64) -> String {
        let person = person % self.people.max(1);
        let mut random = self.random(Stream::Person, person);
        let ascii = |name: &str| -> String {
            name.to_lowercase().replace('ñ', "n").replace([' ', '.'], "")
        };
        if random.chance(self.dirt.duplicate) {
            let domain = random.pick(&["gmail.com", "gmial.com", "googlemail.com", "yahooo.com"]);
            return format!("dirt.{:04}@{domain}", person / 2);
        }
        let (first, last) = self.name(person);
        let domain = random.pick(&["example.com", "example.com", "example.ph", "mail.example.ph"]);
        format!("{}.{}{person}@{domain}", ascii(first), ascii(last))
    }

    /// The clean first and last name of a person.
    #[must_use]
    pub fn name(&self, person: u64) -> (&'static str, &'static str) {
        let mut random = self.random(Stream::Person, person % self.people.max(1));
        random.next();
        (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES))
    }

    /// The contact row with this number.
    #[must_use]
    pub fn contact(&self, number: u64) -> ContactRow {
        let mut random = self.random(Stream::Contact, number);
        let again = random.chance(self.dirt.duplicate);
        let person = if again { random.below(self.people) } else { number % self.people.max(1) };
        let (first, last) = self.name(person);
        let mut named = |name: &str| {
            if random.chance(self.dirt.name) {
                dirt::name(&mut random, name)
            } else {
                Some(name.to_owned())
            }
        };
        let (first_name, last_name) = (named(first), named(last));
        let created_at = instant(&mut random, number);
        let later = random.chance(0.8).then(|| plus(created_at, random.below(90 * 86_400)));
        let shared = random.chance(self.dirt.duplicate);
        let contact_number = if shared { random.below(50) } else { number + 1_000 };
        let phone_damaged = random.chance(self.dirt.phone);
        ContactRow {
            id: uuid(&mut random),
            contact_id: (!random.chance(0.01)).then(|| contact_number.to_string()),
            email: self.email(&mut random, person),
            first_name,
            last_name,
            phone: dirt::phone(&mut random, person, phone_damaged),
            tags: tags(&mut random),
            created_at,
            updated_at: later,
        }
    }

    /// The payment row with this number. A few repeat the payment before them, as a webhook that was
    /// delivered twice.
    #[must_use]
    pub fn payment(&self, number: u64) -> PaymentRow {
        let mut random = self.random(Stream::Payment, number);
        if number == 0 || !random.chance(self.dirt.duplicate) {
            return self.own_payment(number);
        }
        let before = self.own_payment(number - 1);
        let own = self.own_payment(number);
        let has_id = random.chance(0.7);
        PaymentRow {
            id: own.id,
            invoice: own.invoice,
            payment_id: before.payment_id.clone().filter(|_| has_id),
            status: if random.chance(0.5) { own.status } else { before.status.clone() },
            updated: own.updated,
            ..before
        }
    }

    fn own_payment(&self, number: u64) -> PaymentRow {
        let mut random = self.random(Stream::Payment, number);
        random.next();
        let person = random.below(self.people);
        let (amount, paid_amount) = self.amount(&mut random);
        let times = self.times(&mut random, number);
        let shared = random.chance(self.dirt.duplicate);
        let reference = if shared { random.below(50) } else { number + 1_000 };
        let phone_damaged = random.chance(self.dirt.phone);
        let [created, updated, paid_at, settled_at] = times;
        PaymentRow {
            id: uuid(&mut random),
            invoice: format!("made-up-{number:08}"),
            external_id: (!random.chance(0.02)).then(|| format!("inv-{reference}")),
            payment_id: (!random.chance(0.05)).then(|| format!("py-{number}")),
            status: self.status(&mut random),
            payment_method: random
                .pick(&["EWALLET", "ewallet", "BANK_TRANSFER", "CREDIT_CARD"])
                .into(),
            amount,
            fees: (!random.chance(0.1))
                .then(|| format!("{}.{:02}", random.below(60), random.below(100))),
            customer_name: self.customer_name(&mut random, person),
            customer_email: self.email(&mut random, person),
            customer_phone: dirt::phone(&mut random, person, phone_damaged),
            description: self.description(&mut random),
            created,
            updated,
            paid_at,
            settled_at,
            currency: self.currency(&mut random),
            paid_amount,
        }
    }

    fn random(&self, stream: Stream, number: u64) -> Random {
        Random::new(self.seed.wrapping_mul(31).wrapping_add(stream as u64), number + 1)
    }

    fn email(&self, random: &mut Random, person: u64) -> Option<String> {
        let address = self.address(person);
        if random.chance(self.dirt.email) { dirt::email(random, &address) } else { Some(address) }
    }

    fn customer_name(&self, random: &mut Random, person: u64) -> Option<String> {
        let (first, last) = self.name(person);
        if random.chance(self.dirt.name) {
            dirt::full_name(random, first, last)
        } else {
            Some(format!("{first} {last}"))
        }
    }

    fn amount(&self, random: &mut Random) -> (Option<String>, Option<String>) {
        let fine = random.pick(&["499", "499.00", "999", "1499.50", "1999", "250.25"]);
        if !random.chance(self.dirt.payment) {
            return (Some(fine.into()), random.chance(0.6).then(|| fine.into()));
        }
        match random.below(6) {
            0 => (Some("NaN".into()), None),
            1 => (None, None),
            2 => (Some("0".into()), None),
            3 => (Some("-499".into()), None),
            4 => (Some("1000000000000000".into()), None),
            _ => (Some(fine.into()), Some("100".into())),
        }
    }

    fn status(&self, random: &mut Random) -> Option<String> {
        if random.chance(self.dirt.payment) {
            let odd =
                ["Refunded", "charged-back", "partially refunded", "VOID", "mystery", " paid "];
            return (!random.chance(0.1)).then(|| random.pick(&odd).into());
        }
        let usual =
            ["PAID", "PAID", "SETTLED", "SETTLED", "SUCCEEDED", "PENDING", "EXPIRED", "FAILED"];
        Some(random.pick(&usual).into())
    }

    fn currency(&self, random: &mut Random) -> Option<String> {
        if random.chance(self.dirt.payment) {
            return random.pick(&[Some("php"), Some("USD"), Some("n/a"), None]).map(String::from);
        }
        Some("PHP".into())
    }

    fn description(&self, random: &mut Random) -> Option<String> {
        let odd = random.chance(self.dirt.payment);
        let texts: &[&str] = if odd {
            &[
                "Papers to Profits and Canva Ebook",
                "Consultation",
                "donation",
                "n/a",
                "P2Pro",
                "canvas",
            ]
        } else {
            &[
                "Papers to Profits",
                "PAPERS-TO-PROFIT course",
                "P2P enrolment",
                "Canva Ebook",
                "Canva E-book",
            ]
        };
        Some(random.pick(texts).into())
    }

    /// created, updated, paid_at and settled_at.
    fn times(&self, random: &mut Random, number: u64) -> [Option<String>; 4] {
        let created = instant(random, number);
        let paid = if random.chance(self.dirt.timestamp / 2.0) {
            created.checked_sub(jiff::SignedDuration::from_hours(72)).unwrap_or(created)
        } else {
            plus(created, random.below(3600))
        };
        let settled = plus(paid, 86_400 + random.below(86_400));
        [(created, 0.0), (paid, 0.0), (paid, 0.2), (settled, 0.5)].map(|(at, missing)| {
            let damaged = random.chance(self.dirt.timestamp);
            if random.chance(missing) { None } else { dirt::instant(random, at, damaged) }
        })
    }
}

impl ContactRow {
    /// The values in the order of [`SourceLayout::contact_columns`].
    #[must_use]
    pub fn values(&self, layout: SourceLayout) -> Values {
        match layout {
            SourceLayout::Canonical => vec![
                Some(self.id.to_string()),
                self.contact_id.clone(),
                self.email.clone(),
                self.first_name.clone(),
                self.last_name.clone(),
                self.phone.clone(),
                self.tags.clone(),
                Some("Made-up City".into()),
                Some(r#"{"source": "landing page"}"#.into()),
                Some("true".into()),
                Some("en".into()),
                self.updated_at.map(|at| at.to_string()),
                Some(self.created_at.to_string()),
            ],
            SourceLayout::Legacy => vec![
                Some(self.email.clone().unwrap_or_default()),
                self.first_name.clone(),
                self.last_name.clone(),
                self.tags.clone(),
                Some(self.created_at.to_string()),
            ],
        }
    }
}

impl PaymentRow {
    /// The values in the order of [`SourceLayout::payment_columns`].
    #[must_use]
    pub fn values(&self, layout: SourceLayout) -> Values {
        match layout {
            SourceLayout::Canonical => self.canonical_values(),
            SourceLayout::Legacy => self.legacy_values(),
        }
    }

    fn canonical_values(&self) -> Values {
        vec![
            Some(self.id.to_string()),
            self.external_id.clone(),
            self.payment_id.clone(),
            self.status.clone(),
            Some(self.payment_method.clone()),
            self.amount.clone(),
            self.fees.clone(),
            Some("PH_GCASH".into()),
            self.customer_name.clone(),
            self.customer_email.clone(),
            self.description.clone(),
            None,
            self.created.clone(),
            self.updated.clone(),
            self.paid_at.clone(),
            self.settled_at.clone(),
            self.currency.clone(),
            self.paid_amount.clone(),
        ]
    }

    /// The address is in one of two columns, and the whole pesos of an amount are all there is.
    fn legacy_values(&self) -> Values {
        let in_first = self.id.as_u128().is_multiple_of(2);
        let pesos =
            self.amount.as_deref().and_then(|text| text.split('.').next()?.parse::<i64>().ok());
        vec![
            Some(self.invoice.clone()),
            self.payment_id.clone(),
            self.status.clone(),
            self.description.clone(),
            self.customer_email.clone().filter(|_| !in_first),
            self.customer_email.clone().filter(|_| in_first),
            self.customer_name.clone(),
            self.customer_phone.clone(),
            pesos.map(|pesos| pesos.to_string()),
            self.currency.clone(),
            self.fees.clone(),
            self.amount.as_ref().map(|amount| format!("₱{amount}")),
            Some(self.payment_method.clone()),
            None,
            Some("+0800 UTC".into()).filter(|_| self.id.as_u128().is_multiple_of(3)),
            self.created.clone(),
            self.paid_at.clone(),
            self.settled_at.clone(),
            None,
        ]
    }
}

fn tags(random: &mut Random) -> Option<String> {
    let count = random.below(4);
    let chosen: Vec<&str> = (0..count).map(|_| random.pick(&TAGS)).collect();
    match random.below(5) {
        0 => None,
        1 => Some(serde_json::json!(chosen).to_string()),
        2 => {
            let objects: Vec<_> =
                chosen.iter().map(|tag| serde_json::json!({"name": tag})).collect();
            Some(serde_json::json!(objects).to_string())
        }
        _ => Some(chosen.join(", ")),
    }
}

/// An instant of the two years, unique to the number for a million rows.
fn instant(random: &mut Random, number: u64) -> Timestamp {
    let seconds = EPOCH_SECONDS + random.below(SPAN_SECONDS) as i64;
    let nanoseconds = (number % 1_000_000) as i32 * 1_000;
    Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn plus(at: Timestamp, seconds: u64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_secs(seconds as i64)).unwrap_or(at)
}

fn uuid(random: &mut Random) -> Uuid {
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}
