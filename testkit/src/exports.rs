//! Made-up exports for `config/import`: a school's local storage and an app's backup, as a pure function of a seed, with
//! every kind of damage that exports have.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::random::Random;

/// Which of the shipped plans it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// `school.toml`.
    School,
    /// `app.toml`.
    App,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Records of all arrays together, about.
    pub records: u64,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Share of damaged records. With none at all every reference leads to a record, and nothing is there twice.
    pub damage: f64,
    /// Whether a byte order mark stands in front.
    pub mark: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Field {
    Id(&'static str),
    /// A row of the array with this prefix of ids, and how many it has in thousandths of all records.
    Of(&'static str, u64),
    /// As [`Field::Of`], the row of the same number.
    Same(&'static str),
    Words,
    Email,
    Phone,
    Time,
    Day,
    Flag,
    Whole,
    Amount,
    Json,
    Tags,
    City,
    Contacts,
    One(&'static [&'static str]),
}

/// An array: its path, its share of the records in thousandths, its fields.
type Array = (&'static str, u64, &'static [(&'static str, Field)]);

use Field::{
    Amount, City, Contacts, Day, Email, Flag, Id, Json, Of, One, Phone, Same, Tags, Time, Whole,
    Words,
};

#[rustfmt::skip]
const SCHOOL: &[Array] = &[
    ("students", 200, &[
        ("id", Id("s-")), ("fullName", Words), ("email", Email), ("phone", Phone), ("classId", Of("c-", 5)),
        ("birthdate", Day), ("enrolledAt", Time), ("createdAt", Time), ("active", Flag), ("address", City),
        ("photoUrl", One(&[""])), ("parents", Contacts), ("emergencyContacts", Contacts),
    ]),
    ("teachers", 20, &[
        ("id", Id("t-")), ("fullName", Words), ("email", Email), ("createdAt", Time), ("hiredOn", Day),
        ("subjects", Tags), ("active", Flag), ("mentorId", Of("t-", 20)),
    ]),
    ("classrooms", 5, &[("id", Id("r-")), ("name", Words), ("capacity", Whole)]),
    ("classes", 5, &[
        ("id", Id("c-")), ("name", Words), ("teacherId", Of("t-", 20)), ("classroomId", Of("r-", 5)),
        ("schedule", Json),
    ]),
    ("attendance", 250, &[
        ("studentId", Of("s-", 200)), ("classId", Of("c-", 5)), ("date", Day),
        ("status", One(&["present", "late", "absent", "unknown"])), ("note", Words),
    ]),
    ("grades", 200, &[
        ("id", Id("g-")), ("studentId", Of("s-", 200)), ("classId", Of("c-", 5)),
        ("subject", One(&["Math", "History", " Music "])), ("score", Whole), ("gradedAt", Time),
    ]),
    ("privateLessons", 80, &[
        ("id", Id("l-")), ("studentId", Of("s-", 200)), ("teacherId", Of("t-", 20)), ("startsAt", Time),
        ("minutes", Whole), ("price", Amount),
    ]),
    ("paymentObligations", 120, &[
        ("id", Id("o-")), ("studentId", Of("s-", 200)), ("amount", Amount), ("dueDate", Day),
        ("status", One(&["PAID", "open", "Pending", "void"])),
    ]),
    ("payments", 120, &[
        ("id", Id("p-")), ("obligationId", Of("o-", 120)), ("amount", Amount), ("paidAt", Time),
        ("method", One(&["Cash", "card"])), ("reference", Id("R")),
    ]),
];

#[rustfmt::skip]
const APP: &[Array] = &[
    ("users", 100, &[
        ("id", Id("usr_")), ("email", Email), ("name", Words), ("createdAt", Time), ("emailVerified", Flag),
        ("settings", Json), ("image", One(&[""])),
    ]),
    ("accounts", 100, &[
        ("id", Id("acc_")), ("userId", Of("usr_", 100)), ("providerId", One(&["Google", "github"])),
        ("accountId", Id("a")), ("createdAt", Time), ("accessToken", Words), ("refreshToken", Words),
    ]),
    ("user_progress", 100, &[("userId", Same("usr_")), ("level", Whole), ("xp", Whole)]),
    ("wallets", 100, &[("userId", Same("usr_")), ("balanceCents", Whole)]),
    ("skills", 100, &[
        ("id", Id("sk_")), ("userId", Of("usr_", 100)), ("name", Words), ("level", Whole),
        ("parentId", Of("sk_", 100)), ("tags", Tags),
    ]),
    ("achievements", 100, &[
        ("userId", Of("usr_", 100)), ("code", One(&["first_goal", "ten_habits", "level_5"])), ("unlockedAt", Time),
    ]),
    ("habits", 100, &[
        ("id", Id("h_")), ("userId", Of("usr_", 100)), ("title", Words), ("schedule", Json), ("archived", Flag),
        ("createdAt", Time),
    ]),
    ("habit_logs", 100, &[("habitId", Of("h_", 100)), ("date", Day), ("completed", Flag)]),
    ("goals", 100, &[
        ("id", Id("g_")), ("userId", Of("usr_", 100)), ("title", Words), ("target", Amount), ("dueDate", Day),
        ("status", One(&["active", "Completed", "archived"])), ("latestLogId", Of("gl_", 100)),
    ]),
    ("goal_logs", 100, &[("id", Id("gl_")), ("goalId", Of("g_", 100)), ("amount", Amount), ("loggedAt", Time)]),
];

/// Writes an export.
///
/// # Errors
/// Those of the writer.
pub fn write(export: Export, options: &Options, to: &mut impl Write) -> io::Result<()> {
    if options.mark {
        to.write_all(b"\xef\xbb\xbf")?;
    }
    let (arrays, head, tail) = match export {
        Export::School => (SCHOOL, "{\"theme\":\"dark\"", "}"),
        Export::App => (APP, "{\"version\":3,\"tables\":{\"sessions\":[{\"id\":1}]", "}}"),
    };
    to.write_all(head.as_bytes())?;
    for (at, (name, share, fields)) in arrays.iter().enumerate() {
        // Some values of a local storage are texts that hold JSON.
        let as_text = export == Export::School && at % 2 == 0;
        write!(to, ",\n\"{name}\":{}", if as_text { "\"[" } else { "[" })?;
        let mut random = Random::new(options.seed, at as u64 + 1);
        for number in 0..(options.records * share).div_ceil(1000) {
            let mut record = if number > 0 { b",\n".to_vec() } else { Vec::new() };
            record.extend(damaged(fields, number, options, &mut random));
            if as_text { write_escaped(&record, to)? } else { to.write_all(&record)? }
        }
        to.write_all(if as_text { b"]\"" } else { b"]" })?;
    }
    to.write_all(tail.as_bytes())
}

fn write_escaped(bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    for part in bytes.split_inclusive(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        match part.split_last() {
            Some((b'\n', rest)) => to.write_all(&[rest, b"\\n"].concat())?,
            Some((last @ (b'"' | b'\\'), rest)) => {
                to.write_all(&[rest, &[b'\\', *last]].concat())?;
            }
            _ => to.write_all(part)?,
        }
    }
    Ok(())
}

/// A record, damaged or not, as it stands in the file.
fn damaged(
    fields: &[(&str, Field)],
    number: u64,
    options: &Options,
    random: &mut Random,
) -> Vec<u8> {
    let mut record: Vec<(&str, Value)> = fields
        .iter()
        .map(|(name, field)| (*name, value(*field, number, options, random)))
        .collect();
    // The first record is whole, so that every field is somewhere.
    if number == 0 || !random.chance(options.damage) {
        return text(&record).into_bytes();
    }
    let at = random.below(record.len() as u64) as usize;
    let id = record[0].1.clone();
    match random.below(14) {
        0 => record[at].1 = json!({ "nested": { "deeper": null } }),
        1 => record[at].1 = json!([null, [null]]),
        2 => record[at].1 = json!("perhaps"),
        3 => record[at].1 = json!(12_345_678_901_234_567_890_u64),
        4 => record[at].1 = json!(random.chance(0.5)),
        5 => record[at].1 = Value::Null,
        6 => record[at].1 = json!("a\u{0}b"),
        7 => record[at].1 = json!("{\"broken\":"),
        // A reference to nothing, or an id that is there twice.
        8 => refer(fields, &mut record, &format!("nobody-{number}")),
        9 => duplicate(fields, &mut record, number - 1),
        10 => record[0].1 = json!("x".repeat(5000)),
        11 => return text(&record).replacen(':', ":}", 1).replacen('}', "", 1).into_bytes(),
        12 => {
            // Not UTF-8.
            let mut bytes = text(&record).into_bytes();
            let end = bytes.iter().rposition(|byte| *byte == b'"').unwrap_or(1);
            bytes.insert(end, 0xff);
            return bytes;
        }
        _ => return if id.is_null() { b"7".to_vec() } else { b"null".to_vec() },
    }
    text(&record).into_bytes()
}

fn refer(fields: &[(&str, Field)], record: &mut [(&str, Value)], to: &str) {
    let references =
        fields.iter().zip(record).filter(|((_, field), _)| matches!(field, Of(..) | Same(_)));
    for (_, (_, value)) in references.take(1) {
        *value = json!(to);
    }
}

fn duplicate(fields: &[(&str, Field)], record: &mut [(&str, Value)], number: u64) {
    for ((_, field), (_, value)) in fields.iter().zip(record) {
        if let Id(prefix) | Same(prefix) = field {
            *value = json!(format!("{prefix}{number}"));
        }
    }
}

fn text(record: &[(&str, Value)]) -> String {
    let members: Vec<String> =
        record.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn value(field: Field, number: u64, options: &Options, random: &mut Random) -> Value {
    let n = random.below(1_000_000);
    let is_clean = options.damage == 0.0;
    match field {
        Id(prefix) | Same(prefix) => json!(format!("{prefix}{number}")),
        Of(prefix, share) if is_clean => {
            json!(format!("{prefix}{}", number % (options.records * share).div_ceil(1000)))
        }
        Of(_, _) if n.is_multiple_of(50) => Value::Null,
        Of(prefix, share) => {
            json!(format!("{prefix}{}", random.below((options.records * share).div_ceil(1000))))
        }
        Words => json!(format!("Ana {} {number}", random.pick(&["Reyes", "DELA CRUZ", "Santos"]))),
        Email if n.is_multiple_of(100) && !is_clean => json!("ana@example.com"),
        Email => json!(format!("Ana{}-{number}@Example.com", n % 7)),
        Phone => json!(random.pick(&["0917 123 4567", "+63 917 123 4567", "n/a", ""])),
        Time => match n % 6 {
            0 => json!(1_717_372_800 + n),
            1 => json!(1_717_372_800_000 + n),
            2 => json!(format!("2024-06-{:02}T08:00:00+08:00", n % 28 + 1)),
            3 => json!(format!("2024-06-{:02} 08:00:00", n % 28 + 1)),
            4 => json!(format!("06/{:02}/2024 9:30 AM", n % 28 + 1)),
            _ => json!((1_717_372_800 + n).to_string()),
        },
        Day => match n % 3 {
            0 => json!(format!("2024-{:02}-{:02}", n / 3 % 12 + 1, n % 28 + 1)),
            1 => json!(format!("{}/{}/2024", n / 3 % 12 + 1, n % 28 + 1)),
            _ => json!(format!("June {}, 2024", n % 28 + 1)),
        },
        Flag => match n % 4 {
            0 => json!(0),
            1 => json!(1),
            2 => json!(true),
            _ => json!("no"),
        },
        Whole if n.is_multiple_of(4) => json!((n % 99 + 1).to_string()),
        Whole => json!(n % 99 + 1),
        Amount if n.is_multiple_of(4) => {
            json!(format!("₱{},{:03}.{:02}", n % 9 + 1, n % 1000, n % 100))
        }
        Amount => json!(n as f64 / 4.0),
        Json if n.is_multiple_of(3) => json!(json!({ "mon": "08:00" }).to_string()),
        Json => json!({ "tue": ["09:00", null] }),
        Tags if n.is_multiple_of(2) => json!(["Math", "Science"]),
        Tags => json!("History, Music"),
        City => json!({ "city": random.pick(&["Cebu", " Davao ", ""]) }),
        Contacts if n.is_multiple_of(3) => json!([]),
        Contacts => {
            json!([{ "name": "Rosa", "phone": "0917 123 4567" }, { "name": "Jun", "phone": null }])
        }
        One(words) => json!(random.pick(words)),
    }
}
